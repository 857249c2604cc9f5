"""The active server's work is cached, fresh and its own, without a request by a user."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from time import monotonic

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.errors import ServerUnreachable, Superseded
from codewalk.events import Event, Kind
from codewalk.secret import Secret
from codewalk.settings import Settings
from tests.mock_behaviours import json_reply, page, reply
from tests.mock_opencode import MockOpenCode, Release

SOON = 10.0


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    async with codewalk.open(settings, watch=True) as app:
        yield app


@pytest.fixture
async def alpha() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode(password="of alpha") as server:
        server.world.add_project("/srv/alpha")
        server.world.add_session("Alpha's work")
        yield server


@pytest.fixture
async def beta() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode() as server:
        server.world.add_project("/srv/beta")
        server.world.add_session("Beta's work")
        yield server


async def until(app: App, true: Callable[[], Awaitable[bool]]) -> float:
    """Seconds until `true` holds; looked at whenever something is announced."""
    began = monotonic()
    with app.announcer.listen() as events:
        async with asyncio.timeout(SOON):
            while not await true():
                await events.get()
    return monotonic() - began


async def cached_work(app: App) -> dict[str, list[str]]:
    """The cached lists of the active server."""
    sessions = await app.work.sessions(cached=True)
    projects = await app.work.projects(cached=True)
    models = await app.work.models(cached=True)
    assert sessions.server_id == projects.server_id == models.server_id
    return {
        "sessions": [session.title for session in sessions.sessions],
        "projects": [project.directory for project in projects.projects],
        "models": [model.ref for model in models.models][:1],
    }


async def test_all_lists_of_a_server_are_cached_once_it_is_active(
    app: App, alpha: MockOpenCode, beta: MockOpenCode
) -> None:
    await app.add_server(alpha.url, label="alpha", password=Secret("of alpha"))
    await app.add_server(beta.url, label="beta")
    for name in ("alpha", "beta"):
        await app.switch_to(name)
        expected = {
            "sessions": [f"{name.title()}'s work"],
            "projects": [f"/srv/{name}", "/srv/project"],
            "models": ["anthropic/claude-sonnet"],
        }

        async def complete(expected: dict[str, list[str]] = expected) -> bool:
            return await cached_work(app) == expected

        await until(app, complete)


@pytest.mark.parametrize("path", ["/session", "/project", "/config/providers", "/path"])
async def test_a_list_that_fails_affects_no_other(app: App, beta: MockOpenCode, path: str) -> None:
    beta.script(path, reply(status=500))
    await app.add_server(beta.url)
    lost = {"/session": "sessions", "/config/providers": "models"}.get(path, "projects")

    async def complete() -> bool:
        lists = await cached_work(app)
        assert lists.pop(lost) == []
        return all(lists.values())

    await until(app, complete)


async def test_a_switch_ends_the_fetches_of_the_other_server(
    app: App, alpha: MockOpenCode, beta: MockOpenCode
) -> None:
    paths = ("/session", "/project", "/config/providers", "/session/status")
    gates = [alpha.hold(path) for path in paths]
    await app.add_server(alpha.url, label="alpha", password=Secret("of alpha"))
    await app.add_server(beta.url, label="beta")
    async with asyncio.timeout(SOON):
        for gate in gates:
            await gate.arrived.wait()
        await app.switch_to("beta")
        for gate in gates:
            await gate.abandoned.wait()
    names = await stored_names(app, "alpha")
    assert names <= {"own_directory"}  # `/path` was not held

    async def complete() -> bool:
        return await stored_names(app, "beta") == {
            "cached_models",
            "cached_projects",
            "cached_sessions",
            "identity",
            "own_directory",
        }

    await until(app, complete)
    assert await stored_names(app, "alpha") == names


async def stored_names(app: App, ref: str) -> set[str]:
    """What is stored for a server, by the first parts of its keys."""
    return {size.key.partition("::")[0] for size in await app.stored_state(ref)}


async def test_a_form_of_a_server_that_is_not_active_reaches_no_server(
    app: App, alpha: MockOpenCode, beta: MockOpenCode
) -> None:
    first = await app.add_server(alpha.url, label="Dev box", password=Secret("of alpha"))
    await app.add_server(beta.url, label="Laptop", use=True)
    with pytest.raises(Superseded, match=r"^Dev box isn't .* any more; Laptop is\. Nothing was"):
        await app.work.new_session("/srv/alpha", title="x", server_id=first.id)
    posts = [seen for server in (alpha, beta) for seen in server.requests if seen.method == "POST"]
    assert posts == []


async def test_a_session_in_creation_at_a_switch_is_created_on_its_own_server_at_most(
    app: App, alpha: MockOpenCode, beta: MockOpenCode
) -> None:
    """Raced: alpha has the request, and beta becomes active before it answers."""
    first = await app.add_server(alpha.url, password=Secret("of alpha"))
    await app.add_server(beta.url, label="beta")
    gate = alpha.hold("/session")
    async with asyncio.TaskGroup() as group:
        making = group.create_task(_make(app, first.id))
        await alpha.wait_for_requests("/session", alpha.count("/session") + 1)
        await gate.arrived.wait()
        await app.switch_to("beta")
        gate.release()
    assert making.result() is None
    assert [seen.method for seen in beta.requests if seen.method == "POST"] == []
    assert [session["title"] for session in beta.world.sessions] == ["Beta's work"]


async def _make(app: App, server_id: str) -> str | None:
    try:
        return (await app.work.new_session(title="x", server_id=server_id)).id
    except Superseded:
        return None


async def test_a_new_session_is_listed_at_once_and_after_the_next_fetch(
    app: App, beta: MockOpenCode
) -> None:
    server = await app.add_server(beta.url)
    await app.work.sessions()
    created = await app.work.new_session(title="Mine", server_id=server.id)
    for cached in (True, False):
        listed = await app.work.sessions(cached=cached)
        assert [session.title for session in listed.sessions] == ["Mine", "Beta's work"]
        assert listed.sessions[0] == created
    keys = {size.key for size in await app.stored_state()}
    assert f"current_session_id::{server.id}::/srv/project" in keys


async def restart(server: MockOpenCode, directory: str, title: str) -> None:
    """Start a server again on the same port in another project, where it has one session."""
    await server.stop()
    server.world.directory = directory
    server.world.sessions.clear()
    server.world.add_session(title)
    await server.start()


async def test_a_server_restarted_in_another_project_never_shows_the_old_ones_sessions(
    app: App, beta: MockOpenCode
) -> None:
    server = await app.add_server(beta.url)

    async def listed(title: str) -> bool:
        cached = await app.work.sessions(cached=True)
        return [session.title for session in cached.sessions] == [title]

    await until(app, partial(listed, "Beta's work"))
    await restart(beta, "/srv/docs", "Docs")
    await until(app, partial(listed, "Docs"))
    keys = {size.key for size in await app.stored_state() if "cached_sessions" in size.key}
    directories = ("/srv/project", "/srv/docs")
    assert keys == {f"cached_sessions::{server.id}::{directory}" for directory in directories}
    # And back: the first project's list is its own again, as it was last fetched.
    gate = beta.hold("/session")
    await restart(beta, "/srv/project", "Newer")
    await asyncio.wait_for(gate.arrived.wait(), SOON)
    await app.work.projects()
    assert await listed("Beta's work")
    gate.release()
    await until(app, partial(listed, "Newer"))


async def test_a_command_caches_the_own_list_under_the_directory_of_its_server(
    settings: Settings, beta: MockOpenCode
) -> None:
    async with codewalk.open(settings) as command:
        server = await command.add_server(beta.url)
        await command.work.sessions()
    await restart(beta, "/srv/docs", "Docs")
    beta.script("/session", reply(status=500))
    async with codewalk.open(settings) as command:
        cached = await command.work.sessions(cached=True)
        assert [session.title for session in cached.sessions] == ["Beta's work"]
        # This says where the server runs now; nothing else about it is known.
        await command.work.projects()
        with pytest.raises(ServerUnreachable):
            await command.work.sessions()
    async with codewalk.open(settings) as command:
        cached = await command.work.sessions(cached=True)
        assert (cached.sessions, cached.fetched_at) == ((), None)
        before = await command.work.sessions("/srv/project", cached=True)
        assert [session.title for session in before.sessions] == ["Beta's work"]
        assert f"cached_sessions::{server.id}::/srv/project" in {
            size.key for size in await command.stored_state()
        }


async def test_activity_follows_within_a_second_and_without_a_fetch(
    app: App, beta: MockOpenCode
) -> None:
    server = await app.add_server(beta.url)
    here = beta.world.sessions[0]
    elsewhere = beta.world.add_session("Elsewhere", directory="/srv/other")
    await asyncio.wait_for(beta.world.subscribed.wait(), SOON)
    # When it became active, and when its stream was new.
    for path in ("/session", "/session/status"):
        await beta.wait_for_requests(path, 2)
    with app.announcer.listen() as events:
        for session in (here, elsewhere):
            for kind in ("busy", "idle"):
                asked = beta.count("/session")
                began = monotonic()
                beta.world.set_status(session, kind)
                async with asyncio.timeout(SOON):
                    while (session["id"] in app.work.busy_sessions(server.id)) != (kind == "busy"):
                        await _next(events, Kind.SESSIONS)
                assert monotonic() - began < 1
                assert beta.count("/session") == asked


async def test_a_session_that_was_busy_before_is_listed_as_busy(
    app: App, beta: MockOpenCode
) -> None:
    session = beta.world.sessions[0]
    beta.world.statuses[session["id"]] = {"type": "retry", "attempt": 3, "message": "Overloaded"}
    server = await app.add_server(beta.url)

    async def is_busy() -> bool:
        return session["id"] in app.work.busy_sessions(server.id)

    await until(app, is_busy)
    activity = app.work.busy_sessions(server.id)[session["id"]]
    assert (activity.kind, activity.attempt, activity.message) == ("retry", 3, "Overloaded")


async def test_activity_does_not_outlive_a_broken_link(app: App, beta: MockOpenCode) -> None:
    server = await app.add_server(beta.url)
    await asyncio.wait_for(beta.world.subscribed.wait(), SOON)
    session = beta.world.add_session("Elsewhere", directory="/srv/other")
    beta.world.set_status(session, "busy")

    async def is_busy() -> bool:
        return session["id"] in app.work.busy_sessions(server.id)

    async def is_idle() -> bool:
        return not await is_busy()

    await until(app, is_busy)
    beta.world.end_streams()
    beta.world.statuses.clear()
    await until(app, is_idle)


async def test_a_removed_server_has_no_busy_session_and_a_renamed_one_keeps_them(
    app: App, beta: MockOpenCode
) -> None:
    server = await app.add_server(beta.url, label="beta")
    await asyncio.wait_for(beta.world.subscribed.wait(), SOON)
    session = beta.world.sessions[0]
    beta.world.set_status(session, "busy")

    async def is_busy() -> bool:
        return session["id"] in app.work.busy_sessions(server.id)

    await until(app, is_busy)
    await app.edit_server("beta", codewalk.Change(label="gamma"))
    assert app.work.busy_sessions(server.id)
    await app.remove_server("gamma")
    assert not app.work.busy_sessions(server.id)


async def test_the_list_of_a_viewed_directory_follows_its_changes(
    app: App, beta: MockOpenCode
) -> None:
    await app.add_server(beta.url)
    await asyncio.wait_for(beta.world.subscribed.wait(), SOON)
    await app.work.sessions("/srv/other")

    async def listed() -> bool:
        cached = await app.work.sessions("/srv/other", cached=True)
        return [session.title for session in cached.sessions] == ["Made in a terminal"]

    assert not await listed()
    created = beta.world.add_session("Made in a terminal", directory="/srv/other")
    beta.world.emit("session.created", {"info": created}, directory="/srv/other")
    await until(app, listed)


@pytest.mark.parametrize("release", [Release.OLD, Release.CURRENT])
async def test_a_release_that_lacks_most_calls_is_healthy_all_the_same(
    app: App, release: Release
) -> None:
    async with MockOpenCode(release=release) as server:
        absent = json_reply({"error": []}, status=400) if release is Release.OLD else page()
        for path in ("/session/status", "/project"):
            server.script(path, absent)
        server.world.add_session("Old work")
        added = await app.add_server(server.url)

        async def complete() -> bool:
            lists = await cached_work(app)
            return bool(lists["sessions"] and lists["models"])

        await until(app, complete)
        assert await app.work.activity() == {}
        with pytest.raises(ServerUnreachable):
            await app.work.projects()
        assert app.server(added.id).health.state == "healthy"


async def _next(events: "asyncio.Queue[Event]", kind: Kind) -> None:
    while (await events.get()).kind is not kind:
        pass


async def test_the_same_list_of_a_server_that_is_not_active_is_announced_once(
    app: App, alpha: MockOpenCode, beta: MockOpenCode
) -> None:
    await app.add_server(alpha.url, label="alpha", password=Secret("of alpha"))
    other = await app.add_server(beta.url, label="beta")
    with app.announcer.listen() as events:
        for _ in range(3):
            await app.work.on(other.id).sessions()
        seen = [events.get_nowait() for _ in range(events.qsize())]
    assert seen.count(Event(kind=Kind.SESSIONS, server_id=other.id)) == 1
