"""A form that is sent twice creates one session."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from codewalk.app.recent_creations import (
    KEEP_SECONDS,
    MAX_CREATIONS,
    FormContent,
    RecentCreations,
)
from codewalk.errors import ServerUnreachable
from codewalk.opencode.session import Session
from codewalk.workspace.session_creation import CreatedSession
from tests.fake_time import advance_time, fake_time

FORM = FormContent(server_id="a", nonce="n", directory=None, title="Mine")


class Creator:
    """Creates sessions after `seconds`, and counts them."""

    def __init__(self, *, seconds: float = 0.0, failures: int = 0) -> None:
        self.count = 0
        self._seconds = seconds
        self._failures = failures

    async def __call__(self) -> CreatedSession:
        self.count += 1
        number = self.count
        await asyncio.sleep(self._seconds)
        if number <= self._failures:
            raise ServerUnreachable("It broke.")
        session = Session(
            id=f"ses_{number}", title="", directory="/", created_ms=None, updated_ms=None
        )
        return CreatedSession(session=session)


Create = Callable[[], Awaitable[CreatedSession]]


@fake_time
async def test_a_form_sent_again_gets_the_session_of_the_first_time() -> None:
    creations, creator = RecentCreations(), Creator(seconds=5)
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(creations.run(FORM, creator)) for _ in range(2)]
    assert both[0].result() is both[1].result()
    assert await creations.run(FORM, creator) is both[0].result()
    assert creator.count == 1


@fake_time
async def test_another_form_creates_another_session() -> None:
    creations, creator = RecentCreations(), Creator()
    changes = ({"server_id": "b"}, {"nonce": "m"}, {"directory": "/p"}, {"title": None})
    await creations.run(FORM, creator)
    for change in changes:
        await creations.run(replace(FORM, **change), creator)
    assert creator.count == 1 + len(changes)


@fake_time
async def test_a_form_that_failed_can_be_sent_again() -> None:
    creations, creator = RecentCreations(), Creator(seconds=1, failures=1)
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(_outcome(creations, creator)) for _ in range(2)]
    assert [isinstance(task.result(), ServerUnreachable) for task in both] == [True, True]
    assert creator.count == 1
    assert (await creations.run(FORM, creator)).session.id == "ses_2"


async def _outcome(creations: RecentCreations, create: Create) -> object:
    try:
        return await creations.run(FORM, create)
    except ServerUnreachable as exc:
        return exc


@fake_time
async def test_the_first_sender_that_goes_away_takes_its_form_along() -> None:
    creations, creator = RecentCreations(), Creator(seconds=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(creations.run(FORM, creator), 0.5)
    assert (await creations.run(FORM, creator)).session.id == "ses_2"


@fake_time
async def test_a_form_counts_as_new_after_a_minute() -> None:
    creations, creator = RecentCreations(), Creator()
    await creations.run(FORM, creator)
    await advance_time(KEEP_SECONDS + 1)
    await creations.run(FORM, creator)
    assert creator.count == 2


@fake_time
async def test_remembered_forms_are_bounded() -> None:
    creations, creator = RecentCreations(), Creator()
    for number in range(MAX_CREATIONS + 1):
        await creations.run(replace(FORM, nonce=str(number)), creator)
    await creations.run(replace(FORM, nonce=str(MAX_CREATIONS)), creator)
    assert creator.count == MAX_CREATIONS + 1
    await creations.run(replace(FORM, nonce="0"), creator)
    assert creator.count == MAX_CREATIONS + 2
