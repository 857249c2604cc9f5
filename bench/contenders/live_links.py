"""Live links to many servers, and nothing else of the app: no scheduled checks.

`python -m bench.contenders.live_links URLS SECONDS DATA_FOLDER` prints `begin` once all links are
live, and `end N` after `SECONDS`: how many still are.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench.contenders.protocol import parse_arguments, print_line
from bench.contenders.stored_servers import store_servers
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
    urls, seconds = parse_arguments()
    settings = Settings(data_dir=Path(sys.argv[3]))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings))
        vault = Vault(settings)
        profiles = (await store_servers(RosterStore(database, vault), urls)).profiles
        connections = await stack.enter_async_context(ServerConnections(vault))
        checker = await stack.enter_async_context(Checker(connections.connect))
        monitor = Monitor(checker, HealthStore(database), on_change=lambda _: None, watch=False)
        await stack.enter_async_context(monitor)
        for profile in profiles:
            monitor.set_status(profile.id, _healthy_status())
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

        while live() < len(profiles):  # noqa: ASYNC110 - links have no event for it
            await asyncio.sleep(0.5)
        collect_garbage_less_often()  # as `codewalk up` does once it is ready
        print_line("begin")
        await asyncio.sleep(seconds)
        print_line("end", live())
        # Block the loop on purpose: nothing may be used until the benchmark has read what was used.
        sys.stdin.read()


def _healthy_status() -> HealthStatus:
    now = datetime.now(UTC)
    return HealthStatus(state=State.HEALTHY, reason=Reason.OK, checked_at=now, since=now)


if __name__ == "__main__":
    uvloop.run(main())
