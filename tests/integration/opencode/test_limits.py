"""Responses of a server are bounded in size, time and depth, in every encoding."""

import tracemalloc
from asyncio import Event, Runner, Server, StreamReader, StreamWriter, start_server
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codewalk.opencode.client import OpenCodeClient
from codewalk.opencode.connection import MAX_BODY, RequestFailed
from codewalk.reason import Reason
from tests.mock_behaviours import Behaviour, drip, endless, gzip_bomb, reply
from tests.mock_opencode import MockOpenCode

LIMIT = 2**20


def test_the_limit_is_64_mib() -> None:
    assert MAX_BODY == 64 * 1024 * 1024


@pytest.mark.parametrize(
    "behaviour",
    [reply(b"x" * (LIMIT + 1)), gzip_bomb(LIMIT + 1), gzip_bomb(64 * LIMIT), endless()],
    ids=["plain", "gzip, just over", "gzip bomb", "endless"],
)
async def test_a_body_over_the_limit_is_dropped_before_it_fills_the_memory(
    client: OpenCodeClient, server: MockOpenCode, behaviour: Behaviour
) -> None:
    server.script("/path", behaviour)
    connection = client.connect(server.url)
    tracemalloc.start()
    try:
        with pytest.raises(RequestFailed, match="1,048,576 bytes") as caught:
            await connection.get("/path", limit=LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.reason is Reason.NOT_OPENCODE
    assert peak < 6 * LIMIT


@pytest.mark.parametrize(
    "behaviour", [reply(b"x" * LIMIT), gzip_bomb(LIMIT)], ids=["plain", "gzip"]
)
async def test_a_body_of_exactly_the_limit_is_accepted(
    client: OpenCodeClient, server: MockOpenCode, behaviour: Behaviour
) -> None:
    server.script("/path", behaviour)
    answer = await client.connect(server.url).get("/path", limit=LIMIT)
    assert len(answer.body) == LIMIT


async def test_a_body_sent_slowly_doesnt_extend_the_timeout(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    server.script("/path", drip(b" " * 10_000, every=0.01))
    with pytest.raises(RequestFailed) as caught:
        await client.connect(server.url).get("/path", timeout=0.2)
    assert caught.value.reason is Reason.TIMEOUT


async def test_the_connection_to_a_server_that_sent_too_much_isn_t_used_again(
    client: OpenCodeClient, server: MockOpenCode
) -> None:
    server.script("/big", reply(b"x" * (4 * LIMIT)))
    connection = client.connect(server.url)
    with pytest.raises(RequestFailed):
        await connection.get("/big", limit=LIMIT)
    assert (await connection.get_json("/global/health"))["healthy"] is True


class Garbage:
    """A server that answers each connection with `data` and hangs up."""

    def __init__(self, runner: Runner) -> None:
        self.data = b""
        self._runner = runner
        self._server: Server = runner.run(start_server(self._answer, "127.0.0.1", 0))
        self._client = OpenCodeClient()
        runner.run(self._client.__aenter__())
        port = self._server.sockets[0].getsockname()[1]
        self.connection = self._client.connect(f"http://127.0.0.1:{port}")

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.data)
        writer.close()

    def fetch(self, data: bytes) -> None:
        """One request; returns, or raises what it shouldn't."""
        self.data = data
        with suppress(RequestFailed):
            self._runner.run(self.connection.get_json("/path", timeout=5.0))

    def close(self) -> None:
        self._runner.run(self._client.__aexit__())
        self._server.close()
        self._runner.run(self._server.wait_closed())


@contextmanager
def garbage() -> Iterator[Garbage]:
    with Runner() as runner:
        server = Garbage(runner)
        try:
            yield server
        finally:
            server.close()


STATUS = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 200", b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 999 \xff",
     b"HTTP/2 200", b"HTTP/1.1 302 Found", b"HTTP/1.1 -1 x", b"200 OK"]
)  # fmt: skip
HEADER = st.sampled_from(
    [b"Content-Length: 2", b"Content-Length: 99", b"Content-Length: -1", b"Content-Length: 2, 3",
     b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Encoding: gzip",
     b"Content-Encoding: deflate", b"Content-Encoding: zstd", b"Content-Encoding: br",
     b"Upgrade: websocket", b"Connection: upgrade", b"Connection: close", b"Location: http://[",
     b"Location: \xff\xfe", b"Location: /\x00", b"Set-Cookie: \xff=;;;", b"Content-Type: \xff/\xff",
     b"X", b": y", b" folded", b"Content-Type: " + b"a" * 9000]
)  # fmt: skip
BODY = st.sampled_from(
    [b"{}", b"2\r\n{}\r\n0\r\n\r\n", b"ffffffffffffffff\r\n{}", b"-1\r\n", b"\x1f\x8b\x08\x00", b""]
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_response_raises_any_other_error(data: st.DataObject) -> None:
    whole = st.builds(
        lambda status, headers, body: b"\r\n".join([status, *headers, b"", body]),
        STATUS,
        st.lists(HEADER, max_size=4),
        BODY | st.binary(max_size=40),
    )
    answers = data.draw(st.lists(whole | st.binary(max_size=80), min_size=1, max_size=5))
    with garbage() as server:
        for answer in answers:
            server.fetch(answer)


@pytest.mark.parametrize("flood", [b"HTTP/1.1 102 P\r\n\r\n", b"HTTP/1.1 103 E\r\nX: y\r\n\r\n"])
async def test_endless_interim_responses_dont_block_the_event_loop(flood: bytes) -> None:
    """They arrive faster than they are parsed: the event loop came to nothing else for seconds."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(2000):
                writer.write(flood * 4000)
                await writer.drain()
        writer.close()
        ended.set()

    ended = Event()
    server = await start_server(answer, "127.0.0.1", 0)
    async with server, OpenCodeClient() as client:
        port = server.sockets[0].getsockname()[1]
        connection = client.connect(f"http://127.0.0.1:{port}")
        with pytest.raises(RequestFailed) as caught:
            await connection.get("/global/health", timeout=60)
        await ended.wait()
    assert caught.value.reason is Reason.NOT_OPENCODE
