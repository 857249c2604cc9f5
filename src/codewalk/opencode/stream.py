"""A response without an end, read as it arrives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from yarl import URL

from codewalk.errors import RequestFailed
from codewalk.opencode.address import MAX_REDIRECTS
from codewalk.opencode.failures import TRANSLATED_ERRORS
from codewalk.opencode.response import make_response

# Compression would let a proxy hold events back until a block is full.
STREAM_HEADERS: Final = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}

SendGet = Callable[[URL], Awaitable[aiohttp.ClientResponse]]
ResolveRedirect = Callable[[str], URL | None]
TranslateError = Callable[[Exception, float], RequestFailed]


class ResponseStream:
    """An open response; `head` is its status and headers, without a body."""

    def __init__(
        self, response: aiohttp.ClientResponse, url: URL, translate: TranslateError
    ) -> None:
        self.head = make_response(url, response.status, response.headers, b"")
        self._response = response
        self._translate = translate

    async def read(self, timeout: float) -> bytes:
        """Return the next bytes, none at the end of the stream.

        Raises:
            RequestFailed: The stream broke, or with `Reason.TIMEOUT`, nothing came for `timeout`
                seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._response.content.readany()
        except TRANSLATED_ERRORS as exc:
            raise self._translate(exc, timeout) from exc

    def close(self) -> None:
        """Close the connection: with a response in progress it can't be used for another."""
        self._response.close()


@asynccontextmanager
async def open_stream(
    send: SendGet, url: URL, timeout: float, resolve: ResolveRedirect, translate: TranslateError
) -> AsyncIterator[ResponseStream]:
    """Open the response to a GET for as long as the block runs.

    Args:
        send: Sends the GET to a URL, without following redirects.
        url: Where the GET goes first.
        timeout: Seconds until the response, after redirects, must have begun.
        resolve: Returns the URL of a redirect that may be followed, None for another.
        translate: Makes a failure of a foreign error and the timeout.

    Raises:
        RequestFailed: No response began within `timeout`.
    """
    try:
        async with asyncio.timeout(timeout):
            stream = await _follow_redirects(send, url, resolve, translate)
    except TRANSLATED_ERRORS as exc:
        raise translate(exc, timeout) from exc
    try:
        yield stream
    finally:
        stream.close()


async def _follow_redirects(
    send: SendGet, url: URL, resolve: ResolveRedirect, translate: TranslateError
) -> ResponseStream:
    stream = ResponseStream(await send(url), url, translate)
    for _ in range(MAX_REDIRECTS):
        target = resolve(stream.head.location) if stream.head.location else None
        if target is None:
            break
        stream.close()
        stream = ResponseStream(await send(target), target, translate)
    return stream
