"""Settings of the garbage collector; in a process of its own, since they are the process's."""

import subprocess
import sys

PROGRAM = """
import gc
from codewalk.cli.garbage_collection import GENERATION_0_THRESHOLD, collect_garbage_less_often
collect_garbage_less_often()
assert gc.isenabled()
assert gc.get_threshold()[0] == GENERATION_0_THRESHOLD
assert gc.get_freeze_count() > 0
"""


def test_garbage_is_collected_less_often() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=30)
