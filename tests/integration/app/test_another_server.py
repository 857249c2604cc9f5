"""Nothing of one server is shown as another's that has taken its address, or got its URL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.servers.draft import Change
from codewalk.settings import Settings
from tests.mock_opencode import MockOpenCode

PASSWORD = "of the box"


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    async with codewalk.open(settings, watch=True) as app:
        yield app


async def until(app: App, true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until `true` holds; it is evaluated whenever something is announced."""
    with app.announcer.listen() as events:
        async with asyncio.timeout(15):
            while not await true():
                await events.get()


async def titles(app: App) -> list[str]:
    return [s.title for s in (await app.work.sessions(cached=True)).sessions]


def server(home: str, title: str, port: int = 0) -> MockOpenCode:
    mock = MockOpenCode(port=port)
    mock.world.home = home
    mock.world.add_project(f"{home}/shop")
    mock.world.add_session(title)
    return mock


async def test_a_server_that_takes_over_an_address_shows_nothing_of_the_earlier_one(
    app: App,
) -> None:
    async with server("/home/ana", "Ana's work") as ana:
        box = await app.add_server(ana.url, label="Box")
        await until(app, lambda: is_shown(app, "Ana's work", "/home/ana/shop"))
        await app.work.use_model("anthropic/claude-sonnet")
        port = ana.port
    await until(app, lambda: is_state(app, State.UNHEALTHY))
    async with server("/home/ben", "Ben's work", port):
        await until(app, lambda: is_shown(app, "Ben's work", "/home/ben/shop"))
        assert await titles(app) == ["Ben's work"]
        assert (await app.work.models(cached=True)).selected is None
        history = await app.history("Box")
        details = [transition.detail for transition in history.transitions]
        assert "Another OpenCode server answers at its address now." in details
        assert all(check.at >= history.transitions[-1].at for check in history.checks)
        keys = {entry.key for entry in await app.stored_state("Box")}
        assert f"selected_model::{box.id}" not in keys


async def test_a_server_that_was_restarted_keeps_what_was_chosen_for_it(app: App) -> None:
    async with server("/home/ana", "Ana's work") as ana:
        await app.add_server(ana.url, label="Box")
        await until(app, lambda: is_shown(app, "Ana's work", "/home/ana/shop"))
        await app.work.use_model("anthropic/claude-sonnet")
        await ana.stop()
        await until(app, lambda: is_state(app, State.UNHEALTHY))
        ana.world.add_project("/home/ana/another")
        await ana.start()
        await until(app, lambda: is_shown(app, "Ana's work", "/home/ana/another"))
        assert (await app.work.models(cached=True)).selected == "anthropic/claude-sonnet"
        details = [t.detail for t in (await app.history("Box")).transitions]
        assert "Another OpenCode server answers at its address now." not in details


async def test_with_another_url_nothing_that_was_fetched_is_left(app: App) -> None:
    async with server("/home/ana", "Ana's work") as ana, server("/home/ben", "Ben's work") as ben:
        await app.add_server(ana.url, label="Box")
        await until(app, lambda: is_shown(app, "Ana's work", "/home/ana/shop"))
        gate = ben.hold("/session")
        await app.edit_server("Box", Change(url=ben.url))
        await gate.arrived.wait()
        assert await titles(app) == []
        assert (await app.work.projects(cached=True)).projects == () or (
            "/home/ana/shop" not in await directories(app)
        )
        gate.release()
        await until(app, lambda: is_shown(app, "Ben's work", "/home/ben/shop"))
        assert "/home/ana/shop" not in await directories(app)
        details = [t.detail for t in (await app.history("Box")).transitions]
        assert f"Its URL was {ana.url} before." in details


async def test_a_late_answer_from_the_old_url_is_not_stored(app: App) -> None:
    async with server("/home/ana", "Ana's work") as ana, server("/home/ben", "Ben's work") as ben:
        await app.add_server(ana.url, label="Box")
        await until(app, lambda: is_shown(app, "Ana's work", "/home/ana/shop"))
        ana_gate, ben_gate = ana.hold("/session"), ben.hold("/session")
        async with asyncio.TaskGroup() as group:
            group.create_task(app.work.sessions(), name="a late answer")
            await ana_gate.arrived.wait()
            await app.edit_server("Box", Change(url=ben.url))
            ana_gate.release()
        assert await titles(app) == []
        ben_gate.release()
        await until(app, lambda: is_shown(app, "Ben's work", "/home/ben/shop"))


async def test_two_servers_that_share_an_address_are_not_forgotten_in_turn(app: App) -> None:
    async with server("/home/ana", "Ana's work") as box:
        await app.add_server(box.url, label="Box")
        await until(app, lambda: is_shown(app, "Ana's work", "/home/ana/shop"))
        for home in ("/home/ben", "/home/ana", "/home/ben"):
            box.world.home = home
            await app.work.projects()
        details = [t.detail for t in (await app.history("Box")).transitions]
        assert details.count("Another OpenCode server answers at its address now.") == 1


async def test_what_is_cleared_does_not_bring_the_earlier_servers_history_back(app: App) -> None:
    async with server("/home/ana", "Ana's work") as box:
        await app.add_server(box.url, label="Box")
        await until(app, lambda: is_shown(app, "Ana's work", "/home/ana/shop"))
        before = (await app.history("Box")).checks
        box.world.home = "/home/ben"
        await app.work.projects()
        await app.clear_state("Box")
        checks = (await app.history("Box")).checks
        assert before
        assert not set(before) & set(checks)


async def test_another_label_leaves_what_was_fetched(app: App) -> None:
    async with server("/home/ana", "Ana's work") as ana:
        await app.add_server(ana.url, label="Box")
        await until(app, lambda: is_shown(app, "Ana's work", "/home/ana/shop"))
        gate = ana.hold("/session")
        await app.edit_server("Box", Change(label="Another"))
        assert await titles(app) == ["Ana's work"]
        gate.release()


async def test_a_stored_password_is_not_sent_to_a_server_that_answers_without_one(
    app: App,
) -> None:
    protected = MockOpenCode(password=PASSWORD)
    async with protected:
        await app.add_server(protected.url, label="Box", password=Secret(PASSWORD))
        assert app.server("Box").warnings == ()
        port = protected.port
    await until(app, lambda: is_state(app, State.UNHEALTHY))
    async with MockOpenCode(port=port) as open_server:
        await until(app, lambda: is_state(app, State.HEALTHY))
        await app.work.sessions()
        await app.work.new_session(title="x", server_id=app.server("Box").id)
        assert open_server.requests
        assert not [r for r in open_server.requests if "Authorization" in r.headers]
        remark = "It answers without a password; the stored one isn't sent to it."
        assert app.server("Box").warnings == (remark,)
        assert app.server("Box").to_json()["health"]["detail"] == remark
    await until(app, lambda: is_state(app, State.UNHEALTHY))
    async with MockOpenCode(password=PASSWORD, port=port):
        await until(app, lambda: is_state(app, State.HEALTHY))
        await app.work.sessions()
        assert app.server("Box").warnings == ()


async def is_state(app: App, state: State) -> bool:
    return app.server("Box").health.state is state


async def directories(app: App) -> list[str]:
    return [p.directory for p in (await app.work.projects(cached=True)).projects]


async def is_shown(app: App, title: str, directory: str) -> bool:
    return title in await titles(app) and directory in await directories(app)
