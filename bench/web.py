"""How soon the pages show and answer, beside the web app that OpenCode itself serves."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from bench.chromium import chromium
from bench.nginx import loopback_servers
from bench.process import cores, load
from bench.table import Report, Target, spread
from bench.visits import SESSIONS, UPSTREAM, Visit, ours, visit_homes, visit_manager
from bench.work import CHANGES, switch, type_in_a_storm

MANY: Final = 200

SOONER: Final = 5.0
FEWER_BYTES: Final = 40.0
KILOBYTES: Final = 100.0
SWITCH_MS: Final = 100.0
INTERACTIVE_MS: Final = 300.0
TASK_MS: Final = 50.0

Homes = dict[str, list[Visit]]


async def run() -> Report:
    """All of it in one Chromium. It and what serves a page run where there is room, as on a user's
    machine; what stands for other machines has the second core."""
    _, other_core = cores()
    before = load()
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        async with chromium() as browser:
            homes = await visit_homes(browser, folder / "homes")
            switches = await switch(browser, folder / "switch")
            async with loopback_servers(MANY, folder, core=other_core) as servers:
                manager = await visit_manager(browser, folder / "manager", servers.urls)
                storm = await type_in_a_storm(browser, folder / "storm", servers.urls)
    return _report(
        homes=homes, switches=switches, manager=manager, storm=storm, loads=(before, load())
    )


def _report(
    *,
    homes: Homes,
    switches: list[float],
    manager: list[Visit],
    storm: dict[str, Any],
    loads: tuple[float, float],
) -> Report:
    return Report(
        title="pages, in Chromium",
        columns=("", "median (range)", "of"),
        rows=[
            *(row for name, visits in homes.items() for row in _home_rows(name, visits)),
            ["a switch, from click to paint, ms", spread(switches), str(len(switches))],
            *_manager_rows(manager),
            ["a key to paint meanwhile, ms", *_keys(storm)],
        ],
        targets=(
            *_home_targets(homes),
            Target(
                what="a switch, p95 from click to paint",
                measured=quantiles(switches, n=20, method="inclusive")[18],
                limit=SWITCH_MS,
                unit="ms",
            ),
            Target(
                what=f"the manager with {MANY} servers, until it answers",
                measured=_median(manager, "interactive_ms"),
                limit=INTERACTIVE_MS,
                unit="ms",
            ),
            Target(
                what=f"the longest task at {CHANGES} health changes a second",
                measured=max([*storm["tasks"], *storm["stalls"], 0.0]),
                limit=TASK_MS,
                unit="ms",
            ),
        ),
        notes=(
            f"{storm['changes']:,} health changes while {storm['typed']} keys were typed",
            f"load before {loads[0]:.1f}, after {loads[1]:.1f}, this run's own included",
        ),
        raw={"homes": homes, "switches": switches, "manager": manager, "storm": storm},
    )


def _home_rows(name: str, visits: Sequence[Visit]) -> list[list[str]]:
    of = str(len(visits))
    return [
        [f"{name}: first paint, ms", _spread(visits, "paint_ms"), of],
        [f"{name}: Chromium's CPU until then, ms", _spread(visits, "cpu_ms"), of],
        [f"{name}: KB in all", spread([v["bytes"] / 1000 for v in visits], ",.1f"), of],
    ]


def _home_targets(homes: Homes) -> list[Target]:
    """Against the worse of CodeWalk's visits."""
    paint, size = (
        max(_median(homes[ours(sessions)], key) for sessions in SESSIONS)
        for key in ("paint_ms", "bytes")
    )
    return [
        Target(
            what="first paint sooner than OpenCode's own",
            measured=_median(homes[UPSTREAM], "paint_ms") / paint,
            limit=SOONER,
            unit="times",
            at_least=True,
        ),
        Target(
            what="fewer bytes than OpenCode's own",
            measured=_median(homes[UPSTREAM], "bytes") / size,
            limit=FEWER_BYTES,
            unit="times",
            at_least=True,
        ),
        Target(what="bytes in all", measured=size / 1000, limit=KILOBYTES, unit="KB"),
    ]


def _manager_rows(visits: Sequence[Visit]) -> list[list[str]]:
    name, of = f"the manager with {MANY} servers", str(len(visits))
    return [
        [f"{name}: first paint, ms", _spread(visits, "paint_ms"), of],
        [f"{name}: answers a search, ms", _spread(visits, "answered_ms"), of],
        [f"{name}: and has nothing left to do, ms", _spread(visits, "interactive_ms"), of],
        [f"{name}: Chromium's CPU until then, ms", _spread(visits, "cpu_ms"), of],
        [f"{name}: KB in all", spread([v["bytes"] / 1000 for v in visits], ",.1f"), of],
    ]


def _keys(storm: dict[str, Any]) -> tuple[str, str]:
    """Those that the browser told of; what it doesn't tell of took less than 16 ms."""
    told = sorted(storm["keys"])
    return (spread(told), str(len(told))) if told else ("under 16", str(storm["typed"]))


def _spread(visits: Sequence[Visit], key: str) -> str:
    return spread([visit[key] for visit in visits])


def _median(visits: Sequence[Visit], key: str) -> float:
    return median(visit[key] for visit in visits)
