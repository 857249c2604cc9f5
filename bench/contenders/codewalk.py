"""CodeWalk's own checks: the checker, the monitor and the store, as the app puts them together.

`python -m bench.contenders.codewalk URLS SECONDS DATA_FOLDER`

The monitor runs as in the app but for its interval, which is nought: every server is due again as
soon as it was checked, so that the checks run as fast as they can.
"""

import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench.contenders.pace import arguments, measure
from bench.nginx import VERSION
from codewalk.connecting import Connector
from codewalk.health.checker import Checker
from codewalk.health.monitor import Monitor
from codewalk.health.status import Reason, State
from codewalk.opencode.connection import Connection
from codewalk.servers import roster as rules
from codewalk.servers.draft import new_profile
from codewalk.servers.profile import ServerProfile
from codewalk.servers.roster import Roster
from codewalk.settings import Settings
from codewalk.storage.database import Database, open_database
from codewalk.storage.health import HealthStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.secrets import Vault


async def main() -> None:
    urls, seconds = arguments()
    settings = Settings(data_dir=Path(sys.argv[3]))
    begun = 0
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings))
        vault = Vault(settings)
        roster = await _fill(RosterStore(database, vault), urls)
        connector = await stack.enter_async_context(Connector(vault))

        async def connect(profile: ServerProfile) -> Connection:
            nonlocal begun
            begun += 1
            return await connector.connect(profile)

        checker = await stack.enter_async_context(Checker(connect))
        monitor = Monitor(checker, HealthStore(database), changed=lambda _: None, interval=0.0)
        await stack.enter_async_context(monitor)
        monitor.reconcile(roster.profiles, roster.active_id)
        since = datetime.now(UTC)
        await measure(lambda: begun, servers=len(urls), seconds=seconds)
        await monitor.save()
        await _verify(database, roster, since)


async def _fill(store: RosterStore, urls: list[str]) -> Roster:
    now = datetime.now(UTC)
    profiles = tuple(new_profile(url, now=now) for url in urls)
    await store.update(await store.load(), lambda roster: replace(roster, profiles=profiles))
    return rules.start(await store.load())


async def _verify(database: Database, roster: Roster, since: datetime) -> None:
    """Every server's status is in the store, right and new."""
    statuses = await HealthStore(database).load()
    assert statuses.keys() == {profile.id for profile in roster.profiles}
    for status in statuses.values():
        assert (status.state, status.reason) == (State.HEALTHY, Reason.OK), status
        assert status.version == VERSION
        assert status.checked_at
        assert status.checked_at > since


if __name__ == "__main__":
    uvloop.run(main())
