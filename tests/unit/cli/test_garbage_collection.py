"""The garbage collector's pace, which belongs to the whole process."""

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


def test_garbage_is_still_collected_but_seldom_looked_for() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=30)
