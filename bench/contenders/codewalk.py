"""CodeWalk's checks: checker, monitor, recorder and store, as in the app.

`python -m bench.contenders.codewalk URLS SECONDS DATA_FOLDER`

The monitor's interval is zero: every server is due again as soon as it was checked, so that the
checks run as fast as they can.
"""

import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench.contenders.protocol import measure, parse_arguments
from bench.contenders.stored_servers import store_servers
from bench.nginx import VERSION
from codewalk.app.server_connections import ServerConnections
from codewalk.cli.garbage_collection import collect_garbage_less_often
from codewalk.health.checker import Checker
from codewalk.health.monitor import Monitor
from codewalk.history.period import HOUR, MINUTE
from codewalk.history.recorder import Recorder
from codewalk.opencode.connection import Connection
from codewalk.reason import Reason, State
from codewalk.servers import rules
from codewalk.servers.profile import ServerProfile
from codewalk.servers.roster import Roster
from codewalk.settings import Settings
from codewalk.storage.database import Database, open_database
from codewalk.storage.health import HealthStore
from codewalk.storage.history import HistoryStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.vault import Vault


async def main() -> None:
    urls, seconds = parse_arguments()
    settings = Settings(data_dir=Path(sys.argv[3]))
    begun = 0
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings))
        vault = Vault(settings)
        roster = rules.start(await store_servers(RosterStore(database, vault), urls))
        connections = await stack.enter_async_context(ServerConnections(vault))

        async def connect(profile: ServerProfile) -> Connection:
            nonlocal begun
            begun += 1
            return await connections.connect(profile)

        checker = await stack.enter_async_context(Checker(connect))
        recorder = await stack.enter_async_context(Recorder(HistoryStore(database)))
        monitor = Monitor(
            checker,
            HealthStore(database),
            on_change=lambda _: None,
            record=recorder.record,
            interval=0.0,
        )
        await stack.enter_async_context(monitor)
        monitor.reconcile(roster.profiles, roster.active_id)
        collect_garbage_less_often()  # as `codewalk up` does once it is ready
        since = datetime.now(UTC)
        await measure(lambda: begun, servers=len(urls), seconds=seconds)
        await monitor.save()
        await recorder.save(flush=True)
        await _verify(database, roster, since)


async def _verify(database: Database, roster: Roster, since: datetime) -> None:
    """Assert that each server's status is stored, right and recent, and its checks with it."""
    statuses = await HealthStore(database).load()
    assert statuses.keys() == {profile.id for profile in roster.profiles}
    for status in statuses.values():
        assert (status.state, status.reason) == (State.HEALTHY, Reason.OK), status
        assert status.version == VERSION
        assert status.checked_at
        assert status.checked_at > since
    for profile in roster.profiles[::100]:
        window = since - MINUTE, since + HOUR
        stored = await HistoryStore(database).load(profile.id, since, window, by_minute=False)
        assert sum(period.checks for period in stored.periods) >= 2, profile.id


if __name__ == "__main__":
    uvloop.run(main())
