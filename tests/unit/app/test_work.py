"""What is done on the active server is done on no other one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from codewalk.app.work import Work
from codewalk.errors import NoActiveServer, Superseded
from codewalk.servers import roster as rules
from codewalk.servers.roster import Roster
from tests.fake_time import advance_time, fake_time
from tests.fakes import json_reply, profile
from tests.unit.app.working import working

A, B = profile(1, label="Dev box"), profile(2, label="Laptop")

Call = Callable[[Work, str | None], Awaitable[Any]]

ASKING: dict[str, Call] = {
    "sessions": lambda work, server_id: work.sessions(server_id=server_id),
    "new_session": lambda work, server_id: work.new_session(server_id=server_id or A.id),
    "projects": lambda work, server_id: work.projects(server_id=server_id),
    "models": lambda work, server_id: work.models(server_id=server_id),
    "use_model": lambda work, server_id: work.use_model("p/m", server_id=server_id),
    "activity": lambda work, server_id: work.activity(server_id=server_id),
}
"""The calls that ask the server."""

CALLS: dict[str, Call] = ASKING | {
    "cached sessions": lambda work, server_id: work.sessions(cached=True, server_id=server_id),
    "cached projects": lambda work, server_id: work.projects(cached=True, server_id=server_id),
    "cached models": lambda work, server_id: work.models(cached=True, server_id=server_id),
}


def each(calls: dict[str, Call]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("call", calls.values(), ids=calls.keys())


@each(CALLS)
@fake_time
async def test_what_was_meant_for_another_server_is_refused_and_nothing_is_sent(call: Call) -> None:
    async with working(A, B) as here:
        await here.switch_to(B)
        with pytest.raises(Superseded) as refused:
            await call(here.work, A.id)
        assert refused.value.message == (
            "Dev box isn't the active server any more; Laptop is. Nothing was sent."
        )
        assert refused.value.value == A.id
        assert here.asked(A) == here.asked(B) == []


@pytest.mark.parametrize("gets_it", [True, False])
@each(ASKING)
@fake_time
async def test_a_switch_between_the_look_and_the_request_sends_nothing(
    call: Call, gets_it: bool
) -> None:
    # The race: the server is still the active one when it is looked at, and another one is at the
    # moment at which the connection is there.
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
        assert here.asked(A) == here.asked(B) == []


async def _outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except Superseded as exc:
        return exc


@fake_time
async def test_a_switch_there_and_back_leaves_what_was_meant_for_the_server() -> None:
    async with working(A, B) as here:
        await here.switch_to(B)
        await here.switch_to(A)
        assert (await here.work.sessions(cached=True, server_id=A.id)).server_id == A.id


@fake_time
async def test_a_server_that_is_gone_is_named_as_such() -> None:
    async with working(A, B) as here:
        for gone, told in ((A, "Laptop is"), (B, "none is")):
            await here.remove(gone)
            with pytest.raises(Superseded, match=f"^The server isn't .* more; {told}. Nothing"):
                await here.work.sessions(server_id=gone.id)


READING = {name: call for name, call in CALLS.items() if name != "new_session"}


@each(READING)
@fake_time
async def test_without_a_server_there_is_nothing_to_do(call: Call) -> None:
    async with working() as here:
        with pytest.raises(NoActiveServer):
            await call(here.work, None)


@fake_time
async def test_its_requests_are_heard_as_signs_of_the_servers_health() -> None:
    async with working(A) as here:
        here.network.of(A).script["/session"] = json_reply([])
        await here.monitor.check(A)
        here.monitor.report_link_failure(A.id)
        assert here.monitor.status(A.id).suspect
        await advance_time(0.1)
        await here.work.sessions()
        assert not here.monitor.status(A.id).suspect
