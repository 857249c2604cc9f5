"""Behaviours of a mock OpenCode server.

A behaviour takes a request and answers it, or doesn't; `MockOpenCode.script` sets it for a path.
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
    """Return a response of these bytes."""

    async def answer(_: web.Request) -> web.StreamResponse:
        sent = {"Content-Type": content_type, **(headers or {})}
        return web.Response(status=status, body=body, headers=sent)

    return answer


def json_reply(value: Any, *, status: int = 200) -> Behaviour:
    """Return a response of `value` as JSON."""
    return reply(json.dumps(value).encode(), status=status)


def page(*, status: int = 200) -> Behaviour:
    """Return a web page, as captive portals and newer releases send for any path."""
    return reply(PAGE, status=status, content_type="text/html; charset=utf-8")


def redirect(location: str, *, status: int = 302) -> Behaviour:
    """Return a redirect; its `Location` is sent unchanged."""
    return reply(status=status, content_type="text/plain", headers={"Location": location})


def deep_json(depth: int = 100_000) -> Behaviour:
    """Return lists within lists."""
    return reply(b"[" * depth + b"]" * depth)


def gzip_bomb(size: int) -> Behaviour:
    """Return a JSON string of `size` bytes, compressed to a thousandth of that."""
    packed = gzip.compress(b'"' + b"a" * (size - 2) + b'"', compresslevel=6)
    return reply(packed, headers={"Content-Encoding": "gzip"})


def endless(chunk: bytes = b" " * 2**16) -> Behaviour:
    """Send an endless body, as fast as the client takes it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await _begin(request)
        while True:
            await response.write(chunk)

    return answer


def drip(body: bytes, *, every: float) -> Behaviour:
    """Send `body` byte by byte, `every` so many seconds."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await _begin(request)
        for byte in body:
            await response.write(bytes([byte]))
            await asyncio.sleep(every)
        return response

    return answer


def delayed(seconds: float, behaviour: Behaviour) -> Behaviour:
    """Do `behaviour` after so many seconds of real time; for an order alone use a gate."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await behaviour(request)

    return answer


def never() -> Behaviour:
    """Never answer."""

    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets was set")

    return answer


def raw(data: bytes) -> Behaviour:
    """Send these bytes in place of an HTTP response, then end the connection."""

    async def answer(request: web.Request) -> web.StreamResponse:
        transport = _transport(request)
        transport.write(data)
        transport.close()
        return await _wait_for_cancellation()

    return answer


def close() -> Behaviour:
    """End the connection without a response."""
    return raw(b"")


def reset() -> Behaviour:
    """Reset the connection without a response."""

    async def answer(request: web.Request) -> web.StreamResponse:
        transport = _transport(request)
        sock = transport.get_extra_info("socket")
        # Without lingering, a close is a reset.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        return await _wait_for_cancellation()

    return answer


def close_in_body(body: bytes = b'{"healthy":') -> Behaviour:
    """End the connection after the first bytes of a longer body."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    return raw(head + body)


async def _begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    return response


def _transport(request: web.Request) -> asyncio.Transport:
    assert request.transport is not None
    return request.transport


async def _wait_for_cancellation() -> web.StreamResponse:
    # The handler is cancelled as soon as the server sees the connection's end.
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets was set")
