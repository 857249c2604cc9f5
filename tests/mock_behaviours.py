"""What a mock OpenCode server can be told to do with a request.

A behaviour takes a request and answers it, or doesn't: `MockOpenCode.script` puts it at a path.
"""

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE = b"<!doctype html>\n<html><head><title>OpenCode</title></head><body></body></html>\n"


def reply(
    body: bytes = b"",
    *,
    status: int = 200,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """These bytes."""

    async def answer(_: web.Request) -> web.StreamResponse:
        sent = {"Content-Type": content_type, **(headers or {})}
        return web.Response(status=status, body=body, headers=sent)

    return answer


def json_reply(value: Any, *, status: int = 200) -> Behaviour:
    """`value` as JSON."""
    return reply(json.dumps(value).encode(), status=status)


def page(*, status: int = 200) -> Behaviour:
    """A web page, as captive portals and newer releases send for anything."""
    return reply(PAGE, status=status, content_type="text/html; charset=utf-8")


def redirect(location: str, *, status: int = 302) -> Behaviour:
    """A redirect, whose `Location` is sent as it stands."""
    return reply(status=status, content_type="text/plain", headers={"Location": location})


def deep_json(depth: int = 100_000) -> Behaviour:
    """Lists within lists."""
    return reply(b"[" * depth + b"]" * depth)


def gzip_bomb(size: int) -> Behaviour:
    """A JSON string of `size` bytes, sent as a thousandth of that."""
    packed = gzip.compress(b'"' + b"a" * (size - 2) + b'"', compresslevel=6)
    return reply(packed, headers={"Content-Encoding": "gzip"})


def endless(chunk: bytes = b" " * 2**16) -> Behaviour:
    """A body without end, as fast as the client takes it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await _begin(request)
        while True:
            await response.write(chunk)

    return answer


def drip(body: bytes, *, every: float) -> Behaviour:
    """`body` byte by byte, one every so many seconds."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await _begin(request)
        for byte in body:
            await response.write(bytes([byte]))
            await asyncio.sleep(every)
        return response

    return answer


def delayed(seconds: float, behaviour: Behaviour) -> Behaviour:
    """`behaviour` after so many seconds of real time; where an order is enough, use a gate."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await behaviour(request)

    return answer


def never() -> Behaviour:
    """No answer, ever."""

    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets was set")

    return answer


def raw(data: bytes) -> Behaviour:
    """These bytes in place of an HTTP answer, then the end of the connection."""

    async def answer(request: web.Request) -> web.StreamResponse:
        transport = _transport(request)
        transport.write(data)
        transport.close()
        return await _gone()

    return answer


def close() -> Behaviour:
    """The connection ends without an answer."""
    return raw(b"")


def reset() -> Behaviour:
    """The connection is reset without an answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        transport = _transport(request)
        sock = transport.get_extra_info("socket")
        # Without lingering, a close is a reset.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        return await _gone()

    return answer


def close_amid(body: bytes = b'{"healthy":') -> Behaviour:
    """The connection ends after the first bytes of a longer body."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    return raw(head + body)


async def _begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    return response


def _transport(request: web.Request) -> asyncio.Transport:
    assert request.transport is not None
    return request.transport


async def _gone() -> web.StreamResponse:
    # The handler is cancelled as soon as the server sees the connection's end.
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets was set")
