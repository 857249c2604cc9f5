"""How soon another server's sessions are there after a switch."""

import json
import sys
import tempfile
from collections.abc import Sequence
from statistics import quantiles
from typing import Any, Final

from bench.mocks import mock_servers
from bench.process import cores, line_of, started
from bench.table import Report, Target

SWITCHES: Final = 100
SESSIONS: Final = 1000
WITHIN_MS: Final = 20.0

_PARTS: Final = {"whole": "switch and cached list", "switch": "the switch", "list": "the list"}


async def run() -> Report:
    """The app as it runs, its two mock servers in a process and on a core of their own."""
    core, other_core = cores()
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as data:
        async with mock_servers(SESSIONS, SESSIONS, core=other_core) as urls:
            command = [sys.executable, "-m", "bench.contenders.switching", data, str(SWITCHES)]
            async with started(*command, *urls, core=core) as app:
                found = json.loads(await line_of(app, "found", within=60))
    return _report(found)


def _report(found: dict[str, Any]) -> Report:
    rows = []
    for key, name in _PARTS.items():
        p50, p95 = _percentiles(found[key])
        rows.append([name, f"{p50:.1f}", f"{p95:.1f}", f"{max(found[key]):.1f}"])
    return Report(
        title=f"{len(found['whole'])} switches between two servers of {SESSIONS:,} sessions each",
        columns=("milliseconds", "p50", "p95", "most"),
        rows=rows,
        notes=(f"{found['fresh']} of the lists had been fetched anew by then",),
        targets=(
            Target(
                what="p95 from the call to the cached list",
                measured=_percentiles(found["whole"])[1],
                limit=WITHIN_MS,
                unit="ms",
            ),
        ),
        raw=found,
    )


def _percentiles(values: Sequence[float]) -> tuple[float, float]:
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]
