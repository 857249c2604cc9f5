"""The keep-alive connection from one GET to the next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from codewalk.errors import RequestFailed
from codewalk.opencode.client import OpenCodeClient
from codewalk.opencode.connection import Connection
from codewalk.opencode.pool import GetRequest
from codewalk.reason import Reason

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n"
TRUE, NULL = OK + b"true", OK + b"null"


class Server:
    """Answers with the last of `answers`, else with `answer`; an empty one ends the connection."""

    def __init__(self) -> None:
        self.answer = TRUE
        self.answers: list[bytes] = []
        self.opened = self.requests = 0
        self.ended = asyncio.Event()
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.writers.append(writer)
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                self.requests += 1
                answer = self.answers.pop() if self.answers else self.answer
                if not answer:
                    break
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(keep_alive: float = 30.0) -> AsyncIterator[tuple[Server, Connection]]:
    async with two_ways(keep_alive) as (server, connection, _):
        yield server, connection


@asynccontextmanager
async def two_ways(
    keep_alive: float = 30.0,
) -> AsyncIterator[tuple[Server, Connection, Connection]]:
    """A server, and two who talk to it apart from each other."""
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening, OpenCodeClient(keep_alive=keep_alive) as client:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield server, client.connect(url), client.connect(url)


async def test_requests_in_turn_use_one_connection() -> None:
    async with serving() as (server, connection):
        for _ in range(5):
            assert await connection.get_json("/path") is True
        assert (server.opened, server.requests) == (1, 5)


async def test_concurrent_requests_have_a_connection_each() -> None:
    async with serving() as (server, connection):
        answers = await asyncio.gather(*(connection.get_json("/path") for _ in range(3)))
        assert answers == [True] * 3
        assert (server.opened, server.requests) == (3, 3)
        await asyncio.gather(*(connection.get_json("/path") for _ in range(3)))
        assert (server.opened, server.requests) == (3, 6)


async def test_an_idle_connection_is_closed_in_time() -> None:
    async with serving(keep_alive=0.05) as (server, connection):
        await connection.get_json("/path")
        await server.ended.wait()
        assert await connection.get_json("/path") is True
        assert server.opened == 2


async def test_a_get_is_sent_again_when_its_idle_connection_ends() -> None:
    async with serving() as (server, connection):
        await connection.get_json("/path")
        server.answers = [b""]
        assert await connection.get_json("/path") is True
        assert (server.opened, server.requests) == (2, 3)


async def test_a_get_on_an_idle_connection_is_sent_at_most_twice() -> None:
    async with serving() as (server, connection):
        await connection.get_json("/path")
        server.answer = b""
        with pytest.raises(RequestFailed) as caught:
            await connection.get_json("/path")
        assert caught.value.reason is Reason.UNREACHABLE
        assert server.requests == 3


async def test_a_get_on_a_new_connection_is_sent_once() -> None:
    async with serving() as (server, connection):
        server.answer = b""
        with pytest.raises(RequestFailed) as caught:
            await connection.get_json("/path")
        assert caught.value.reason is Reason.UNREACHABLE
        assert server.requests == 1


@pytest.mark.parametrize("status", [b"401", b"403"])
async def test_refused_credentials_are_never_sent_twice_for_a_closed_connection(
    status: bytes,
) -> None:
    async with serving() as (server, connection):
        server.answers = [TRUE.replace(b"200", status)]
        with pytest.raises(RequestFailed):
            await connection.get_json("/path")
        server.answer = b""
        with pytest.raises(RequestFailed):
            await connection.get_json("/path")
        assert (server.opened, server.requests) == (2, 2)


async def test_a_surplus_response_isnt_taken_for_the_next_one() -> None:
    async with serving() as (server, connection):
        server.answer = TRUE + NULL
        assert await connection.get_json("/path") is True
        server.answer = TRUE
        assert await connection.get_json("/path") is True
        assert server.opened == 2


async def test_a_response_that_arrives_on_an_idle_connection_isnt_taken_for_the_next_one() -> None:
    async with two_ways() as (server, connection, another):
        assert await connection.get_json("/path") is True
        server.writers[0].write(NULL)
        # By the time that another connection has its answer, this one has that.
        assert await another.get_json("/path") is True
        assert await connection.get_json("/path") is True
        assert server.opened == 3


async def test_after_connection_close_another_connection_is_opened() -> None:
    async with serving() as (server, connection):
        server.answer = TRUE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert await connection.get_json("/path") is True
        await server.ended.wait()
        assert await connection.get_json("/path") is True
        assert server.opened == 2


async def test_interim_responses_are_skipped() -> None:
    async with serving() as (server, connection):
        server.answer = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * 3 + TRUE
        assert await connection.get_json("/path") is True


async def test_a_request_that_timed_out_leaves_no_response_for_the_next_one() -> None:
    async with serving() as (server, connection):
        server.answer = OK
        with pytest.raises(RequestFailed) as caught:
            await connection.get_json("/path", timeout=0.05)
        assert caught.value.reason is Reason.TIMEOUT
        await server.ended.wait()
        server.answer = TRUE
        assert await connection.get_json("/path") is True


async def test_a_request_has_these_headers_and_no_others() -> None:
    async with serving() as (server, connection):
        await connection.get_json("/a%20b?c=d")
        place = connection.url.removeprefix("http://")
    assert server.heads[0].decode().split("\r\n") == [
        "GET /a%20b?c=d HTTP/1.1",
        f"Host: {place}",
        "Accept: application/json",
        "Accept-Encoding: gzip, deflate",
        "User-Agent: CodeWalk",
        "",
        "",
    ]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
async def test_no_line_can_be_injected_into_a_request(end: str) -> None:
    url = URL("http://127.0.0.1:4096/path")
    with pytest.raises(ValueError, match="line break"):
        GetRequest.build(url, {"Authorization": f"Basic{end}X-Evil: yes"})
    lines = GetRequest.build(url.with_path(f"/{end}X-Evil: yes"), {}).data.splitlines()
    assert not any(line.startswith(b"X-Evil") for line in lines)


async def test_the_repr_of_a_request_contains_no_password() -> None:
    secret = "Basic b3BlbmNvZGU6aHVudGVyMg=="
    get = GetRequest.build(URL("http://127.0.0.1:4096/path"), {"Authorization": secret})
    assert secret.encode() in get.data
    assert secret not in repr(get)
