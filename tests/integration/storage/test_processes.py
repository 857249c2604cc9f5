"""Several processes on one store, and what is left of one that is killed."""

import asyncio
import sqlite3
from contextlib import closing
from functools import partial

from codewalk.secret import Secret
from codewalk.servers.roster import Roster
from codewalk.servers.rules import add
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.vault import Vault
from tests.fake_keyring import NoKeyring
from tests.integration.storage.conftest import Stores
from tests.integration.storage.workers import Workers, profile


async def test_concurrent_processes_lose_no_write(stores: Stores, workers: Workers) -> None:
    writers = [await workers.start("add", f"w{n}", "15") for n in range(3)]
    for writer in writers:
        await writer.ready()
    for writer in writers:
        await writer.go()
    revisions = [int(line) for writer in writers for line in await writer.finish()]

    roster = await stores.roster.load()
    await stores.vault.unlock()
    assert sorted(revisions) == list(range(1, 46))
    assert roster.revision == 45
    passwords = {p.url: p.basic_auth_password for p in roster.profiles}
    assert set(passwords) == {f"http://w{n}-{m}" for n in range(3) for m in range(15)}
    for url, password in passwords.items():
        assert password is not None
        assert password.reveal() == url.replace("http://", "pw-")


async def test_a_change_by_another_process_is_read(stores: Stores, workers: Workers) -> None:
    roster = await stores.roster.update(Roster(), lambda r: add(r, profile("http://a")))
    remover = await workers.start("remove", roster.profiles[0].id)
    await remover.ready()
    await remover.go()

    assert await remover.finish() == ["2"]
    assert await stores.roster.revision() == 2
    assert (await stores.roster.load()).profiles == ()


async def test_processes_that_start_at_once_migrate_once(
    settings: Settings, workers: Workers
) -> None:
    starters = [await workers.start("open") for _ in range(3)]
    for starter in starters:
        await starter.ready()
    await asyncio.gather(*(starter.go() for starter in starters))

    assert [await starter.finish() for starter in starters] == [["0"]] * 3
    async with open_database(settings) as database:
        assert await Stores.on(database, settings).roster.load() == Roster()


async def test_what_a_killed_process_acknowledged_is_stored(
    stores: Stores, settings: Settings, workers: Workers
) -> None:
    base = await stores.roster.update(Roster(), lambda r: add(r, profile("http://base")))
    server = base.profiles[0].id
    writer = await workers.start("keep", server)
    await writer.ready()
    await writer.go()
    acknowledged = 0
    while acknowledged < 12:
        acknowledged = int(await writer.line())
    writer.process.kill()
    await writer.process.wait()
    while line := await writer.line():
        acknowledged = int(line)

    urls = {p.url for p in (await stores.roster.load()).profiles}
    assert {f"http://kept-{n}" for n in range(1, acknowledged + 1)} <= urls
    keys = {size.key for size in await stores.state.list(server)}
    assert {f"key-{n}" for n in range(1, acknowledged + 1)} <= keys
    # Nobody waits for the dead one, and the next change goes on from there.
    revision = await stores.roster.revision()
    after = await stores.roster.update(base, partial(add, profile=profile("http://after")))
    assert after.revision == revision + 1
    if settings.database_url is None:
        with closing(sqlite3.connect(settings.database_file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_store_whose_only_user_was_killed_opens_again(
    sqlite_settings: Settings,
) -> None:
    async with Workers(sqlite_settings) as workers:
        # Nobody else has it open: its -wal is all that there is of the last writes.
        async with open_database(sqlite_settings) as database:
            base = await Stores.on(database, sqlite_settings).roster.update(
                Roster(), lambda r: add(r, profile("http://base"))
            )
        writer = await workers.start("keep", base.profiles[0].id)
        await writer.ready()
        await writer.go()
        while int(await writer.line()) < 5:
            pass
        writer.process.kill()
        await writer.process.wait()

    async with open_database(sqlite_settings) as database:
        roster = await Stores.on(database, sqlite_settings).roster.load()
    assert {f"http://kept-{n}" for n in range(1, 6)} <= {p.url for p in roster.profiles}
    with closing(sqlite3.connect(sqlite_settings.database_file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_processes_that_create_a_key_at_once_get_the_same_one(
    sqlite_settings: Settings,
) -> None:
    settings = Settings(data_dir=sqlite_settings.data_dir)
    async with Workers(settings) as workers:
        finders = [await workers.start("unlock") for _ in range(2)]
        for finder in finders:
            await finder.ready()
        await asyncio.gather(*(finder.go() for finder in finders))
        sealed = [(await finder.finish())[0] for finder in finders]
    vault = Vault(settings, keyring=NoKeyring())
    await vault.unlock()
    assert [vault.unseal(text, "server") for text in sealed] == ["found again"] * 2
    assert vault.unseal(vault.seal(Secret("x"), "server"), "server") == "x"
