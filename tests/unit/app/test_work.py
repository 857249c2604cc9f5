"""A call meant for one server never reaches another."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from codewalk.app.work import Work
from codewalk.errors import NoActiveServer, Superseded
from codewalk.servers import rules
from codewalk.servers.roster import Roster
from tests.fake_time import advance_time, fake_time
from tests.fakes import json_reply, profile
from tests.unit.app.working import working

A, B = profile(1, label="Dev box"), profile(2, label="Laptop")

Call = Callable[[Work, str | None], Awaitable[Any]]

REQUESTING: dict[str, Call] = {
    "sessions": lambda work, server_id: work.sessions(server_id=server_id),
    "new_session": lambda work, server_id: work.new_session(server_id=server_id or A.id),
    "projects": lambda work, server_id: work.projects(server_id=server_id),
    "models": lambda work, server_id: work.models(server_id=server_id),
    "use_model": lambda work, server_id: work.use_model("p/m", server_id=server_id),
    "activity": lambda work, server_id: work.activity(server_id=server_id),
}
"""The calls that send a request."""

CALLS: dict[str, Call] = REQUESTING | {
    "cached sessions": lambda work, server_id: work.sessions(cached=True, server_id=server_id),
    "cached projects": lambda work, server_id: work.projects(cached=True, server_id=server_id),
    "cached models": lambda work, server_id: work.models(cached=True, server_id=server_id),
}


def each(calls: dict[str, Call]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("call", calls.values(), ids=calls.keys())


@each(CALLS)
@fake_time
async def test_a_call_for_a_server_that_is_not_active_is_refused_and_sends_nothing(
    call: Call,
) -> None:
    async with working(A, B) as here:
        await here.switch_to(B)
        with pytest.raises(Superseded) as refused:
            await call(here.work, A.id)
        assert refused.value.message == (
            "Dev box isn't the active server any more; Laptop is. Nothing was sent."
        )
        assert refused.value.value == A.id
        assert here.requested(A) == here.requested(B) == []


@pytest.mark.parametrize("gets_it", [True, False])
@each(REQUESTING)
@fake_time
async def test_a_switch_between_lookup_and_request_sends_nothing(call: Call, gets_it: bool) -> None:
    # The race: the server is active when it is looked up, and another one is by the time its
    # connection is open.
    async with working(A, B) as here:
        gate = here.network.gate = asyncio.Event()

        def switch(roster: Roster) -> Roster:
            if gets_it:
                gate.set()
            return rules.switch(roster, B.id)

        async with asyncio.TaskGroup() as group:
            outcome = group.create_task(_outcome(call(here.work, A.id)), name="for A")
            await advance_time(1)
            await here.registry.change(switch)
        assert isinstance(outcome.result(), Superseded)
        assert here.network.connected == [A.id]
        assert here.requested(A) == here.requested(B) == []


async def _outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except Superseded as exc:
        return exc


@fake_time
async def test_a_call_succeeds_after_a_switch_away_and_back() -> None:
    async with working(A, B) as here:
        await here.switch_to(B)
        await here.switch_to(A)
        assert (await here.work.sessions(cached=True, server_id=A.id)).server_id == A.id


@fake_time
async def test_a_call_for_a_removed_server_is_refused() -> None:
    async with working(A, B) as here:
        for removed, active in ((A, "Laptop is"), (B, "none is")):
            await here.remove(removed)
            with pytest.raises(Superseded, match=f"^The server isn't .* more; {active}. Nothing"):
                await here.work.sessions(server_id=removed.id)


READING = {name: call for name, call in CALLS.items() if name != "new_session"}


@each(READING)
@fake_time
async def test_every_call_needs_an_active_server(call: Call) -> None:
    async with working() as here:
        with pytest.raises(NoActiveServer):
            await call(here.work, None)


@fake_time
async def test_a_successful_request_ends_the_suspicion_about_a_server() -> None:
    async with working(A) as here:
        here.network.of(A).script["/session"] = json_reply([])
        await here.monitor.check(A)
        here.monitor.report_link_failure(A.id)
        assert here.monitor.status(A.id).suspect
        await advance_time(0.1)
        await here.work.sessions()
        assert not here.monitor.status(A.id).suspect
