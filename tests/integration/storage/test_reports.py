"""Reports about servers, in both stores: one of several processes claims a notice."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from codewalk.notifications.hook import new_command
from codewalk.notifications.notice import NoticeKind
from codewalk.notifications.outbox import OutgoingNotice, Report
from codewalk.servers.profile import ServerProfile
from codewalk.servers.roster import Roster
from codewalk.servers.rules import add
from codewalk.storage.hook_outbox import HookOutbox
from codewalk.storage.hooks import HookStore
from codewalk.storage.reports import SAME_UPGRADE_TIME, ReportStore
from tests.fakes import EPOCH, profile
from tests.integration.storage.conftest import Stores

A, B = profile(1), profile(2)
SECOND = timedelta(seconds=1)


def down(server: ServerProfile, since: datetime = EPOCH) -> Report:
    return Report(
        server_id=server.id, kind=NoticeKind.DOWN, at=EPOCH, down_since=since, payload=b"down"
    )


def up(server: ServerProfile) -> Report:
    return Report(server_id=server.id, kind=NoticeKind.UP, at=EPOCH, payload=b"up")


def version(server: ServerProfile, name: str, at: datetime = EPOCH) -> Report:
    return Report(
        server_id=server.id, kind=NoticeKind.VERSION, at=at, version=name, payload=b"version"
    )


def reports_in(stores: Stores) -> ReportStore:
    return ReportStore(stores.database, HookOutbox(stores.database, now=lambda: EPOCH))


@pytest.fixture
async def reports(stores: Stores) -> ReportStore:
    """The reports of one process; there are two servers and a hook."""
    roster = Roster()
    for server in (A, B):
        roster = await stores.roster.update(roster, partial(add, profile=server))
    await HookStore(stores.database, stores.vault).add(new_command(["notify"], (), EPOCH))
    return reports_in(stores)


async def claim(store: ReportStore, *reports: Report) -> list[NoticeKind]:
    """Return the kinds of the notices that `store` has to deliver."""
    return [notice.kind for notice in await store.claim(reports)]


async def test_a_report_is_there_for_another_process_until_the_server_is_up(
    reports: ReportStore, other: Stores
) -> None:
    elsewhere = reports_in(other)
    assert await reports.load() == {}
    since = EPOCH + timedelta(microseconds=1)
    assert await claim(reports, down(A), down(B, since)) == [NoticeKind.DOWN] * 2
    # The second process claims nothing, and changes nothing.
    assert await claim(elsewhere, down(B, EPOCH - SECOND)) == []
    assert await claim(reports, down(profile(3))) == []
    assert await elsewhere.load() == {A.id: EPOCH, B.id: since}
    assert await claim(elsewhere, up(A)) == [NoticeKind.UP]
    assert await claim(reports, up(A)) == []
    assert await reports.load() == {B.id: since}
    assert await claim(reports, down(A)) == [NoticeKind.DOWN]
    assert await claim(elsewhere, up(A), version(A, "2")) == [NoticeKind.UP, NoticeKind.VERSION]


async def test_a_damaged_report_is_ignored(reports: ReportStore, stores: Stores) -> None:
    await claim(reports, down(A), down(B))
    await stores.state.put(A.id, {f"reported_down::{A.id}": b"yesterday"}, EPOCH)
    await stores.state.put(B.id, {f"reported_down::{B.id}": b"\xff2026"}, EPOCH)
    assert await reports.load() == {}


async def test_of_several_processes_at_once_one_claims(
    reports: ReportStore, stores: Stores, other: Stores
) -> None:
    processes = [reports, *(reports_in(each) for each in (stores, other, other))]

    async def claims(*batch: Report) -> list[Sequence[OutgoingNotice]]:
        # In another order each: two that wait for each other would be a deadlock.
        orders = [batch, batch[::-1]] * 2
        return await asyncio.gather(
            *(each.claim(order) for each, order in zip(processes, orders, strict=True))
        )

    for number in range(10):
        for batch in (
            (down(A), down(B)),
            (version(A, f"{number}"), version(B, f"{number}")),
            (up(A), up(B)),
        ):
            assert sorted(map(len, await claims(*batch))) == [0, 0, 0, 2]


async def test_a_version_is_claimed_again_after_another_one_or_after_a_while(
    reports: ReportStore,
) -> None:
    for name, claimed in (
        ("1.0", True),
        ("1.0", False),
        ("2.0", True),
        ("2.0", False),
        ("1.0", True),
    ):
        assert bool(await claim(reports, version(A, name))) is claimed
    later = EPOCH + SAME_UPGRADE_TIME
    assert await claim(reports, version(A, "1.0", later)) == []
    assert await claim(reports, version(A, "1.0", later + SECOND)) == [NoticeKind.VERSION]


async def test_an_uncertain_report_is_claimed_in_any_case(reports: ReportStore) -> None:
    await claim(reports, down(A))
    since = EPOCH + SECOND
    assert await claim(reports, replace(down(A, since), uncertain=True)) == [NoticeKind.DOWN]
    assert await reports.load() == {A.id: since}
    assert await claim(reports, replace(up(B), uncertain=True)) == [NoticeKind.UP]


async def test_without_a_payload_a_report_is_stored_and_nothing_delivered(
    reports: ReportStore,
) -> None:
    assert await claim(reports, replace(down(A), payload=None)) == []
    assert await reports.load() == {A.id: EPOCH}


async def test_without_a_hook_a_report_is_stored_and_nothing_delivered(
    reports: ReportStore, stores: Stores
) -> None:
    hooks = HookStore(stores.database, stores.vault)
    for hook in await hooks.list():
        await hooks.remove(hook.id)
    assert await claim(reports, down(A)) == []
    assert await reports.load() == {A.id: EPOCH}
