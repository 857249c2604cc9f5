"""The running app sends little to a server that refuses credentials or is busy."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.app.composition import open_app
from codewalk.errors import ServerUnreachable
from codewalk.reason import Reason, State
from codewalk.secret import Secret
from codewalk.servers.draft import Change
from codewalk.settings import Settings
from codewalk.workspace.directories import ALL
from tests.mock_behaviours import close, json_reply, reply
from tests.mock_opencode import MockOpenCode, Release

HEALTH = "/global/health"
TIMEOUT = 10.0

ACTIONS: dict[str, Callable[[App], Awaitable[object]]] = {
    "sessions": lambda app: app.work.sessions(),
    "projects": lambda app: app.work.projects(),
    "models": lambda app: app.work.models(),
    "activity": lambda app: app.work.activity(),
    "new session": lambda app: app.work.new_session("/p", server_id=app.servers()[0].id),
}


async def until_reason(app: App, reason: Reason) -> None:
    """Wait until the first server's reason is this one."""
    with app.announcer.listen() as events:
        async with asyncio.timeout(TIMEOUT):
            while app.servers()[0].health.reason is not reason:
                await events.get()


async def refused_actions(app: App) -> set[str]:
    """Do everything that a user may do with the active server; return the errors."""
    messages = set()
    for action in ACTIONS.values():
        with pytest.raises(ServerUnreachable) as caught:
            await action(app)
        messages.add(caught.value.message)
    return messages


def sent_paths(server: MockOpenCode) -> list[str | None]:
    """Return the paths that a password was sent to, and None for each request without one."""
    return [r.path if "Authorization" in r.headers else None for r in server.requests]


async def test_a_wrong_password_is_sent_once_at_the_start_whatever_the_store_says(
    settings: Settings,
) -> None:
    async with MockOpenCode(password="right") as server:
        async with codewalk.open(settings) as app:
            await app.add_server(server.url, password=Secret("right"))
        assert server.count(HEALTH) == 2  # first without the password
        # The stored status is green, and the password is changed while no CodeWalk runs.
        server.password = "changed"
        server.requests.clear()
        async with open_app(settings, watch=True) as app:
            await until_reason(app, Reason.AUTH_REJECTED)
            (message,) = await refused_actions(app)
            assert "refused the user name 'opencode' or its password." in message
            assert sent_paths(server) == [None, HEALTH]
            await app.check(app.servers()[0].id, budget=5.0)
            assert sent_paths(server) == [None, HEALTH, HEALTH]
            with pytest.raises(ServerUnreachable):
                await app.edit_server(app.servers()[0].id, Change(password=Secret("wrong, too")))
            assert sent_paths(server) == [None, HEALTH, HEALTH, None, HEALTH]
            await app.edit_server(app.servers()[0].id, Change(password=Secret("changed")))
            assert (await app.work.sessions()).sessions == ()


async def test_a_ban_after_a_wrong_password_does_not_hide_it(settings: Settings) -> None:
    async with MockOpenCode(password="right") as server, open_app(settings, watch=True) as app:
        await app.add_server(server.url, password=Secret("wrong"), check=False)
        await until_reason(app, Reason.AUTH_REJECTED)
        server.password = None
        server.script("*", close())
        # With more time than the last check had, whose result isn't reused then.
        status = (await app.check(app.servers()[0].id, budget=5.0)).health
        assert (status.state, status.reason) == (State.UNHEALTHY, Reason.AUTH_REJECTED)
        assert status.detail == (
            f"127.0.0.1:{server.port} refused the user name 'opencode' or its password. "
            "It now refuses the connection too."
        )
        assert [check.reason for check in app.recent_checks(app.servers()[0].id)] == [
            Reason.AUTH_REJECTED,
            Reason.UNREACHABLE,
        ]


async def test_a_busy_server_gets_nothing_until_it_may_be_asked(settings: Settings) -> None:
    async with MockOpenCode() as server, open_app(settings, watch=True) as app:
        server.script("*", reply(status=429, headers={"Retry-After": "1"}))
        server.script(HEALTH, reply(status=429, headers={"Retry-After": "1"}))
        await app.add_server(server.url, check=False)
        await until_reason(app, Reason.BUSY)
        assert app.servers()[0].health.state is State.UNKNOWN
        (message,) = await refused_actions(app)
        assert message.endswith("(status 429); it is asked again after 1 s.")
        assert [seen.path for seen in server.requests] == [HEALTH]
        server.script("*")
        server.script(HEALTH)
        await until_reason(app, Reason.OK)


async def test_a_server_that_reports_itself_unhealthy_is_red_though_its_lists_work(
    settings: Settings,
) -> None:
    async with MockOpenCode() as server, open_app(settings, watch=True) as app:
        server.script(HEALTH, json_reply({"healthy": False}, status=503))
        await app.add_server(server.url, check=False)
        await until_reason(app, Reason.REPORTS_UNHEALTHY)
        assert app.servers()[0].health.state is State.UNHEALTHY


async def test_a_page_of_all_folders_asks_for_no_folder_by_its_name(settings: Settings) -> None:
    """A directory that is asked for starts an instance there, with its plugins."""
    async with (
        MockOpenCode() as server,
        MockOpenCode(release=Release.OLD) as old,
        open_app(settings, watch=True) as app,
    ):
        for mock in (server, old):
            for name in ("a", "b", "c"):
                mock.world.add_project(f"/srv/{name}")
                mock.world.add_session(name, directory=f"/srv/{name}", project_id=name)
            added = await app.add_server(mock.url, use=True)
            with app.work.viewers.viewing():
                await app.work.projects()
                await app.work.overview(ALL, server_id=added.id)
                listed = await app.work.sessions(ALL)
                mock.world.end_streams()
                await mock.wait_for_requests("/session/status", 2)
                await app.work.look(ALL)
            assert [seen.query.get("directory") for seen in mock.requests] == [None] * len(
                mock.requests
            )
            assert listed.is_partial is (mock is old)
            titles = [session.title for session in listed.sessions]
            assert titles == ([] if mock is old else ["c", "b", "a"])
