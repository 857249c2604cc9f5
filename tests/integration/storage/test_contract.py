"""The contract of every store, tested on SQLite and PostgreSQL."""

import asyncio
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select, update

from codewalk.errors import DuplicateServer, ServerNotFound, StorageError
from codewalk.health.status import HealthStatus
from codewalk.notifications.hook import new_command
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.servers.health_check import DEFAULT_SETTINGS, HealthCheckSettings
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.registry import KeyNeeded, Registry
from codewalk.servers.roster import Roster
from codewalk.servers.rules import (
    add,
    edit,
    mark_legacy_imported,
    move,
    remove,
    set_default,
    switch,
)
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.hooks import HookStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.tables import servers
from codewalk.storage.vault import Vault
from tests.fake_keyring import FakeKeyring
from tests.integration.storage.conftest import Stores
from tests.integration.storage.workers import profile, unknown

NOW = datetime(2026, 2, 9, 20, 51, 50, 489123, tzinfo=UTC)
TRICKY = "pä:ss wörd\t☃ '\";--\x7f𝔘"


def with_passwords(roster: Roster) -> tuple[Roster, list[str | None]]:
    """A roster without its secrets, and those: two sealed ones can't be compared."""
    secrets = [p.basic_auth_password for p in roster.profiles]
    passwords = [None if secret is None else secret.reveal() for secret in secrets]
    bare = tuple(replace(p, basic_auth_password=None) for p in roster.profiles)
    return replace(roster, profiles=bare), passwords


def ignore(_old: Roster, _new: Roster) -> None:
    """For a registry whose changes nobody follows."""


async def test_a_new_store_is_empty(stores: Stores) -> None:
    assert await stores.roster.load() == Roster()
    assert await stores.roster.revision() == 0
    assert await stores.health.load() == {}
    assert await stores.state.list(None) == []


async def test_a_roster_comes_back_as_it_was(stores: Stores) -> None:
    await stores.unlocked()
    first = profile(
        "http://[::1]:4096/a%20b",
        label="Straße ☃",
        basic_auth_enabled=True,
        basic_auth_username="usér",
        basic_auth_password=Secret(TRICKY),
        created_at=NOW,
        updated_at=NOW + timedelta(microseconds=1),
    )
    second = profile(
        "https://xn--bcher-kva.example",
        managed=True,
        health_check=HealthCheckSettings(interval=0.1 + 1.2, timeout=5, rise=2, fall=7),
        snoozed_until=NOW + timedelta(hours=2, microseconds=1),
        notify=NotifySetting.OFF,
    )

    def decide(roster: Roster) -> Roster:
        roster = add(add(roster, first), second, activate=True, default=True)
        return mark_legacy_imported(roster)

    written = await stores.roster.update(Roster(), decide)
    read = await stores.roster.load()

    assert written.revision == 1
    assert with_passwords(read) == with_passwords(written)
    assert read.profiles[0].basic_auth_password is not None
    assert read.profiles[0].basic_auth_password.reveal() == TRICKY
    assert (read.active_id, read.default_id, read.previous_id) == (second.id, second.id, first.id)
    assert read.legacy_imported
    assert await stores.roster.revision() == 1


async def test_a_default_setting_is_stored_as_null_so_that_a_later_default_applies(
    stores: Stores,
) -> None:
    server = profile("http://a", health_check=HealthCheckSettings(timeout=5))
    await stores.roster.update(Roster(), lambda r: add(r, server))
    columns = (
        servers.c.check_interval,
        servers.c.check_timeout,
        servers.c.check_rise,
        servers.c.check_fall,
    )
    row = await stores.database.read(lambda c: c.execute(select(*columns)).one())
    assert tuple(row) == (None, 5, None, None)


async def test_a_server_with_unusable_settings_gets_the_defaults(stores: Stores) -> None:
    await stores.roster.update(Roster(), lambda r: add(r, profile("http://a")))
    broken = update(servers).values(check_interval=0, check_fall=3)
    await stores.database.write(lambda c: c.execute(broken))
    (read,) = (await stores.roster.load()).profiles
    assert read.health_check == DEFAULT_SETTINGS


async def test_an_equal_roster_is_not_written(stores: Stores) -> None:
    roster = await stores.roster.update(Roster(), lambda r: add(r, profile("http://a")))

    same = await stores.roster.update(roster, replace)

    assert same is roster
    assert await stores.roster.revision() == 1


async def test_a_refused_change_leaves_everything_as_it_was(stores: Stores) -> None:
    roster = await stores.roster.update(Roster(), lambda r: add(r, profile("http://a", label="A")))

    with pytest.raises(DuplicateServer):
        await stores.roster.update(roster, lambda r: add(r, profile("http://a")))
    with pytest.raises(ServerNotFound):
        await stores.roster.update(
            roster, lambda r: remove(add(r, profile("http://b")), "gone", unknown)
        )

    assert await stores.roster.load() == roster


async def test_the_database_itself_refuses_two_servers_with_one_url_or_label(
    stores: Stores,
) -> None:
    roster = await stores.roster.update(
        Roster(), lambda r: add(r, profile("http://a", label="Straße"))
    )
    for twin in (profile("http://a"), profile("http://b", label="STRASSE")):
        with pytest.raises(DuplicateServer):
            await stores.roster.update(
                roster,
                lambda r, twin=twin: replace(r, profiles=(*r.profiles, twin)),  # type: ignore[misc]
            )
    assert await stores.roster.load() == roster


async def test_url_and_label_of_a_removed_server_can_be_used_in_the_same_change(
    stores: Stores,
) -> None:
    old, new = profile("http://a", label="A"), profile("http://a", label="a")
    roster = await stores.roster.update(Roster(), lambda r: add(r, old))

    await stores.roster.update(roster, lambda r: add(remove(r, old.id, unknown), new))

    assert [p.id for p in (await stores.roster.load()).profiles] == [new.id]


async def test_a_change_is_decided_on_the_stored_roster_not_on_a_stale_one(
    stores: Stores, other: Stores
) -> None:
    stale = await stores.roster.load()
    await other.roster.update(stale, lambda r: add(r, profile("http://theirs")))

    roster = await stores.roster.update(stale, lambda r: add(r, profile("http://ours")))

    assert [p.url for p in roster.profiles] == ["http://theirs", "http://ours"]
    assert roster.revision == 2
    assert with_passwords(await other.roster.load()) == with_passwords(roster)


async def test_each_change_raises_the_revision(stores: Stores, other: Stores) -> None:
    roster = await stores.roster.update(Roster(), lambda r: add(r, profile("http://a")))
    assert await other.roster.revision() == roster.revision == 1

    server = roster.profiles[0].id
    await other.roster.update(roster, lambda r: edit(r, server, NOW, label="Box"))

    assert await stores.roster.revision() == 2
    assert (await stores.roster.load()).profiles[0].label == "Box"


async def test_concurrent_changes_are_all_committed(stores: Stores, other: Stores) -> None:
    known = await stores.roster.load()
    both = (stores.roster, other.roster)
    await asyncio.gather(
        *(
            both[n % 2].update(known, partial(add, profile=profile(f"http://s{n}")))
            for n in range(20)
        )
    )
    roster = await stores.roster.load()
    assert {p.url for p in roster.profiles} == {f"http://s{n}" for n in range(20)}
    assert roster.revision == 20


async def test_an_edit_leaves_the_sealed_password_unless_it_changes_it(stores: Stores) -> None:
    await stores.unlocked()
    server = profile("http://a", basic_auth_password=Secret("first"))
    roster = await stores.roster.update(Roster(), lambda r: add(r, server))

    roster = await stores.roster.update(roster, lambda r: edit(r, server.id, NOW, label="A"))
    assert with_passwords(await stores.roster.load())[1] == ["first"]

    await stores.roster.update(
        roster, lambda r: edit(r, server.id, NOW, basic_auth_password=Secret("second"))
    )
    assert with_passwords(await stores.roster.load())[1] == ["second"]

    roster = await stores.roster.load()
    await stores.roster.update(roster, lambda r: edit(r, server.id, NOW, basic_auth_password=None))
    assert with_passwords(await stores.roster.load())[1] == [None]


async def test_the_order_survives_removals_and_additions(stores: Stores) -> None:
    a, b, c, d = (profile(f"http://{name}") for name in "abcd")
    roster = await stores.roster.update(Roster(), lambda r: replace(r, profiles=(a, b, c, d)))
    # Removals leave gaps, and the next one added comes after the last position.
    roster = await stores.roster.update(roster, lambda r: remove(r, a.id, unknown))
    roster = await stores.roster.update(roster, lambda r: remove(r, c.id, unknown))

    roster = await stores.roster.update(roster, lambda r: move(r, d.id, b.id))
    assert await order(stores) == [d.url, b.url]

    roster = await stores.roster.update(roster, lambda r: add(r, profile("http://new")))
    await stores.roster.update(roster, lambda r: move(r, d.id, None))
    assert await order(stores) == [b.url, "http://new", d.url]


async def order(stores: Stores) -> list[str]:
    return [p.url for p in (await stores.roster.load()).profiles]


async def test_concurrent_moves_all_count_in_any_order(stores: Stores, other: Stores) -> None:
    servers = [profile(f"http://s{n}") for n in range(7)]
    ids = [p.id for p in servers]
    stale = await stores.roster.update(Roster(), lambda r: replace(r, profiles=tuple(servers)))

    await asyncio.gather(
        stores.roster.update(stale, partial(move, server_id=ids[1], before=ids[0])),
        other.roster.update(stale, partial(move, server_id=ids[3], before=ids[2])),
        stores.roster.update(stale, partial(move, server_id=ids[5], before=ids[4])),
        other.roster.update(stale, lambda r: remove(r, ids[6], unknown)),
        stores.roster.update(stale, partial(add, profile=profile("http://new"))),
    )

    swapped = [servers[n].url for n in (1, 0, 3, 2, 5, 4)]
    assert await order(stores) == [*swapped, "http://new"]


async def test_any_sequence_of_changes_reads_back_as_it_was_written(stores: Stores) -> None:
    await stores.unlocked()
    chance = random.Random(11)
    roster = await stores.roster.load()
    for number in range(60):
        roster = await stores.roster.update(roster, _some_change(chance, number))
        assert with_passwords(await stores.roster.load()) == with_passwords(roster)
    assert len(roster.profiles) > 3


def _some_change(chance: random.Random, number: int) -> Callable[[Roster], Roster]:
    new = profile(f"http://s{number}", basic_auth_password=Secret(f"pw{number}"))

    def decide(roster: Roster) -> Roster:
        profiles: list[ServerProfile] = list(roster.profiles)
        match chance.randrange(7) if profiles else 0:
            case 0 | 1:
                return add(roster, new, activate=chance.random() < 0.5)
            case 2:
                return remove(roster, chance.choice(profiles).id, unknown)
            case 3:
                return edit(roster, chance.choice(profiles).id, NOW, label=f"L{number}")
            case 4:
                chance.shuffle(profiles)
                profiles.insert(chance.randrange(len(profiles) + 1), new)
                return replace(roster, profiles=tuple(profiles[1:]), active_id=None)
            case 5:
                return move(roster, *(chance.choice(profiles).id for _ in range(2)))
            case _:
                chosen = chance.choice(profiles).id
                return set_default(switch(roster, chosen), chosen)

    return decide


async def test_health_comes_back_as_it_was(stores: Stores) -> None:
    roster = await stores.roster.update(
        Roster(), lambda r: add(add(r, profile("http://a")), profile("http://b"))
    )
    first, second = (p.id for p in roster.profiles)
    statuses = {
        first: HealthStatus(
            state=State.UNHEALTHY,
            reason=Reason.REFUSED,
            detail="Nichts hört zu: ☃ \"'--",
            version="1.18.33",
            latency_ms=3.14159,
            checked_at=NOW,
            since=NOW - timedelta(days=400),
            failures=7,
        ),
        second: HealthStatus(successes=3),
    }
    await stores.health.save(statuses)
    assert await stores.health.load() == statuses

    healthy = HealthStatus(state=State.HEALTHY, reason=Reason.OK, checked_at=NOW, since=NOW)
    await stores.health.save({first: healthy, "gone": healthy})
    assert await stores.health.load() == {first: healthy, second: HealthStatus(successes=3)}

    await stores.health.save({})


async def test_characters_that_a_database_cannot_store_are_replaced_in_health(
    stores: Stores,
) -> None:
    roster = await stores.roster.update(Roster(), lambda r: add(r, profile("http://a")))
    server = roster.profiles[0].id

    await stores.health.save({server: HealthStatus(detail="a\0b\ud800c", version="\x1b[31m")})

    status = (await stores.health.load())[server]
    assert (status.detail, status.version) == ("a�b?c", "\x1b[31m")


async def test_state_is_stored_for_each_server(stores: Stores) -> None:
    roster = await stores.roster.update(
        Roster(), lambda r: add(add(r, profile("http://a")), profile("http://b"))
    )
    a, b = (p.id for p in roster.profiles)
    blob = bytes(range(256)) * 1000

    assert await stores.state.put(a, {f"Z::{a}": b"", f"k::{a}::/p": blob}, NOW)
    assert await stores.state.put(b, {f"k::{b}": b"old"}, NOW)
    assert await stores.state.put(b, {f"k::{b}": b"new"}, NOW + timedelta(seconds=1))

    entry = await stores.state.get(a, f"k::{a}::/p")
    assert entry is not None
    assert (entry.value, entry.updated_at, entry.server_id) == (blob, NOW, a)
    found = await stores.state.get_all(a, [f"Z::{a}", f"k::{a}::/p", f"k::{b}", "none"])
    assert found == {f"Z::{a}": replace(entry, key=f"Z::{a}", value=b""), entry.key: entry}
    assert await stores.state.get_all(a, []) == {}
    assert [(s.key, s.bytes) for s in await stores.state.list(a)] == [
        (f"Z::{a}", 0),
        (f"k::{a}::/p", len(blob)),
    ]
    everything = await stores.state.list(None)
    assert [s.key for s in everything] == sorted(s.key for s in everything)
    assert len(everything) == 3

    await stores.state.delete(a, [f"Z::{a}", f"k::{b}", "none"])
    assert {s.key for s in await stores.state.list(None)} == {f"k::{a}::/p", f"k::{b}"}
    await stores.state.delete(a, [])
    assert await stores.state.put(a, {f"Z::{a}": b""}, NOW)
    assert await stores.state.clear(b) == 1
    assert await stores.state.clear(a) == 2
    assert await stores.state.clear(a) == 0
    assert await stores.state.list(None) == []


async def test_no_key_reaches_another_servers_state(stores: Stores) -> None:
    roster = await stores.roster.update(
        Roster(), lambda r: add(add(r, profile("http://a")), profile("http://b"))
    )
    a, b = (p.id for p in roster.profiles)
    await stores.state.put(a, {"key": b"of a"}, NOW)

    assert await stores.state.get(b, "key") is None
    assert not await stores.state.put(b, {"fine": b"1", "key": b"of b"}, NOW)
    assert await stores.state.clear(b) == 0

    entry = await stores.state.get(a, "key")
    assert entry is not None
    assert entry.value == b"of a"


async def test_state_may_be_of_one_url_alone(stores: Stores) -> None:
    roster = await stores.roster.update(Roster(), lambda r: add(r, profile("http://a")))
    ((a, url),) = ((p.id, p.url) for p in roster.profiles)
    assert await stores.state.put(a, {f"k::{a}": b"old"}, NOW, url=url)
    assert not await stores.state.put(a, {f"k::{a}": b"new"}, NOW, url="http://elsewhere")
    (entry,) = (await stores.state.get_all(a, [f"k::{a}"])).values()
    assert entry.value == b"old"


async def test_all_state_of_a_server_is_replaced(stores: Stores) -> None:
    roster = await stores.roster.update(Roster(), lambda r: add(r, profile("http://a")))
    (a,) = (p.id for p in roster.profiles)
    await stores.state.put(a, {f"one::{a}": b"1", f"two::{a}": b"2"}, NOW)
    assert await stores.state.replace(a, {f"two::{a}": b"new"}, NOW)
    assert [entry.key for entry in await stores.state.list(a)] == [f"two::{a}"]
    assert not await stores.state.replace("gone", {"x": b"1"}, NOW)


async def test_state_of_a_removed_server_is_not_stored(stores: Stores) -> None:
    assert not await stores.state.put("gone", {"one": b"1", "two": b"2"}, NOW)
    assert await stores.state.list(None) == []


async def test_removing_a_server_deletes_everything_stored_for_it(stores: Stores) -> None:
    roster = await stores.roster.update(
        Roster(), lambda r: add(add(r, profile("http://a")), profile("http://b"))
    )
    a, b = (p.id for p in roster.profiles)
    for server in (a, b):
        await stores.state.put(server, {f"k::{server}": b"v"}, NOW)
    await stores.health.save({a: HealthStatus(), b: HealthStatus()})

    await stores.roster.update(roster, lambda r: remove(r, a, unknown))

    assert [s.server_id for s in await stores.state.list(None)] == [b]
    assert set(await stores.health.load()) == {b}
    # What was on its way for the removed one has nowhere to land.
    assert not await stores.state.put(a, {f"late::{a}": b"v"}, NOW)
    await stores.health.save({a: HealthStatus(), b: HealthStatus()})
    assert set(await stores.health.load()) == {b}


async def test_a_cancelled_change_is_committed_and_in_force_all_the_same(stores: Stores) -> None:
    registry = Registry(stores.roster, changed=ignore)
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def rule(roster: Roster) -> Roster:
        loop.call_soon_threadsafe(begun.set)
        return add(roster, profile("http://a"))

    async with asyncio.TaskGroup() as group:
        change = group.create_task(registry.change(rule))
        await begun.wait()
        change.cancel()

    assert change.cancelled()
    assert [p.url for p in (await stores.roster.load()).profiles] == ["http://a"]
    assert [p.url for p in registry.roster.profiles] == ["http://a"]


async def test_a_cancelled_read_leaves_the_store_usable(stores: Stores) -> None:
    for _ in range(30):
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(stores.roster.load())
            group.create_task(stores.roster.revision())
            await asyncio.sleep(0)
            reading.cancel()
    await stores.roster.update(Roster(), lambda r: add(r, profile("http://a")))
    assert await stores.roster.revision() == 1


async def test_with_a_wrong_key_only_the_passwords_are_unreadable(
    stores: Stores, settings: Settings
) -> None:
    await stores.unlocked()
    server = profile("http://a", basic_auth_password=Secret("pw"))
    await stores.roster.update(Roster(), lambda r: add(r, server))

    wrong = replace(settings, secret_key=Secret("another key"))
    async with open_database(wrong) as database:
        there = Stores.on(database, wrong)
        await there.vault.unlock()
        roster = await there.roster.load()
        roster = await there.roster.update(roster, lambda r: edit(r, server.id, NOW, label="A"))
        password = roster.profiles[0].basic_auth_password
        assert password is not None
        with pytest.raises(StorageError, match=r"another key.*CODEWALK_SECRET_KEY"):
            password.reveal()

    assert with_passwords(await stores.roster.load())[1] == ["pw"]


async def test_a_change_with_a_new_password_raises_key_needed_while_the_vault_is_locked(
    stores: Stores,
) -> None:
    plain = await stores.roster.update(Roster(), lambda r: add(r, profile("http://a")))
    secured = profile("http://b", basic_auth_password=Secret("pw"))

    with pytest.raises(KeyNeeded) as needed:
        await stores.roster.update(plain, lambda r: add(r, secured))

    assert needed.value.server_ids == {secured.id}
    assert await stores.roster.load() == plain
    await stores.roster.unlock(needed.value)
    await stores.roster.update(plain, lambda r: add(r, secured))
    assert with_passwords(await stores.roster.load())[1] == [None, "pw"]


async def test_a_switch_does_not_wait_for_a_keyring_that_a_new_password_waits_for(
    stores: Stores, settings: Settings
) -> None:
    keyring = FakeKeyring()
    keyring.gate = threading.Event()
    vault = Vault(replace(settings, secret_key=None), keyring=keyring)
    registry = Registry(RosterStore(stores.database, vault), changed=ignore)
    a, b = profile("http://a"), profile("http://b")
    await registry.change(lambda r: add(add(r, a), b))

    async with asyncio.TaskGroup() as group:
        secured = profile("http://c", basic_auth_password=Secret("pw"))
        adding = group.create_task(registry.change(lambda r: add(r, secured)))
        await asyncio.to_thread(keyring.entered.wait)
        try:
            async with asyncio.timeout(30):
                await registry.change(lambda r: switch(r, b.id))
            assert not adding.done()
        finally:
            keyring.gate.set()

    assert (await stores.roster.load()).active_id == b.id
    assert [p.url for p in registry.roster.profiles] == ["http://a", "http://b", "http://c"]
    password = registry.roster.require(secured.id).basic_auth_password
    assert password is not None
    assert password.reveal() == "pw"


async def test_no_second_key_is_created_beside_passwords_whose_key_is_missing(
    stores: Stores, settings: Settings
) -> None:
    await stores.unlocked()
    first = profile("http://a", basic_auth_password=Secret("pw"))
    await stores.roster.update(Roster(), lambda r: add(r, first))
    without_key = replace(settings, secret_key=None)
    keyring = FakeKeyring()
    vault = Vault(without_key, keyring=keyring)
    registry = Registry(RosterStore(stores.database, vault), changed=ignore)
    await registry.load()
    new = profile("http://b", basic_auth_password=Secret("other"))
    hook = new_command(["true"], [], NOW)

    with pytest.raises(StorageError, match=r"missing.*CODEWALK_SECRET_KEY"):
        await registry.change(lambda r: add(r, new))
    with pytest.raises(StorageError, match=r"missing.*CODEWALK_SECRET_KEY"):
        await HookStore(stores.database, vault).add(hook)

    assert keyring.entries == {}
    assert with_passwords(await stores.roster.load())[1] == ["pw"]
    # In place of the only password that the missing key had sealed, a new one needs no old key.
    await registry.change(
        lambda r: edit(r, first.id, NOW, basic_auth_password=Secret("entered again"))
    )
    assert with_passwords(registry.roster)[1] == ["entered again"]
    assert len(keyring.entries) == 1


async def test_a_thousand_servers_keep_their_order(stores: Stores) -> None:
    many = tuple(profile(f"http://s{n}") for n in range(1000))
    roster = await stores.roster.update(Roster(), lambda r: replace(r, profiles=many))
    middle = many[500].id

    roster = await stores.roster.update(roster, lambda r: remove(r, middle, unknown))
    roster = await stores.roster.update(roster, lambda r: add(r, profile("http://last")))
    await stores.health.save({p.id: HealthStatus() for p in many})

    assert await stores.roster.load() == roster
    assert len(await stores.health.load()) == 999
