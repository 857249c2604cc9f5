"""Live links to many servers, and nothing else of the app: no check by the clock.

`python -m bench.contenders.linking URLS SECONDS DATA_FOLDER` prints `begin` once all are live, and
`end N` after `SECONDS`: how many of them are.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench.contenders.filling import fill
from bench.contenders.pace import arguments, say
from codewalk.app.server_connections import ServerConnections
from codewalk.cli.garbage_collection import collect_garbage_less_often
from codewalk.events import Announcer
from codewalk.health.checker import Checker
from codewalk.health.link import LinkState
from codewalk.health.links import Links
from codewalk.health.monitor import Monitor
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.health import HealthStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.vault import Vault


async def main() -> None:
    urls, seconds = arguments()
    settings = Settings(data_dir=Path(sys.argv[3]))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings))
        vault = Vault(settings)
        profiles = (await fill(RosterStore(database, vault), urls)).profiles
        connections = await stack.enter_async_context(ServerConnections(vault))
        checker = await stack.enter_async_context(Checker(connections.connect))
        monitor = Monitor(checker, HealthStore(database), on_change=lambda _: None, watch=False)
        await stack.enter_async_context(monitor)
        for profile in profiles:
            monitor.set_status(profile.id, _well())
        links = Links(
            connections.connect,
            monitor,
            Announcer(),
            on_event=lambda *_: None,
            max_links=len(profiles),
        )
        await stack.enter_async_context(links)
        links.reconcile(profiles, None)

        def live() -> int:
            return sum(links.state(profile.id) is LinkState.LIVE for profile in profiles)

        while live() < len(profiles):  # noqa: ASYNC110 - the links tell nobody
            await asyncio.sleep(0.5)
        collect_garbage_less_often()  # as `codewalk up` does once it is ready
        say("begin")
        await asyncio.sleep(seconds)
        say("end", live())
        # Nothing more is used until it has been read what was; the loop stands still on purpose.
        sys.stdin.read()


def _well() -> HealthStatus:
    now = datetime.now(UTC)
    return HealthStatus(state=State.HEALTHY, reason=Reason.OK, checked_at=now, since=now)


if __name__ == "__main__":
    uvloop.run(main())
