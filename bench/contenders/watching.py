"""The app, watching many servers on their ten-second cadence.

`python -m bench.contenders.watching URLS SECONDS DATA_FOLDER` prints `begin` once every server has
been checked and its next check is due by its own clock, and `end JSON` after `SECONDS`: how many
checks began, how many of them so late, by the monitor's own bounds, and how many servers are well.
"""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

import codewalk
from bench.contenders.filling import fill
from bench.contenders.pace import arguments, say
from codewalk.cli.garbage_collection import collect_garbage_less_often
from codewalk.health.schedule import LATENESS_BOUNDS
from codewalk.reason import State
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.storage.database import open_database
from codewalk.storage.roster import RosterStore
from codewalk.storage.vault import Vault


async def main() -> None:
    urls, seconds = arguments()
    settings = codewalk.Settings(data_dir=Path(sys.argv[3]))
    async with open_database(settings) as database:
        await fill(RosterStore(database, Vault(settings)), urls)
    async with codewalk.open(settings, watch=True) as app:
        await _settle(app)
        collect_garbage_less_often()  # as `codewalk up` does once it is ready
        say("begin")
        before = _late(app)
        await asyncio.sleep(seconds)
        late = [now - then for now, then in zip(_late(app), before, strict=True)]
        found = {"checks": sum(late), "late": late, "bounds": LATENESS_BOUNDS, "well": _well(app)}
        say("end", json.dumps(found))
        # Nothing more is used until it has been read what was; the loop stands still on purpose.
        sys.stdin.read()


async def _settle(app: codewalk.App) -> None:
    """Waits until all are known, and for a round more: the first one is all servers at once."""
    while any(server.health.state is State.UNKNOWN for server in app.servers()):  # noqa: ASYNC110 - an event for each would cost, too
        await asyncio.sleep(0.5)
    await asyncio.sleep(1.2 * DEFAULT_SETTINGS.interval)


def _late(app: codewalk.App) -> list[int]:
    """How many checks began within each bound of lateness, and beyond the last."""
    passing, failing = app.lateness()
    return [a + b for a, b in zip(passing.counts, failing.counts, strict=True)]


def _well(app: codewalk.App) -> int:
    return sum(server.health.state is State.HEALTHY for server in app.servers())


if __name__ == "__main__":
    uvloop.run(main())
