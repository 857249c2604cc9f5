"""Benchmark of pages: how soon they paint and respond, beside OpenCode's own web app."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from bench.chromium import chromium
from bench.nginx import loopback_servers
from bench.page_visits import SESSIONS, UPSTREAM, Visit, codewalk_label, visit_homes, visit_manager
from bench.page_work import CHANGES_PER_SECOND, measure_switches, type_during_changes
from bench.process import cores, load
from bench.report import Report, Target, spread

SERVERS: Final = 200

MIN_PAINT_RATIO: Final = 5.0
MIN_BYTES_RATIO: Final = 40.0
MAX_KILOBYTES: Final = 100.0
MAX_SWITCH_MS: Final = 100.0
MAX_INTERACTIVE_MS: Final = 300.0
MAX_TASK_MS: Final = 50.0

Homes = dict[str, list[Visit]]


async def run() -> Report:
    """Measure everything in one Chromium.

    It and the programs that serve a page use both cores, as on a user's machine; what stands for
    other machines runs on the second core.
    """
    _, other_core = cores()
    before = load()
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        async with chromium() as browser:
            homes = await visit_homes(browser, folder / "homes")
            switches = await measure_switches(browser, folder / "switch")
            async with loopback_servers(SERVERS, folder, core=other_core) as servers:
                manager = await visit_manager(browser, folder / "manager", servers.urls)
                typing = await type_during_changes(browser, folder / "typing", servers.urls)
    return _report(
        homes=homes, switches=switches, manager=manager, typing=typing, loads=(before, load())
    )


def _report(
    *,
    homes: Homes,
    switches: list[float],
    manager: list[Visit],
    typing: dict[str, Any],
    loads: tuple[float, float],
) -> Report:
    return Report(
        title="pages, in Chromium",
        columns=("", "median (range)", "of"),
        rows=[
            *(row for name, visits in homes.items() for row in _home_rows(name, visits)),
            ["a switch, from click to paint, ms", spread(switches), str(len(switches))],
            *_manager_rows(manager),
            ["a key to paint meanwhile, ms", *_keys(typing)],
        ],
        targets=(
            *_home_targets(homes),
            Target(
                what="a switch, p95 from click to paint",
                measured=quantiles(switches, n=20, method="inclusive")[18],
                limit=MAX_SWITCH_MS,
                unit="ms",
            ),
            Target(
                what=f"the manager with {SERVERS} servers, until it answers",
                measured=_median(manager, "interactive_ms"),
                limit=MAX_INTERACTIVE_MS,
                unit="ms",
            ),
            Target(
                what=f"the longest task at {CHANGES_PER_SECOND} health changes a second",
                measured=max([*typing["tasks"], *typing["stalls"], 0.0]),
                limit=MAX_TASK_MS,
                unit="ms",
            ),
        ),
        notes=(
            f"{typing['changes']:,} health changes while {typing['typed']} keys were typed",
            f"load before {loads[0]:.1f}, after {loads[1]:.1f}, this run's own included",
        ),
        raw={"homes": homes, "switches": switches, "manager": manager, "typing": typing},
    )


def _home_rows(name: str, visits: Sequence[Visit]) -> list[list[str]]:
    of = str(len(visits))
    return [
        [f"{name}: first paint, ms", _spread(visits, "paint_ms"), of],
        [f"{name}: Chromium's CPU until then, ms", _spread(visits, "cpu_ms"), of],
        [f"{name}: KB in all", spread([v["bytes"] / 1000 for v in visits], ",.1f"), of],
    ]


def _home_targets(homes: Homes) -> list[Target]:
    """Compare with the worse of CodeWalk's visits."""
    paint, size = (
        max(_median(homes[codewalk_label(sessions)], key) for sessions in SESSIONS)
        for key in ("paint_ms", "bytes")
    )
    return [
        Target(
            what="first paint sooner than OpenCode's own",
            measured=_median(homes[UPSTREAM], "paint_ms") / paint,
            limit=MIN_PAINT_RATIO,
            unit="times",
            at_least=True,
        ),
        Target(
            what="fewer bytes than OpenCode's own",
            measured=_median(homes[UPSTREAM], "bytes") / size,
            limit=MIN_BYTES_RATIO,
            unit="times",
            at_least=True,
        ),
        Target(what="bytes in all", measured=size / 1000, limit=MAX_KILOBYTES, unit="KB"),
    ]


def _manager_rows(visits: Sequence[Visit]) -> list[list[str]]:
    name, of = f"the manager with {SERVERS} servers", str(len(visits))
    return [
        [f"{name}: first paint, ms", _spread(visits, "paint_ms"), of],
        [f"{name}: answers a search, ms", _spread(visits, "answered_ms"), of],
        [f"{name}: is idle, ms", _spread(visits, "interactive_ms"), of],
        [f"{name}: Chromium's CPU until then, ms", _spread(visits, "cpu_ms"), of],
        [f"{name}: KB in all", spread([v["bytes"] / 1000 for v in visits], ",.1f"), of],
    ]


def _keys(typing: dict[str, Any]) -> tuple[str, str]:
    """Return the keys that the browser reported; it doesn't report those below 16 ms."""
    reported = sorted(typing["keys"])
    return (
        (spread(reported), str(len(reported))) if reported else ("under 16", str(typing["typed"]))
    )


def _spread(visits: Sequence[Visit], key: str) -> str:
    return spread([visit[key] for visit in visits])


def _median(visits: Sequence[Visit], key: str) -> float:
    return median(visit[key] for visit in visits)
