"""The app, checking many servers every ten seconds.

`python -m bench.contenders.monitor_app URLS SECONDS DATA_FOLDER` prints `begin` once every server
has been checked and is on its own schedule, and `end JSON` after `SECONDS`: how many checks began,
how late they were, by the monitor's own bounds, and how many servers are healthy.
"""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

import codewalk
from bench.contenders.protocol import parse_arguments, print_line
from bench.contenders.stored_servers import store_servers
from codewalk.cli.garbage_collection import collect_garbage_less_often
from codewalk.health.schedule import LATENESS_BOUNDS
from codewalk.reason import State
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.storage.database import open_database
from codewalk.storage.roster import RosterStore
from codewalk.storage.vault import Vault


async def main() -> None:
    urls, seconds = parse_arguments()
    settings = codewalk.Settings(data_dir=Path(sys.argv[3]))
    async with open_database(settings) as database:
        await store_servers(RosterStore(database, Vault(settings)), urls)
    async with codewalk.open(settings, watch=True) as app:
        await _settle(app)
        collect_garbage_less_often()  # as `codewalk up` does once it is ready
        print_line("begin")
        before = _lateness(app)
        await asyncio.sleep(seconds)
        late = [now - then for now, then in zip(_lateness(app), before, strict=True)]
        healthy = _count_healthy(app)
        result = {"checks": sum(late), "late": late, "bounds": LATENESS_BOUNDS, "healthy": healthy}
        print_line("end", json.dumps(result))
        # Block the loop on purpose: nothing may be used until the benchmark has read what was used.
        sys.stdin.read()


async def _settle(app: codewalk.App) -> None:
    """Wait until all servers are known, and one round more: the first one checks all at once."""
    while any(server.health.state is State.UNKNOWN for server in app.servers()):  # noqa: ASYNC110 - an event for each would take time too
        await asyncio.sleep(0.5)
    await asyncio.sleep(1.2 * DEFAULT_SETTINGS.interval)


def _lateness(app: codewalk.App) -> list[int]:
    """Return how many checks began within each bound of lateness, and beyond the last."""
    passing, failing = app.lateness()
    return [a + b for a, b in zip(passing.counts, failing.counts, strict=True)]


def _count_healthy(app: codewalk.App) -> int:
    return sum(server.health.state is State.HEALTHY for server in app.servers())


if __name__ == "__main__":
    uvloop.run(main())
