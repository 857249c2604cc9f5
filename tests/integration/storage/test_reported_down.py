"""What was told of servers, in both stores."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

from codewalk.servers.roster import add
from codewalk.storage.reported_down import ReportedDownStore
from tests.fakes import EPOCH, profile
from tests.integration.storage.conftest import Stores


async def test_what_was_told_is_there_for_another_process_until_the_server_is_up(
    stores: Stores, other: Stores
) -> None:
    a, b = profile(1), profile(2)
    for each in (a, b):
        await stores.roster.update(await stores.roster.load(), partial(add, profile=each))
    told, elsewhere = ReportedDownStore(stores.state), ReportedDownStore(other.state)
    assert await told.load() == {}
    since = EPOCH + timedelta(microseconds=1)
    assert await told.keep(a.id, EPOCH)
    assert await told.keep(b.id, since)
    # Who comes second isn't the first, and changes nothing.
    assert not await elsewhere.keep(b.id, EPOCH)
    assert not await told.keep("nobody", EPOCH)
    assert await elsewhere.load() == {a.id: EPOCH, b.id: since}
    assert await elsewhere.keep(a.id, None)
    assert not await told.keep(a.id, None)
    assert await told.load() == {b.id: since}
    assert await told.keep(a.id, EPOCH)
    assert await elsewhere.keep(a.id, None)
    await stores.state.put(b.id, {f"told_down::{b.id}": b"yesterday"}, EPOCH)
    assert await told.load() == {}


async def test_of_several_at_once_one_is_the_first(stores: Stores, other: Stores) -> None:
    server = profile(1)
    await stores.roster.update(await stores.roster.load(), partial(add, profile=server))
    both = [ReportedDownStore(each.state) for each in (stores, other)]
    for number in range(10):
        kept = await asyncio.gather(*(told.keep(server.id, EPOCH) for told in both * 2))
        seen = await asyncio.gather(
            *(told.keep_version(server.id, f"{number}") for told in both * 2)
        )
        gone = await asyncio.gather(*(told.keep(server.id, None) for told in both * 2))
        assert [firsts.count(True) for firsts in (kept, seen, gone)] == [1, 1, 1]


async def test_a_version_is_told_again_where_another_was_or_after_a_time(stores: Stores) -> None:
    server = profile(1)
    await stores.roster.update(await stores.roster.load(), partial(add, profile=server))
    told = ReportedDownStore(stores.state)
    versions = ["1.0", "1.0", "2.0", "2.0", "1.0"]
    assert [await told.keep_version(server.id, version) for version in versions] == [
        *(True, False),
        *(True, False),
        True,
    ]
    key = f"told_version::{server.id}"
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    await stores.state.put(server.id, {key: b"1.0"}, long_ago)
    assert await told.keep_version(server.id, "1.0")
