"""CodeWalk's main job on real OpenCode servers: keep, check, switch, never mix them up."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from codewalk.app.app import App
from codewalk.app.composition import Parts, open_parts
from codewalk.errors import ServerUnreachable, Superseded
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.settings import Settings
from tests.real.servers import RealServer

pytestmark = pytest.mark.real


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    async with open_parts(settings) as parts:
        yield parts


async def make_session(parts: Parts, app: App, title: str) -> None:
    active = app.active()
    assert active
    connection = await parts.connections.connect(active.profile)
    await connection.post_json("/session", {"title": title}, timeout=30)


async def titles(app: App, *, cached: bool = False) -> set[str]:
    return {session.title for session in (await app.work.sessions(cached=cached)).sessions}


async def test_every_release_is_healthy_and_says_its_version_where_it_can(
    app: App, real_servers: Sequence[RealServer]
) -> None:
    checked = [await app.check(server.id) for server in app.servers()]
    assert [server.health.state for server in checked] == [State.HEALTHY] * 3
    assert [server.health.version for server in checked] == [
        real_servers[0].release,
        real_servers[1].release,
        None,
    ]


async def test_each_server_shows_its_own_sessions(parts: Parts, app: App) -> None:
    for server in app.servers():
        await app.switch_to(server.id)
        await make_session(parts, app, f"made on {server.name}")
    for server in app.servers():
        await app.switch_to(server.id)
        shown = await titles(app)
        assert {title for title in shown if title.startswith("made on")} == {
            f"made on {server.name}"
        }
        assert await titles(app, cached=True) == shown


async def test_more_than_a_hundred_sessions_are_listed(parts: Parts, app: App) -> None:
    """Current releases send a hundred unless they are asked for more."""
    async with asyncio.TaskGroup() as group:
        for number in range(105):
            group.create_task(make_session(parts, app, f"one of many {number}"))
    assert len([title for title in await titles(app) if title.startswith("one of many")]) == 105


async def test_switching_while_lists_load_never_shows_another_servers_session(
    parts: Parts, app: App
) -> None:
    for server in app.servers():
        await app.switch_to(server.id)
        await make_session(parts, app, f"only on {server.name}")
    for server in [*app.servers(), *app.servers()]:
        async with asyncio.TaskGroup() as group:
            shown = group.create_task(_shown(app))
            await app.switch_to(server.id)
        outcome = shown.result()
        if outcome is not None:
            assert {t for t in outcome if t.startswith("only on")} == {f"only on {server.name}"}


async def test_a_password_of_one_server_is_refused_by_the_other(
    app: App, real_a: RealServer, real_b: RealServer
) -> None:
    await app.remove_server(real_a.release)
    with pytest.raises(ServerUnreachable, match="refused the user name 'opencode' or its password"):
        await app.add_server(real_a.url, password=real_b.password)
    with pytest.raises(ServerUnreachable, match="asks for a user name"):
        await app.add_server(real_a.url)
    assert isinstance(real_a.password, Secret)


async def test_the_connected_models_are_listed_and_the_choice_stays_with_its_server(
    app: App,
) -> None:
    first, second = app.servers()[:2]
    offered = await app.work.models()
    assert offered.models
    await app.work.use_model(offered.models[0].ref)
    await app.switch_to(second.id)
    assert (await app.work.models()).selected is None
    await app.switch_to(first.id)
    assert (await app.work.models()).selected == offered.models[0].ref


async def _shown(app: App) -> set[str] | None:
    try:
        return await titles(app)
    except Superseded:
        return None
