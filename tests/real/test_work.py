"""Work on the active server, with real OpenCode servers."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from codewalk.app.app import App
from codewalk.app.composition import Parts
from codewalk.errors import ServerUnreachable, Superseded
from codewalk.opencode.activity import BUSY
from codewalk.workspace.directories import ALL
from tests.real.linking import linked
from tests.real.provider import providing
from tests.real.servers import RealServer

pytestmark = pytest.mark.real

SOON = 60.0


def repository(server: RealServer, name: str) -> Path:
    """A project under version control."""
    folder = server.home / name
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.email=a@b", "-c", "user.name=n"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    return folder


async def patch(server: RealServer, path: str, body: dict[str, object]) -> None:
    """Change something on a server, as another client does."""
    password = server.password.reveal() if server.password else ""
    auth = aiohttp.encode_basic_auth(server.username or "opencode", password, encoding="utf-8")
    async with (
        aiohttp.ClientSession(server.url, headers={"Authorization": auth}) as client,
        client.patch(path, json=body) as response,
    ):
        assert response.status == 200


async def until(app: App, true: Callable[[], bool]) -> None:
    """Wait until `true` holds; it is evaluated whenever something is announced."""
    async with asyncio.timeout(SOON):
        with app.announcer.listen() as events:
            while not true():
                await events.get()


async def test_projects_are_those_that_were_worked_in_and_the_servers_own(
    app: App, real_servers: list[RealServer]
) -> None:
    for number, server in enumerate((real_servers[0], real_servers[2])):
        active = await app.switch_to(server.release)
        shop = repository(server, f"shop{number}")
        await app.work.new_session(str(shop), title="In the shop", server_id=active.id)
        live = await app.work.projects()
        projects = {project.directory: (project.name, project.own) for project in live.projects}
        assert projects[str(shop)] == (shop.name, False)
        assert projects[str(server.project)] == ("project", True)
        assert "/" not in projects
        assert all(project.updated_at for project in live.projects)
        assert (await app.work.projects(cached=True)).projects == live.projects


async def test_a_new_session_is_listed_where_it_was_created(
    app: App, real_servers: list[RealServer]
) -> None:
    for server in real_servers:
        active = await app.switch_to(server.release)
        for directory in (None, str(server.home)):
            await app.work.sessions(directory)
            created = await app.work.new_session(directory, title="Tëst 🙂", server_id=active.id)
            assert (created.title, created.directory) == (
                "Tëst 🙂",
                directory or str(server.project),
            )
            for cached in (True, False):
                listed = await app.work.sessions(directory, cached=cached)
                assert created in listed.sessions
        untitled = await app.work.new_session(server_id=active.id)
        assert untitled.title.startswith("New session")


async def test_the_own_list_is_stored_under_the_directory_in_which_the_server_was_started(
    app: App, real_servers: list[RealServer]
) -> None:
    for server in real_servers:
        active = await app.switch_to(server.release)
        project = str(server.project)
        await app.work.sessions()
        created = await app.work.new_session(server_id=active.id)
        assert created in (await app.work.sessions(cached=True)).sessions
        keys = {size.key for size in await app.stored_state(active.id)}
        for name in ("cached_sessions", "current_session_id"):
            assert f"{name}::{active.id}::{project}" in keys
            assert f"{name}::{active.id}::" not in keys
        live = await app.work.sessions(project)
        assert (await app.work.sessions(project, cached=True)).sessions == live.sessions


async def test_the_sessions_of_two_projects_are_listed_together(
    parts: Parts, app: App, real_servers: list[RealServer]
) -> None:
    for number, server in enumerate(real_servers):
        active = await app.switch_to(server.release)
        shop = repository(server, f"together{number}")
        here = await app.work.new_session(title="In the own folder", server_id=active.id)
        there = await app.work.new_session(str(shop), title="In the shop", server_id=active.id)
        archived = await app.work.new_session(str(shop), title="Old", server_id=active.id)
        if number == 0:
            for time in (1_795_395_853_000, 0):  # taken out of the archive again
                await patch(server, f"/session/{archived.id}", {"time": {"archived": time}})
        await app.work.projects()
        live = await app.work.sessions(ALL, ask_each=True)
        expected = {here.id, there.id, archived.id}
        assert expected <= {session.id for session in live.sessions}
        assert not live.is_partial
        cached = await app.work.sessions(ALL, cached=True)
        assert cached.sessions == live.sessions
        own = {session.id for session in (await app.work.sessions()).sessions}
        assert (here.id in own, there.id in own) == (True, False)
        assert f"all_sessions::{active.id}" in {s.key for s in await app.stored_state(active.id)}
        connection = await parts.connections.connect(active.profile)
        body = {"title": "In a terminal"}
        params = {"directory": str(shop)}
        terminal = await connection.post_json("/session", body, params=params, timeout=30)
        async with asyncio.timeout(SOON):
            while terminal["id"] not in {
                session.id for session in (await app.work.sessions(ALL, cached=True)).sessions
            }:
                if server is real_servers[2]:  # it lists one directory at a time
                    await app.work.sessions(ALL, ask_each=True)
                else:
                    await app.work.look(ALL)


async def test_a_call_for_a_server_that_is_not_active_creates_nothing(
    app: App, real_a: RealServer, real_b: RealServer
) -> None:
    first = await app.switch_to(real_a.release)
    await app.switch_to(real_b.release)
    before = await app.work.sessions()
    with pytest.raises(Superseded, match=f"^{real_a.release} isn't .* more; {real_b.release} is"):
        await app.work.new_session(title="not here", server_id=first.id)
    assert (await app.work.sessions()).sessions == before.sessions


async def test_the_servers_own_model_is_one_that_it_offers(app: App, real_a: RealServer) -> None:
    await app.switch_to(real_a.release)
    offered = await app.work.models()
    assert offered.default in {model.ref for model in offered.models}
    assert (await app.work.models(cached=True)).models == offered.models


async def test_a_session_is_busy_until_its_run_ends(
    parts: Parts, app: App, real_a: RealServer
) -> None:
    active = await app.switch_to(real_a.release)
    await linked(app, real_a.release)
    folder = real_a.home / "working"
    folder.mkdir()
    async with providing() as provider:
        provider.configure(folder)
        session = await app.work.new_session(str(folder), title="Work", server_id=active.id)
        connection = await parts.connections.connect(active.profile)
        await connection.post_json(
            f"/session/{session.id}/prompt_async",
            {"parts": [{"type": "text", "text": "Do it."}]},
            params={"directory": str(folder)},
            timeout=30,
        )
        await until(app, lambda: session.id in app.work.busy_sessions(active.id))
        await asyncio.wait_for(provider.asked.wait(), SOON)
        assert await app.work.activity(str(folder)) == {session.id: BUSY}
        assert await app.work.activity() == {}
        assert session.id in app.work.busy_sessions(active.id)
        provider.go_on.set()
        await until(app, lambda: session.id not in app.work.busy_sessions(active.id))
        assert await app.work.activity(str(folder)) == {}


async def test_a_release_without_activity_counts_as_idle(app: App, real_old: RealServer) -> None:
    await app.switch_to(real_old.release)
    assert await app.work.activity() == {}


async def test_archived_and_child_sessions_are_told_by_events_and_lists_alike(
    parts: Parts, app: App, real_a: RealServer
) -> None:
    active = await app.switch_to(real_a.release)
    await linked(app, real_a.release)
    parent = await app.work.new_session(title="Parent", server_id=active.id)
    connection = await parts.connections.connect(active.profile)
    made = await connection.post_json("/session", {"title": "Child", "parentID": parent.id})

    async def listed(*, cached: bool) -> dict[str, tuple[str | None, bool]]:
        sessions = await app.work.sessions(archived=True, cached=cached)
        return {s.id: (s.parent_id, s.archived) for s in sessions.sessions}

    async def wait_until(true: Callable[[dict[str, tuple[str | None, bool]]], bool]) -> None:
        async with asyncio.timeout(SOON):
            with app.announcer.listen() as events:
                while not true(await listed(cached=True)):
                    await events.get()

    await wait_until(lambda sessions: made["id"] in sessions)
    assert (await listed(cached=True))[made["id"]] == (parent.id, False)
    assert (await listed(cached=False))[made["id"]] == (parent.id, False)
    for archived in (1_795_395_853_000, 0):
        await patch(real_a, f"/session/{parent.id}", {"time": {"archived": archived}})
        await wait_until(lambda sessions: sessions[parent.id][1] is bool(archived))  # noqa: B023 - awaited here
        assert (await listed(cached=False))[parent.id] == (None, bool(archived))
    assert parent in (await app.work.sessions(cached=True)).sessions


async def test_a_look_needs_few_sessions_of_many(app: App, real_servers: list[RealServer]) -> None:
    for server in real_servers:
        active = await app.switch_to(server.release)
        for number in range(60):
            await app.work.new_session(title=f"Many {number}", server_id=active.id)
        before = await app.work.sessions()
        assert before.fetched_at is not None
        async with asyncio.timeout(SOON):
            # Looks within a second are left out.
            while (after := await app.work.sessions(cached=True)).fetched_at == before.fetched_at:
                await app.work.look()
        assert after.sessions == before.sessions


async def test_the_words_of_a_server_with_an_invalid_configuration_are_its_warning(
    app: App, real_servers: list[RealServer]
) -> None:
    server = real_servers[0]
    active = await app.switch_to(server.release)
    broken = repository(server, "broken")
    (broken / "opencode.json").write_text('{"provider": 5}', "utf-8")
    with pytest.raises(ServerUnreachable):
        await app.work.sessions(str(broken))
    health = app.server(active.id).to_json()["health"]
    assert health["state"] == "healthy"
    assert health["warning"].startswith(f"Answers, but its sessions in {broken} can't be listed: ")
    assert "at provider (in " in health["warning"]
    assert str(broken / "opencode.json") in health["warning"]
    # OpenCode reads a project's configuration once; the list of its own directory is another.
    await app.work.sessions()
    assert app.server(active.id).health.warning == health["warning"]
