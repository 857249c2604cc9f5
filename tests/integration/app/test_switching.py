"""Nothing of one server appears under another, and nothing meant for one reaches another."""

import asyncio
from collections.abc import AsyncIterator

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.app.composition import Parts, open_parts
from codewalk.errors import NoActiveServer, ServerUnreachable, Superseded
from codewalk.events import Event, Kind
from codewalk.secret import Secret
from codewalk.settings import Settings
from tests.mock_opencode import Gate, MockOpenCode


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    async with open_parts(settings) as parts:
        yield parts


@pytest.fixture
def app(parts: Parts) -> App:
    return parts.app


@pytest.fixture
async def alpha() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode(password="of alpha") as server:
        server.world.add_session("Alpha's work", directory="/work")
        yield server


@pytest.fixture
async def beta() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode(password="of beta") as server:
        server.world.add_session("Beta's work", directory="/work")
        yield server


@pytest.fixture
async def both(app: App, alpha: MockOpenCode, beta: MockOpenCode) -> App:
    await app.add_server(alpha.url, label="alpha", password=Secret("of alpha"))
    await app.add_server(beta.url, label="beta", password=Secret("of beta"))
    return app


async def titles(app: App, *, cached: bool = False, directory: str | None = None) -> list[str]:
    listed = await app.work.sessions(directory, cached=cached)
    return [session.title for session in listed.sessions]


async def test_session_list_follows_the_active_server(both: App) -> None:
    assert await titles(both) == ["Alpha's work"]
    await both.switch_to("beta")
    assert await titles(both) == ["Beta's work"]


async def test_cached_list_is_the_active_servers_own(both: App) -> None:
    await both.work.sessions()
    await both.switch_to("beta")
    assert await titles(both, cached=True) == []
    await both.work.sessions()
    await both.switch_to("alpha")
    assert await titles(both, cached=True) == ["Alpha's work"]


async def test_each_directory_has_its_own_cached_list(both: App) -> None:
    await both.work.sessions("/work")
    assert await titles(both, cached=True, directory="/work") == ["Alpha's work"]
    assert await titles(both, cached=True, directory="/other") == []


async def test_a_list_in_flight_is_never_returned_after_a_switch(
    both: App, alpha: MockOpenCode
) -> None:
    """Raced: alpha's answer was due at the moment beta became active."""
    gate = alpha.hold("/session")
    async with asyncio.TaskGroup() as group:
        listed = group.create_task(_list_outcome(both))
        await gate.arrived.wait()
        await both.switch_to("beta")
        gate.release()
    assert isinstance(listed.result(), Superseded)
    assert await titles(both, cached=True) == []
    await both.switch_to("alpha")
    assert await titles(both, cached=True) == []


async def test_work_of_the_older_generation_ends_at_the_switch_not_with_its_answer(
    both: App, alpha: MockOpenCode
) -> None:
    gate = alpha.hold("/session")
    async with asyncio.TaskGroup() as group:
        group.create_task(_list_outcome(both))
        await gate.arrived.wait()
        await both.switch_to("beta")
        await gate.abandoned.wait()


async def test_switching_to_the_active_server_interrupts_nothing(
    both: App, alpha: MockOpenCode
) -> None:
    gate = alpha.hold("/session")
    async with asyncio.TaskGroup() as group:
        listed = group.create_task(titles(both))
        await gate.arrived.wait()
        await both.switch_to("alpha")
        gate.release()
    assert listed.result() == ["Alpha's work"]


async def test_rapid_switching_shows_only_the_server_that_is_active(both: App) -> None:
    await both.switch_to("beta")
    for _ in range(10):
        for before, name in (("beta", "alpha"), ("alpha", "beta")):
            async with asyncio.TaskGroup() as group:
                lists = [
                    group.create_task(_list_of_active_or_superseded(both, cached=cached))
                    for cached in (False, True)
                ]
                await both.switch_to(name)
            # Begun before the switch, and ended by it or by an answer that came before.
            assert {task.result() for task in lists} <= {before, "superseded"}
            assert await titles(both) == [f"{name.title()}'s work"]
            assert await titles(both, cached=True) == [f"{name.title()}'s work"]


async def test_a_switch_that_waits_for_its_check_gives_way_to_a_later_one(
    parts: Parts, both: App, beta: MockOpenCode
) -> None:
    """Raced: beta, of which nothing was known, answered after the user had gone elsewhere."""
    async with MockOpenCode() as third:
        await both.add_server(third.url, label="gamma")
        parts.monitor.forget(both.server("beta").id)
        gate, _ = _hold_checks(beta)
        async with asyncio.TaskGroup() as group:
            earlier = group.create_task(_switched(both, "beta"))
            await gate.arrived.wait()
            await both.switch_to("gamma")
            generation = both.generation.number
            gate.release()
    assert isinstance(earlier.result(), Superseded)
    active = both.active()
    assert active
    assert (active.name, both.generation.number) == ("gamma", generation)


async def test_of_two_switches_that_wait_the_later_one_counts_whichever_answers_first(
    parts: Parts, both: App, alpha: MockOpenCode, beta: MockOpenCode
) -> None:
    async with MockOpenCode() as third:
        await both.add_server(third.url, label="gamma", use=True)
        for name in ("alpha", "beta"):
            parts.monitor.forget(both.server(name).id)
        (first, _), (second, _) = _hold_checks(alpha), _hold_checks(beta)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_switched(both, "alpha"))]
            await first.arrived.wait()
            tasks += [group.create_task(_switched(both, "beta"))]
            await second.arrived.wait()
            first.release()
            assert isinstance(await tasks[0], Superseded)
            active = both.active()
            assert active
            assert active.name == "gamma"
            second.release()
        assert tasks[1].result() == "beta"


async def test_a_switch_that_waits_gives_way_to_one_by_another_process(
    settings: Settings, both: App, beta: MockOpenCode
) -> None:
    async with (
        MockOpenCode() as third,
        open_parts(settings, watch=True) as parts,
        asyncio.timeout(10),
    ):
        running = parts.app
        gate, _ = _hold_checks(beta)
        with running.announcer.listen() as events:
            parts.monitor.forget(running.server("beta").id)
            async with asyncio.TaskGroup() as group:
                earlier = group.create_task(_switched(running, "beta"))
                await gate.arrived.wait()
                added = await both.add_server(third.url, label="gamma", use=True)
                await _next(events, Kind.ACTIVE)
                gate.release()
        assert isinstance(earlier.result(), Superseded)
        active = running.active()
        assert active
        assert active.id == added.id


async def test_a_commands_switch_that_waits_gives_way_to_a_newer_one_in_the_app(
    settings: Settings, parts: Parts, both: App, beta: MockOpenCode
) -> None:
    """Raced: `server use beta` checked beta for seconds; meanwhile the user picked gamma.

    A command doesn't follow what others change, so only the store knows of the newer switch.
    """
    command = both
    async with (
        MockOpenCode() as third,
        codewalk.open(settings, watch=True) as running,
        asyncio.timeout(10),
    ):
        parts.monitor.forget(command.server("beta").id)
        gate, _ = _hold_checks(beta)
        async with asyncio.TaskGroup() as group:
            older = group.create_task(_switched(command, "beta"))
            await gate.arrived.wait()
            picked = await running.add_server(third.url, label="gamma", use=True)
            gate.release()
        assert isinstance(older.result(), Superseded)
        async with codewalk.open(settings) as later:
            for app in (running, later):
                active = app.active()
                assert active
                assert active.id == picked.id


async def test_a_switch_that_another_process_made_before_stops_no_newer_one(
    settings: Settings, parts: Parts, both: App, beta: MockOpenCode
) -> None:
    """A command's own view of the store is as old as the command; its switch is the newer wish."""
    async with MockOpenCode() as third, codewalk.open(settings) as other:
        await other.add_server(third.url, label="gamma", use=True)
        parts.monitor.forget(both.server("beta").id)
        assert await _switched(both, "beta") == "beta"


async def test_the_users_own_removal_stops_no_pending_switch(
    parts: Parts, both: App, beta: MockOpenCode
) -> None:
    """The fallback of the removal is a new generation too, but nobody wished for that server."""
    async with MockOpenCode() as third, asyncio.timeout(10):
        await both.add_server(third.url, label="gamma", use=True)
        parts.monitor.forget(both.server("beta").id)
        gate, _ = _hold_checks(beta)
        async with asyncio.TaskGroup() as group:
            pending = group.create_task(_switched(both, "beta"))
            await gate.arrived.wait()
            await both.remove_server("gamma")
            gate.release()
        assert pending.result() == "beta"


async def test_the_same_switch_wanted_twice_is_made_once(
    parts: Parts, both: App, beta: MockOpenCode
) -> None:
    parts.monitor.forget(both.server("beta").id)
    gate, _ = _hold_checks(beta)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_switched(both, "beta")) for _ in range(2)]
        await gate.arrived.wait()
        gate.release()
    assert [task.result() for task in tasks] == ["beta", "beta"]


def _hold_checks(server: MockOpenCode) -> tuple[Gate, Gate]:
    """Hold a server's checks, also at the path that is requested if the first is slow."""
    return server.hold("/global/health"), server.hold("/path")


async def _switched(app: App, name: str) -> str | Superseded:
    try:
        return (await app.switch_to(name)).name
    except Superseded as exc:
        return exc


async def test_credentials_go_to_their_own_server_alone(
    both: App, alpha: MockOpenCode, beta: MockOpenCode
) -> None:
    await both.work.sessions()
    await both.switch_to("beta")
    await both.work.sessions()
    await both.check("alpha")
    sent = [
        {
            seen.headers["Authorization"]
            for seen in server.requests
            if seen.headers.get("Authorization")
        }
        for server in (alpha, beta)
    ]
    assert [len(credentials) for credentials in sent] == [1, 1]
    assert sent[0] != sent[1]


async def test_each_server_has_its_own_model_selection(both: App) -> None:
    await both.work.use_model("anthropic/claude-haiku")
    await both.switch_to("beta")
    assert (await both.work.models()).selected is None
    await both.work.use_model("local/tiny")
    await both.switch_to("alpha")
    assert (await both.work.models()).selected == "anthropic/claude-haiku"


async def test_everything_stored_for_a_server_is_removed_with_it(both: App) -> None:
    await both.work.sessions()
    await both.work.use_model("local/tiny")
    alpha_id = both.server("alpha").id
    assert {stored.key.partition("::")[0] for stored in await both.stored_state("alpha")} == {
        "cached_models",
        "cached_sessions",
        "own_directory",
        "selected_model",
        "selected_provider",
    }
    await both.remove_server("alpha")
    assert [entry for entry in await both.stored_state() if entry.server_id == alpha_id] == []


async def test_cleared_state_leaves_the_server_and_the_others(both: App) -> None:
    await both.work.sessions()
    await both.switch_to("beta")
    await both.work.sessions()
    assert await both.clear_state("alpha") == 2
    assert {stored.server_id for stored in await both.stored_state()} == {both.server("beta").id}
    assert len(both.servers()) == 2


async def test_failed_list_leaves_the_cached_one(both: App, alpha: MockOpenCode) -> None:
    await both.work.sessions()
    await alpha.stop()
    with pytest.raises(ServerUnreachable, match="alpha"):
        await both.work.sessions()
    assert await titles(both, cached=True) == ["Alpha's work"]


async def test_no_server_no_sessions(app: App) -> None:
    with pytest.raises(NoActiveServer):
        await app.work.sessions()


async def test_switch_by_another_process_is_followed_within_a_second(
    settings: Settings, both: App, alpha: MockOpenCode
) -> None:
    async with codewalk.open(settings, watch=True) as running, asyncio.timeout(10):
        gate = alpha.hold("/session")
        with running.announcer.listen() as events:
            async with asyncio.TaskGroup() as group:
                listed = group.create_task(_list_outcome(running))
                await gate.arrived.wait()
                started = asyncio.get_running_loop().time()
                await both.switch_to("beta")
                switched = await _next(events, Kind.ACTIVE)
                assert asyncio.get_running_loop().time() - started < 1
        assert switched.server_id == both.server("beta").id
        assert isinstance(listed.result(), Superseded)


async def test_server_added_by_another_process_is_seen_and_checked(
    settings: Settings, app: App, alpha: MockOpenCode
) -> None:
    async with codewalk.open(settings, watch=True) as running, asyncio.timeout(10):
        with running.announcer.listen() as events:
            added = await app.add_server(alpha.url, password=Secret("of alpha"), check=False)
            await _next(events, Kind.SERVERS)
            while running.server(added.id).health.version is None:
                await _next(events, Kind.HEALTH)
            fetched = await _next(events, Kind.SESSIONS)
    assert fetched.server_id == added.id


async def test_killed_server_turns_unhealthy_without_being_asked_for(
    settings: Settings, alpha: MockOpenCode
) -> None:
    """A failed request of the user's is a signal: the check doesn't wait for its turn."""
    async with codewalk.open(settings, watch=True) as running, asyncio.timeout(10):
        added = await running.add_server(alpha.url, password=Secret("of alpha"))
        await alpha.stop()
        with running.announcer.listen() as events:
            with pytest.raises(ServerUnreachable):
                await running.work.sessions()
            event = await _next(events, Kind.HEALTH)
        assert event.server_id == added.id
        assert running.server(added.id).health.reason == "refused"


async def _list_outcome(app: App) -> list[str] | Superseded:
    try:
        return await titles(app)
    except Superseded as exc:
        return exc


async def _list_of_active_or_superseded(app: App, *, cached: bool) -> str:
    """Check a list at the moment at which a caller would show it; return its server's name."""
    generation = app.generation.number
    try:
        listed = await app.work.sessions(cached=cached)
    except Superseded:
        assert app.generation.number > generation
        return "superseded"
    assert app.generation.number == generation
    active = app.active()
    assert active
    assert listed.server_id == active.id
    assert {session.title for session in listed.sessions} <= {f"{active.name.title()}'s work"}
    return active.name


async def _next(events: asyncio.Queue[Event], kind: Kind) -> Event:
    while (event := await events.get()).kind is not kind:
        pass
    return event
