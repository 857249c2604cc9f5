"""History in the store, on SQLite and PostgreSQL alike."""

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from codewalk.health.status import CheckResult, HealthStatus, advance
from codewalk.history.history import (
    MAX_RECENT_CHECKS,
    Batch,
    Check,
    History,
    MinuteRecord,
    StoredHistory,
    Transition,
)
from codewalk.history.period import DAY, EPOCH, HOUR, MINUTE, RETENTION, Period, merge_periods
from codewalk.history.recent_checks import RecentChecks
from codewalk.history.recorder import Recorder
from codewalk.reason import Reason, State
from codewalk.servers.health_check import DEFAULT_SETTINGS
from codewalk.servers.roster import Roster
from codewalk.servers.rules import add, remove
from codewalk.storage.history import MAX_LOADED_TRANSITIONS
from codewalk.storage.history_sql import CHECK_CHARACTERS, HOURS_PER_BATCH, SERVERS_PER_BATCH
from codewalk.storage.tables import (
    health_minutes,
    health_periods,
    health_recent,
    health_transitions,
    server_health,
    to_micros,
)
from tests.fakes import EPOCH as NOW
from tests.integration.storage.conftest import Stores
from tests.integration.storage.workers import profile, unknown

START = NOW.replace(minute=0, second=0, microsecond=0)


async def servers(stores: Stores, count: int = 1) -> list[str]:
    """The ids of new servers, in the order in which they are tidied."""
    ids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(count)]

    def decide(roster: Roster) -> Roster:
        for server_id in ids:
            roster = add(roster, profile(f"http://s{server_id}", id=server_id))
        return roster

    await stores.roster.update(Roster(), decide)
    return ids


def period(begins: datetime = START, *, checks: int = 6, **fields: Any) -> Period:
    given = {"answers": checks, "up_ms": 60_000, "latency_sum_us": 1000 * checks, **fields}
    return Period(begins=begins, checks=checks, **given)


def minute_record(server: str, found: Period | None = None, *checks: Check) -> MinuteRecord:
    tape = RecentChecks()
    for check in checks:
        latency = None if check.latency_ms is None else round(check.latency_ms * 1000)
        tape.add((check.at - EPOCH) // timedelta(milliseconds=1), check.reason, latency)
    return MinuteRecord(server_id=server, period=found, checks=tape.take_unsaved())


def checks(count: int, *, start: int = 0) -> list[Check]:
    reasons = list(Reason)
    return [
        Check(at=START + n * timedelta(seconds=10), reason=reasons[n % len(reasons)])
        for n in range(start, start + count)
    ]


async def load(stores: Stores, server: str, since: datetime = START - RETENTION) -> StoredHistory:
    return await stores.history.load(server, since, (since, NOW + RETENTION), by_minute=False)


async def load_minutes(
    stores: Stores, server: str, since: datetime = START, until: datetime = NOW + RETENTION
) -> list[Period]:
    """Return the packed minutes."""
    stored = await stores.history.load(server, since, (since, until), by_minute=True)
    return merge_periods(minute for minutes in stored.old_minutes.values() for minute in minutes())


async def compact(stores: Stores, now: datetime) -> int:
    """A whole round; the number of its steps."""
    after, steps = await stores.history.compact("", now), 1
    while after:
        after, steps = await stores.history.compact(after, now), steps + 1
    return steps


async def test_a_new_store_has_no_history(stores: Stores) -> None:
    (server,) = await servers(stores)
    everything = await load(stores, server)
    assert everything == StoredHistory(periods=[], old_minutes={}, transitions=[], checks=[])
    assert await stores.history.load_checks() == {}
    await stores.history.save(Batch())


async def test_history_comes_back_as_it_was(stores: Stores) -> None:
    a, b = await servers(stores, 2)
    change = Transition(
        at=NOW,
        before=State.HEALTHY,
        after=State.UNHEALTHY,
        reason=Reason.REFUSED,
        detail="Nichts hört zu: ☃ \"'--",
        version="1.18.33",
    )
    whole = Period(
        begins=START,
        checks=7,
        failures=2,
        answers=5,
        up_ms=50_000,
        down_ms=9_999,
        latency_min_us=1_234,
        latency_sum_us=10**10,
        latency_p95_sum_us=10**11,
    )
    down = Period(begins=START + MINUTE, checks=1, failures=1, down_ms=10_000)
    last = [Check(at=NOW, reason=Reason.OK, latency_ms=3.141), *checks(2, start=400)]
    await stores.history.save(
        Batch(
            minutes=[
                minute_record(a, whole, *last),
                minute_record(a, down),
                minute_record(b, whole),
            ],
            transitions=[(a, change), (b, change)],
        )
    )
    stored = await load(stores, a)
    assert list(stored.periods) == [whole, down]
    assert list(stored.transitions) == [change]
    assert list(stored.checks) == last
    # Whole hours.
    assert (await load(stores, a, since=START + MINUTE)).periods == [whole, down]
    assert (await load(stores, a, since=START + HOUR)).periods == []
    assert (await load(stores, a, since=NOW + MINUTE)).transitions == []
    assert set(await stores.history.load_checks()) == {a}


async def test_characters_that_a_database_cannot_store_are_replaced_in_transitions(
    stores: Stores,
) -> None:
    (server,) = await servers(stores)
    change = Transition(
        at=NOW,
        before=State.HEALTHY,
        after=State.UNHEALTHY,
        reason=Reason.REFUSED,
        detail="a\0b\ud800c",
        version="\x1b[31m",
    )
    await stores.history.save(Batch(transitions=[(server, change)]))
    (stored,) = (await load(stores, server)).transitions
    assert (stored.detail, stored.version) == ("a�b?c", "\x1b[31m")


async def test_counts_of_one_minute_by_several_processes_add_up(
    stores: Stores, other: Stores
) -> None:
    (server,) = await servers(stores)
    parts = [
        period(latency_min_us=3000),
        period(checks=2, failures=2, answers=0, down_ms=500),
        period(latency_min_us=1000),
    ]
    await stores.history.save(
        Batch(minutes=[minute_record(server, parts[0]), minute_record(server, parts[1])])
    )
    await other.history.save(Batch(minutes=[minute_record(server, parts[2])]))
    assert (await load(stores, server)).periods == merge_periods(parts)


def some_period(chance: random.Random) -> Period:
    begins = START + chance.randrange(150) * MINUTE
    lowest = chance.choice([None, chance.randrange(2**31)])
    return Period(
        begins=begins,
        checks=chance.randrange(600),
        failures=chance.randrange(600),
        answers=chance.randrange(600),
        up_ms=chance.randrange(180_000),
        down_ms=chance.randrange(180_000),
        latency_min_us=lowest,
        latency_sum_us=chance.randrange(2**40),
        latency_p95_sum_us=chance.randrange(2**40),
    )


def hour_of(minute: Period) -> Period:
    return replace(minute, begins=minute.begins.replace(minute=0), span=HOUR)


async def test_both_databases_add_up_like_period_plus(stores: Stores) -> None:
    # Once when minutes are written, and again when they become hours.
    (server,) = await servers(stores)
    chance = random.Random(1)
    parts = [some_period(chance) for _ in range(300)]
    for start in range(0, 300, 50):
        batch = [minute_record(server, part) for part in parts[start : start + 50]]
        await stores.history.save(Batch(minutes=batch))
    assert (await load(stores, server)).periods == merge_periods(parts)
    await compact(stores, START + 2 * HOUR + DAY + 5 * MINUTE)
    found = merge_periods((await load(stores, server)).periods)
    early = [part for part in parts if part.begins < START + 2 * HOUR]
    late = [part for part in parts if part.begins >= START + 2 * HOUR]
    assert found == merge_periods([*map(hour_of, early), *late])
    assert {part.span for part in found} == {MINUTE, HOUR}


def as_packed(minute: Period) -> Period:
    """Return a minute as it is packed: to a tenth of a millisecond, without its time up."""
    answers = minute.answers
    mean, p95 = (
        round(total / answers / 100) * 100 * answers if answers else 0
        for total in (minute.latency_sum_us, minute.latency_p95_sum_us)
    )
    lowest = None if not answers else round((minute.latency_min_us or 0) / 100) * 100
    return replace(
        minute,
        up_ms=0,
        latency_min_us=lowest,
        latency_sum_us=mean,
        latency_p95_sum_us=p95,
    )


async def test_minutes_over_a_day_old_are_packed_beside_their_hours(stores: Stores) -> None:
    a, b = await servers(stores, 2)
    chance = random.Random(2)
    parts = merge_periods(some_period(chance) for _ in range(300))
    for owner in (a, b):
        await stores.history.save(Batch(minutes=[minute_record(owner, part) for part in parts]))
    assert await load_minutes(stores, a) == []
    await compact(stores, START + 2 * HOUR + DAY + 5 * MINUTE)
    early = [as_packed(part) for part in parts if part.begins < START + 2 * HOUR]
    assert await load_minutes(stores, a) == await load_minutes(stores, b) == early
    # Whole hours: who asks for less takes what it wants of them.
    later = await load_minutes(stores, a, START + HOUR + 59 * MINUTE)
    assert later == [part for part in early if part.begins >= START + HOUR]
    first = await load_minutes(stores, a, START + MINUTE, START + HOUR)
    assert first == [part for part in early if part.begins < START + HOUR]


async def test_minutes_that_come_late_are_packed_with_those_of_their_hour(stores: Stores) -> None:
    (server,) = await servers(stores)
    now = START + DAY + HOUR
    same = period(checks=2)
    for begins in (START, START + MINUTE, START):
        await stores.history.save(
            Batch(minutes=[minute_record(server, replace(same, begins=begins))])
        )
        await compact(stores, now)
    assert await load_minutes(stores, server) == [
        as_packed(period(checks=4)),
        as_packed(replace(same, begins=START + MINUTE)),
    ]


async def test_only_so_many_hours_are_packed_at_once(stores: Stores) -> None:
    (server,) = await servers(stores)
    hours = HOURS_PER_BATCH + 2
    minutes = [period(START + n * HOUR) for n in range(hours)]
    await stores.history.save(Batch(minutes=[minute_record(server, minute) for minute in minutes]))
    now = START + 2 * DAY
    await compact(stores, now)
    assert len(await load_minutes(stores, server)) == HOURS_PER_BATCH
    left = [p for p in (await load(stores, server)).periods if p.span == MINUTE]
    assert left == minutes[HOURS_PER_BATCH:]
    await compact(stores, now)
    assert len(await load_minutes(stores, server)) == hours


async def test_old_transitions_are_loaded_however_many_came_later(stores: Stores) -> None:
    (server,) = await servers(stores)
    states = [State.HEALTHY, State.UNHEALTHY]
    changes = [
        Transition(
            at=START + n * MINUTE,
            before=states[(n + 1) % 2],
            after=states[n % 2],
            reason=Reason.OK,
        )
        for n in range(MAX_LOADED_TRANSITIONS + 50)
    ]
    for start in range(0, len(changes), 500):
        batch = [(server, change) for change in changes[start : start + 500]]
        await stores.history.save(Batch(transitions=batch))
    recorder = Recorder(stores.history, watch=False)
    async with recorder:
        history = await recorder.history(
            server,
            HealthStatus(),
            since=START,
            until=START + 10 * MINUTE,
            now=START + 2 * DAY,
        )
    assert list(history.transitions) == changes[9::-1]
    assert not history.more_transitions
    assert history.next_change == START + 10 * MINUTE
    assert history.durations() == [MINUTE] * 10


async def test_damaged_packed_minutes_leave_their_hour(stores: Stores) -> None:
    (server,) = await servers(stores)
    await stores.history.save(Batch(minutes=[minute_record(server, period())]))
    await compact(stores, START + DAY + HOUR)
    await stores.database.write(lambda c: c.execute(update(health_minutes).values(packed=b"x")))
    assert await load_minutes(stores, server) == []
    assert (await load(stores, server)).periods == [hour_of(period())]


@pytest.mark.parametrize(
    "damage",
    ["", "x", "AAA", "=" * 32, "AAAA" * 3, "!" * 32, "ü" * 16, "AA==" * 4, "A" * 33, "A" * 16],
)
async def test_damaged_recent_checks_stop_neither_a_start_nor_later_checks(
    stores: Stores, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = await servers(stores, 2)
    both = [minute_record(server, None, *checks(3)) for server in (a, b)]
    await stores.history.save(Batch(minutes=both))
    columns = health_recent.c
    broken = update(health_recent).where(columns.server_id == a)
    await stores.database.write(lambda c: c.execute(broken.values(checks=damage)))

    async with Recorder(stores.history, watch=True) as recorder:
        assert recorder.recent_checks(b) == checks(3)
        # Letters alone are zeros, which are checks of 1970.
        assert {check.at for check in recorder.recent_checks(a)} <= {EPOCH}
    assert (await load(stores, b)).checks == checks(3)

    later = checks(2, start=50)
    await stores.history.save(Batch(minutes=[minute_record(a, None, *later)]))
    assert list((await load(stores, a)).checks)[-2:] == later
    packed = await stores.history.load_checks()
    assert RecentChecks(packed[a]).checks()[-2:] == later
    damaged = [record.message for record in caplog.records if "health_recent" in record.message]
    assert len(damaged) == (0 if damage in ("", "A" * 16) else 1)


async def test_a_damaged_middle_of_recent_checks_leaves_what_follows_it(stores: Stores) -> None:
    (server,) = await servers(stores)
    every = checks(6)
    await stores.history.save(Batch(minutes=[minute_record(server, None, *every)]))
    size = CHECK_CHARACTERS
    text = await stores.database.read(lambda c: c.scalar(select(health_recent.c.checks)))
    assert text is not None
    broken = text[: 3 * size + 2] + "?" + text[3 * size + 3 :]
    await stores.database.write(lambda c: c.execute(update(health_recent).values(checks=broken)))
    assert (await load(stores, server)).checks == every[4:]


async def test_damaged_rows_are_left_out_alone_and_reported_once(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = await servers(stores, 2)
    never = 2**62
    change = Transition(at=NOW, before=State.UNKNOWN, after=State.HEALTHY, reason=Reason.OK)
    later = replace(change, at=NOW + MINUTE)
    minutes = [minute_record(a, period()), minute_record(a, period(START + MINUTE))]
    await stores.history.save(Batch(minutes=minutes, transitions=[(a, change), (a, later)]))
    statuses = {server: HealthStatus(checked_at=NOW, since=NOW) for server in (a, b)}
    await stores.health.save(statuses)
    start = to_micros(START)
    for broken in (
        update(health_periods).where(health_periods.c.begins_at == start).values(begins_at=never),
        update(health_transitions)
        .where(health_transitions.c.changed_at == to_micros(NOW))
        .values(changed_at=never),
        update(server_health).where(server_health.c.server_id == a).values(since=never),
    ):
        await stores.database.write(lambda c, broken=broken: c.execute(broken))  # type: ignore[misc] # mypy can't type a default of a lambda

    for _ in range(2):
        history = await load(stores, a)
        assert history.periods == [period(START + MINUTE)]
        assert history.transitions == [later]
        assert await stores.health.load() == {b: statuses[b]}
    messages = [record.message for record in caplog.records if "Damaged" in record.message]
    assert sorted(messages) == [
        f"Damaged rows in the table {table} of the store are ignored."
        for table in ("health_periods", "health_transitions", "server_health")
    ]
    await compact(stores, START + DAY + HOUR)
    assert (await load(stores, a)).periods == [hour_of(period())]


async def test_a_recorder_returns_each_minute_of_another_day(stores: Stores) -> None:
    (server,) = await servers(stores)
    now, status = START + 3 * DAY, HealthStatus()
    recorder = Recorder(stores.history, watch=False, now=lambda: now)
    async with recorder:
        for number in range(180):
            result = CheckResult(reason=Reason.OK, latency_ms=1.0 + number % 7)
            if number == 70:
                result = CheckResult(reason=Reason.SERVER_ERROR)
            at = START + number * MINUTE
            after = advance(status, result, at, DEFAULT_SETTINGS)
            recorder.record(server, status, status.as_of(at), after, result)
            status = after
    await compact(stores, now)

    async def load_history(since: datetime, *, by_minute: bool = True) -> History:
        return await recorder.history(server, status, since=since, now=now, by_minute=by_minute)

    history = await load_history(START)
    assert [p.begins for p in history.periods] == [START + n * MINUTE for n in range(180)]
    assert [p.failures for p in history.periods] == [int(n == 70) for n in range(180)]
    assert history.periods[10].latency_mean_ms == 1.0 + 10 % 7
    assert len((await load_history(START + 70 * MINUTE)).periods) == 110
    by_hour = await load_history(START, by_minute=False)
    assert [(p.span, p.checks) for p in by_hour.periods] == [(HOUR, 60)] * 3
    assert history.uptimes == by_hour.uptimes
    assert history.uptimes[1].percent is not None


async def test_late_minutes_are_added_to_existing_hours(stores: Stores) -> None:
    (server,) = await servers(stores)
    for _ in range(2):
        await stores.history.save(Batch(minutes=[minute_record(server, period())]))
        await compact(stores, START + DAY + HOUR)
    assert (await load(stores, server)).periods == [hour_of(period(checks=12, up_ms=120_000))]


async def test_recent_checks_of_several_processes_are_the_last_ones(
    stores: Stores, other: Stores
) -> None:
    (server,) = await servers(stores)
    every = checks(3 * MAX_RECENT_CHECKS)
    for start in range(0, len(every), 7):
        writer = (stores, other)[start % 2]
        await writer.history.save(
            Batch(minutes=[minute_record(server, None, *every[start : start + 7])])
        )
    assert (await load(stores, server)).checks == every[-MAX_RECENT_CHECKS:]
    packed = await other.history.load_checks()
    assert RecentChecks(packed[server]).checks() == every[-MAX_RECENT_CHECKS:]


async def test_of_two_transitions_at_one_moment_the_first_stays(
    stores: Stores, other: Stores
) -> None:
    (server,) = await servers(stores)
    first = Transition(at=NOW, before=State.UNKNOWN, after=State.HEALTHY, reason=Reason.OK)
    await stores.history.save(Batch(transitions=[(server, first)]))
    await other.history.save(Batch(transitions=[(server, replace(first, after=State.UNHEALTHY))]))
    assert (await load(stores, server)).transitions == [first]


async def test_states_of_another_release_are_left_out(stores: Stores) -> None:
    (server,) = await servers(stores)
    first = Transition(at=NOW, before=State.UNKNOWN, after=State.HEALTHY, reason=Reason.OK)
    later = replace(first, at=NOW + MINUTE)
    await stores.history.save(Batch(transitions=[(server, first), (server, later)]))
    strange = update(health_transitions).where(
        health_transitions.c.changed_at == to_micros(later.at)
    )
    await stores.database.write(lambda c: c.execute(strange.values(reason="haunted")))
    assert (await load(stores, server)).transitions == [first]


async def test_removing_a_server_deletes_its_history(stores: Stores) -> None:
    a, b = await servers(stores, 2)
    change = Transition(at=NOW, before=State.UNKNOWN, after=State.HEALTHY, reason=Reason.OK)
    batch = Batch(
        minutes=[minute_record(server, period(), *checks(1)) for server in (a, b)],
        transitions=[(a, change), (b, change)],
    )
    await stores.history.save(batch)
    await compact(stores, START + DAY + HOUR)
    await stores.history.save(batch)
    roster = await stores.roster.load()
    await stores.roster.update(roster, lambda r: remove(r, a, unknown))
    # What was on its way for the removed one has nowhere to land; the other's does.
    await stores.history.save(batch)
    for table in (health_minutes, health_periods, health_recent, health_transitions):
        owners = select(table.c.server_id).distinct()
        assert await stores.database.read(lambda c, q=owners: c.scalars(q).all()) == [b]  # type: ignore[misc]
    minute, hour = period(checks=12, up_ms=120_000), hour_of(period())
    assert merge_periods((await load(stores, b)).periods) == [minute, hour]


async def test_thirty_days_are_retained(stores: Stores) -> None:
    (server,) = await servers(stores)
    now = START + RETENTION + 30 * MINUTE
    minutes = [START - MINUTE, now - 2 * DAY, now - DAY - 31 * MINUTE, now - DAY, now - MINUTE]
    changes = [
        Transition(at=at, before=State.UNKNOWN, after=State.HEALTHY, reason=Reason.OK)
        for at in (START - MINUTE, now - RETENTION, now)
    ]
    await stores.history.save(
        Batch(
            minutes=[minute_record(server, period(begins)) for begins in minutes],
            transitions=[(server, change) for change in changes],
        )
    )
    for _ in minutes:
        await compact(stores, now)
    stored = await load(stores, server, since=START - 2 * RETENTION)
    found = [(p.begins, p.span) for p in merge_periods(stored.periods)]
    hours = [START - HOUR, (now - 2 * DAY).replace(minute=0), (now - DAY).replace(minute=0) - HOUR]
    assert found == [
        *((hour, HOUR) for hour in hours[1:]),
        (now - DAY, MINUTE),
        (now - MINUTE, MINUTE),
    ]
    assert sorted(t.at for t in stored.transitions) == [now - RETENTION, now]
    packed = await load_minutes(stores, server, since=START - 2 * RETENTION)
    assert [p.begins for p in packed] == [now - 2 * DAY, now - DAY - 31 * MINUTE]


async def test_compaction_goes_through_all_servers_in_batches(stores: Stores) -> None:
    ids = await servers(stores, 2 * SERVERS_PER_BATCH + 1)
    await stores.history.save(Batch(minutes=[minute_record(server, period()) for server in ids]))
    now = START + DAY + HOUR
    first = await stores.history.compact("", now)
    spans = select(health_periods.c.span_s, func.count()).group_by(health_periods.c.span_s)
    counted = await stores.database.read(lambda c: c.execute(spans).all())
    assert sorted(map(tuple, counted)) == [(60, SERVERS_PER_BATCH + 1), (3600, SERVERS_PER_BATCH)]
    assert await compact(stores, now) == 4
    counted = await stores.database.read(lambda c: c.execute(spans).all())
    assert list(map(tuple, counted)) == [(3600, len(ids))]
    assert first == ids[SERVERS_PER_BATCH - 1]


async def test_compacting_an_empty_store_ends_at_once(stores: Stores) -> None:
    assert await stores.history.compact("", NOW) == ""


async def test_concurrent_saves_compactions_and_removals_lose_nothing(
    stores: Stores, other: Stores
) -> None:
    # The race on PostgreSQL: two add the same minutes up to hours, or wait for each other's locks.
    ids = await servers(stores, 40)
    gone = ids[-1]
    now = START + DAY + HOUR
    batches = [
        Batch(
            minutes=[
                minute_record(server, period(START + n * MINUTE), *checks(1)) for server in order
            ]
        )
        for n in range(5)
        for order in (ids, ids[::-1])
    ]

    async def save(writer: Stores, mine: list[Batch]) -> None:
        for batch in mine:
            await writer.history.save(batch)
            await compact(writer, now)

    async with asyncio.TaskGroup() as group:
        group.create_task(save(stores, batches[::2]), name="one process")
        group.create_task(save(other, batches[1::2]), name="another")
        roster = await stores.roster.load()
        await stores.roster.update(roster, lambda r: remove(r, gone, unknown))
    await compact(stores, now)
    for server in ids[:-1]:
        (hour,) = (await load(stores, server)).periods
        assert hour == hour_of(period(checks=60, up_ms=600_000))
        minutes = await load_minutes(stores, server)
        assert [minute.checks for minute in minutes] == [12] * 5
    assert (await load(stores, gone)).periods == []
