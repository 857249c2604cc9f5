"""A server that answers its checks and fails otherwise: green, with a warning in its own words."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from codewalk.app.app import App
from codewalk.app.composition import Parts, open_parts
from codewalk.errors import ServerUnreachable
from codewalk.health.request_warnings import Listing, ListRequest, make_warning
from codewalk.reason import State
from codewalk.settings import Settings
from tests.mock_behaviours import Behaviour, close, json_reply, page, reply
from tests.mock_opencode import MockOpenCode

CONFIG = "/home/dev/.config/opencode/opencode.jsonc"
INVALID_CONFIG = json_reply(
    {
        "name": "ConfigInvalidError",
        "data": {
            "path": CONFIG,
            "issues": [{"message": "Unrecognized key: providers", "path": []}],
        },
    },
    status=400,
)
UNKNOWN_ERROR = json_reply(
    {"name": "UnknownError", "data": {"message": "Check server logs.", "ref": "err_d86e8ee5"}},
    status=500,
)


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    async with open_parts(settings, watch=True) as parts:
        yield parts


@pytest.fixture
def app(parts: Parts) -> App:
    return parts.app


async def until(app: App, true: Callable[[], bool]) -> None:
    """Wait until `true` holds; it is evaluated whenever something is announced."""
    with app.announcer.listen() as events:
        async with asyncio.timeout(10):
            while not true():
                await events.get()


def warning(app: App, name: str) -> str | None:
    health = app.server(name).to_json()["health"]
    assert health["state"] == "healthy"
    text = health["warning"]
    assert text is None or isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (INVALID_CONFIG, f"an error (status 400): Unrecognized key: providers (in {CONFIG})."),
        (UNKNOWN_ERROR, "an error (status 500): Check server logs (err_d86e8ee5)."),
        (reply(b"", status=400), "an error (status 400)."),
        (reply(b"", status=200), "an empty response."),
        (page(), "a web page."),
        (json_reply({}), "Its session list isn't a list."),
        (close(), "closed the connection without an answer."),
    ],
)
async def test_a_list_that_fails_is_a_warning_until_it_comes(
    app: App, behaviour: Behaviour, words: str
) -> None:
    async with MockOpenCode() as server:
        server.script("/session", behaviour)
        await app.add_server(server.url, label="Box")
        await until(app, lambda: warning(app, "Box") is not None)
        text = warning(app, "Box") or ""
        assert text.startswith("Answers, but its sessions can't be listed: ")
        assert text.endswith(words)
        with pytest.raises(ServerUnreachable):
            await app.work.sessions()
        server.script("/session")
        await app.work.sessions()
        assert warning(app, "Box") is None


async def test_all_lists_that_fail_are_named(app: App) -> None:
    async with MockOpenCode() as server:
        for path in ("/session", "/project", "/config/providers"):
            server.script(path, INVALID_CONFIG)
        await app.add_server(server.url, label="Box")
        await until(app, lambda: len(app.work.failing(app.server("Box").id)) == 3)
        text = warning(app, "Box") or ""
        assert all(name in text for name in ("sessions", "projects", "models"))
        assert text.count("Unrecognized key") == 1
        for path in ("/project", "/config/providers"):
            server.script(path)
        await app.work.retry(server_id=app.server("Box").id)
        assert (warning(app, "Box") or "").startswith("Answers, but its sessions can't")


async def test_a_server_that_was_down_has_no_warning_from_before(app: App) -> None:
    async with MockOpenCode() as server:
        server.script("/config/providers", UNKNOWN_ERROR)
        await app.add_server(server.url, label="Box")
        await until(app, lambda: warning(app, "Box") is not None)
        await server.stop()
        await until(app, lambda: app.server("Box").health.state is State.UNHEALTHY)
        assert app.server("Box").to_json()["health"]["warning"] is None
        server.script("/config/providers")
        await server.start()
        await until(app, lambda: app.server("Box").health.state is State.HEALTHY)
        assert warning(app, "Box") is None


async def test_a_server_that_isnt_active_keeps_its_warning_until_it_sends_the_list(
    parts: Parts,
) -> None:
    app = parts.app
    async with MockOpenCode() as broken, MockOpenCode() as other:
        broken.script("/session", UNKNOWN_ERROR)
        await app.add_server(broken.url, label="Broken")
        await until(app, lambda: warning(app, "Broken") is not None)
        await app.add_server(other.url, label="Other", use=True)
        await parts.warnings.retry(app.server("Other").id)
        assert warning(app, "Broken")
        broken.script("/session")
        count = broken.count("/session")
        await parts.warnings.retry(app.server("Other").id)
        assert warning(app, "Broken") is None
        assert broken.count("/session") == count + 1


async def test_a_warning_is_stored_for_commands(settings: Settings) -> None:
    async with MockOpenCode() as server:
        server.script("/session", UNKNOWN_ERROR)
        async with open_parts(settings, watch=True) as parts:
            await parts.app.add_server(server.url, label="Box")
            await until(parts.app, lambda: warning(parts.app, "Box") is not None)
        async with open_parts(settings) as parts:
            assert "err_d86e8ee5" in (warning(parts.app, "Box") or "")


async def test_a_directory_that_fails_is_fetched_again_though_nobody_views_it(app: App) -> None:
    async with MockOpenCode() as server:
        lists = server.world.handler("GET", "/session")
        assert lists

        async def fail_in_a_directory(request: web.Request) -> web.StreamResponse:
            return await (UNKNOWN_ERROR if "directory" in request.query else lists)(request)

        server.script("/session", fail_in_a_directory)
        box = await app.add_server(server.url, label="Box")
        await app.work.sessions()
        with pytest.raises(ServerUnreachable):
            await app.work.sessions("/srv/shop")
        await app.work.sessions()
        assert "sessions in /srv/shop" in (warning(app, "Box") or "")
        server.script("/session")
        await app.work.retry(server_id=box.id)
        assert warning(app, "Box") is None


def test_the_sentence() -> None:
    sessions = ListRequest(Listing.SESSIONS)
    shop = ListRequest(Listing.SESSIONS, "/srv/shop")
    assert make_warning({}) is None
    assert make_warning({sessions: "No."}) == "Answers, but its sessions can't be listed: No."
    both = make_warning({ListRequest(Listing.MODELS): "No.", shop: "Why."})
    assert both == "Answers, but its sessions in /srv/shop and models can't be listed: Why."
