"""The event stream over real sockets."""

from collections.abc import AsyncIterator

import pytest

from codewalk.errors import RequestFailed
from codewalk.opencode.client import OpenCodeClient
from codewalk.opencode.events import EVENTS_PATH, Connected, SessionChanged, open_events
from codewalk.reason import Reason
from codewalk.secret import Secret
from tests.mock_behaviours import Behaviour, never, raw, redirect, reply
from tests.mock_opencode import MockOpenCode

GLOBAL_EVENTS_PATH = "/global/event"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def silence_timeout() -> float:
    return 10.0


@pytest.fixture
async def client() -> AsyncIterator[OpenCodeClient]:
    async with OpenCodeClient() as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[MockOpenCode]:
    async with MockOpenCode(password="secret") as opened:
        yield opened


async def test_events_come_with_credentials_until_the_server_ends(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    connection = client.connect(server.url, None, Secret("secret"))
    read = []
    async with open_events(connection, silence_timeout=silence_timeout) as events:
        server.world.emit("message.part.delta", {"delta": "x" * 100_000})
        server.world.emit("session.created", {"info": {"id": "ses_1"}}, directory="/p")
        async for event in events:
            read.append(event)
            if isinstance(event, SessionChanged):
                server.world.end_streams()
    assert read == [Connected(), SessionChanged(session_id="ses_1", directory="/p")]
    assert server.requests[0].headers["Accept"] == "text/event-stream"


async def test_the_wrong_password_is_rejected(client: OpenCodeClient, server: MockOpenCode) -> None:
    connection = client.connect(server.url, None, Secret("wrong"))
    with pytest.raises(RequestFailed) as caught:
        async with open_events(connection, silence_timeout=silence_timeout):
            raise AssertionError("it opened")
    assert caught.value.reason is Reason.AUTH_REJECTED


async def test_a_redirect_is_followed_on_the_same_origin_alone(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    connection = client.connect(server.url, None, Secret("secret"))
    server.script("/event", redirect("/global/event"))
    async with open_events(connection, path=EVENTS_PATH, silence_timeout=silence_timeout):
        assert server.count(GLOBAL_EVENTS_PATH) == 1
    async with MockOpenCode() as thief:
        server.script(GLOBAL_EVENTS_PATH, redirect(f"{thief.url}/global/event"))
        with pytest.raises(RequestFailed):
            async with open_events(
                connection, path=GLOBAL_EVENTS_PATH, silence_timeout=silence_timeout
            ):
                raise AssertionError("it opened")
        assert thief.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        raw(HEAD + b"5\r\n: hi\n\r\n"),
        raw(HEAD + b"5\r\n: hi\n\r\nno chunk\r\n"),
        raw(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\n: hi\n"
        ),
    ],
)
async def test_a_stream_that_is_cut_off_raises_request_failed(
    client: OpenCodeClient, server: MockOpenCode, answer: Behaviour
) -> None:
    server.script(GLOBAL_EVENTS_PATH, answer)
    connection = client.connect(server.url, None, Secret("secret"))
    with pytest.raises(RequestFailed):
        async with open_events(connection, silence_timeout=silence_timeout) as events:
            _ = [event async for event in events]


async def test_a_web_page_or_silence_is_no_stream(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    connection = client.connect(server.url, None, Secret("secret"))
    server.script("*", reply(b"<html>", content_type="text/html"))
    with pytest.raises(RequestFailed) as caught:
        async with open_events(connection, silence_timeout=silence_timeout):
            raise AssertionError("it opened")
    assert caught.value.reason is Reason.NOT_OPENCODE
    server.script("*", never())
    with pytest.raises(RequestFailed) as caught:
        async with connection.stream(GLOBAL_EVENTS_PATH, timeout=0.05):
            raise AssertionError("it opened")
    assert caught.value.reason is Reason.TIMEOUT


async def test_an_empty_stream_never_opened(client: OpenCodeClient, server: MockOpenCode) -> None:
    server.script("/global/event", reply(b"", content_type="text/event-stream"))
    connection = client.connect(server.url, None, Secret("secret"))
    with pytest.raises(RequestFailed) as caught:
        async with open_events(connection, silence_timeout=silence_timeout):
            raise AssertionError("it opened")
    assert caught.value.reason is Reason.SERVER_ERROR
