"""The connection on real servers: what the mock claims of them is true."""

from collections.abc import AsyncIterator

import pytest

from codewalk.opencode.client import OpenCodeClient
from codewalk.opencode.connection import Connection, RequestFailed
from codewalk.reason import Reason
from codewalk.secret import Secret
from tests.real.servers import RealServer

pytestmark = pytest.mark.real


@pytest.fixture
async def client() -> AsyncIterator[OpenCodeClient]:
    async with OpenCodeClient() as opened:
        yield opened


def to(client: OpenCodeClient, server: RealServer) -> Connection:
    return client.connect(server.url, server.username, server.password)


async def test_current_releases_answer_health_with_their_version(
    client: OpenCodeClient, real_a: RealServer, real_b: RealServer
) -> None:
    for server in (real_a, real_b):
        health = await to(client, server).get_json("/global/health", timeout=30)
        assert health == {"healthy": True, "version": server.release}


async def test_1_0_0_has_no_health_but_a_path(client: OpenCodeClient, real_old: RealServer) -> None:
    connection = to(client, real_old)
    assert (await connection.get("/global/health", timeout=30)).status == 404
    path = await connection.get_json("/path", timeout=30)
    assert path["directory"] == str(real_old.project)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        (None, Reason.AUTH_REQUIRED),
        (Secret("wrong"), Reason.AUTH_REJECTED),
    ],
)
async def test_a_wrong_password_and_none_have_different_reasons(
    client: OpenCodeClient, real_a: RealServer, password: Secret | None, reason: Reason
) -> None:
    connection = client.connect(real_a.url, "opencode" if password else None, password)
    with pytest.raises(RequestFailed) as caught:
        await connection.get_json("/global/health", timeout=30)
    assert caught.value.reason is reason


async def test_one_server_s_password_opens_no_other(
    client: OpenCodeClient, real_a: RealServer, real_b: RealServer
) -> None:
    crossed = client.connect(real_a.url, real_b.username, real_b.password)
    with pytest.raises(RequestFailed) as caught:
        await crossed.get_json("/path", timeout=30)
    assert caught.value.reason is Reason.AUTH_REJECTED


async def test_an_unknown_path_is_a_web_page_with_status_200(
    client: OpenCodeClient, real_a: RealServer
) -> None:
    connection = to(client, real_a)
    answer = await connection.get("/no/such/path", timeout=30)
    assert (answer.status, answer.content_type) == (200, "text/html")
    with pytest.raises(RequestFailed) as caught:
        await connection.get_json("/no/such/path", timeout=30)
    assert caught.value.reason is Reason.NOT_OPENCODE


async def test_a_session_is_made_and_listed_for_its_directory_alone(
    client: OpenCodeClient, real_a: RealServer
) -> None:
    connection = to(client, real_a)
    directory = real_a.home / "a b & ü + 1"
    directory.mkdir(exist_ok=True)
    here = {"directory": str(directory)}
    made = await connection.post_json("/session", {"title": "Tëst 🙂"}, params=here, timeout=30)
    listed = await connection.get_json("/session", params=here, timeout=30)
    elsewhere = {"directory": str(real_a.project)}
    others = await connection.get_json("/session", params=elsewhere, timeout=30)
    assert [(session["id"], session["title"]) for session in listed] == [(made["id"], "Tëst 🙂")]
    assert made["id"] not in {session["id"] for session in others}


async def test_a_missing_session_is_a_server_error(
    client: OpenCodeClient, real_a: RealServer
) -> None:
    with pytest.raises(RequestFailed) as caught:
        await to(client, real_a).get_json("/session/ses_none", timeout=30)
    assert (caught.value.reason, caught.value.status) == (Reason.SERVER_ERROR, 404)


async def test_the_whole_list_of_providers_is_read_off_the_event_loop(
    client: OpenCodeClient, real_a: RealServer
) -> None:
    providers = await to(client, real_a).get_json("/provider", timeout=60)
    assert set(providers) >= {"all", "default", "connected"}
