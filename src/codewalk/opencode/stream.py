"""An answer without an end, read as it comes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from yarl import URL

from codewalk.errors import RequestFailed
from codewalk.opencode.address import MAX_REDIRECTS, redirect_location
from codewalk.opencode.failures import TRANSLATED_ERRORS
from codewalk.opencode.response import Response

# Compression would let a proxy hold events back until a block is full.
STREAM_HEADERS: Final = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}

Get = Callable[[URL], Awaitable[aiohttp.ClientResponse]]
Follow = Callable[[str], URL | None]
Explain = Callable[[Exception, float], RequestFailed]


class ResponseStream:
    """An open answer; `head` is its status and headers, without a body."""

    def __init__(self, response: aiohttp.ClientResponse, url: URL, explain: Explain) -> None:
        received = response.headers
        self.head = Response(
            status=response.status,
            content_type=received.get("Content-Type", "").partition(";")[0].strip().lower(),
            body=b"",
            headers=received,
            elapsed_ms=0.0,
            location=redirect_location(url, response.status, received),
        )
        self._response = response
        self._explain = explain

    async def read(self, patience: float) -> bytes:
        """The next bytes, none at the end.

        Raises `RequestFailed`, with `Reason.TIMEOUT` after `patience` seconds of silence.
        """
        try:
            async with asyncio.timeout(patience):
                return await self._response.content.readany()
        except TRANSLATED_ERRORS as exc:
            raise self._explain(exc, patience) from exc

    def close(self) -> None:
        """Ends the connection: what is under way on it can't be used for anything else."""
        self._response.close()


@asynccontextmanager
async def open_stream(
    get: Get, url: URL, timeout: float, follow: Follow, explain: Explain
) -> AsyncIterator[ResponseStream]:
    """The stream that `get` opens at `url`, after redirects that `follow` allows.

    Raises `RequestFailed` where no answer began within `timeout` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            stream = await _follow(get, url, follow, explain)
    except TRANSLATED_ERRORS as exc:
        raise explain(exc, timeout) from exc
    try:
        yield stream
    finally:
        stream.close()


async def _follow(get: Get, url: URL, follow: Follow, explain: Explain) -> ResponseStream:
    stream = ResponseStream(await get(url), url, explain)
    for _ in range(MAX_REDIRECTS):
        target = follow(stream.head.location) if stream.head.location else None
        if target is None:
            break
        stream.close()
        stream = ResponseStream(await get(target), target, explain)
    return stream
