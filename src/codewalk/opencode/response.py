"""One HTTP response, bounded in size while it is read and in depth when it is parsed."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from aiohttp import StreamReader
from yarl import URL

from codewalk.opencode.address import redirect_location
from codewalk.opencode.bounded_json import decode

MAX_BODY: Final = 64 * 2**20
"""Bytes of a response's body, counted after decompression."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """One HTTP response, of any status.

    All but `elapsed_ms` comes from the server: hostile text.

    Attributes:
        content_type: In lower case, without parameters.
        elapsed_ms: From the request that got this response (after redirects) to its last byte.
        location: An absolute URL, for a redirect that wasn't followed.
        method: The method of the request.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str]
    elapsed_ms: float
    location: str | None = None
    method: str = "GET"

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    async def json(self) -> Any:
        """Return the body as JSON; a large one is parsed off the event loop.

        Raises:
            ValueError: It isn't JSON in UTF-8, is nested too deep or has too many values.
        """
        return await decode(self.body)


def make_response(
    url: URL,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    started: float | None = None,
    method: str = "GET",
) -> Response:
    """Return the response that `url` gave.

    Args:
        url: The URL of the request.
        status: The response's status.
        headers: The response's headers.
        body: The response's body, decompressed.
        started: When the request was sent, on `perf_counter`; None for a response without a body
            of its own.
        method: The method of the request.
    """
    return Response(
        status=status,
        content_type=headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        body=body,
        headers=headers,
        elapsed_ms=0.0 if started is None else (perf_counter() - started) * 1000,
        location=redirect_location(url, status, headers),
        method=method,
    )


class BodyTooLarge(Exception):
    """A body is larger than its limit of `limit` bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


async def read_body(content: StreamReader, limit: int) -> bytes:
    """Return all of `content`.

    Raises:
        BodyTooLarge: It is over `limit` bytes; raised as soon as that is known.
    """
    body = await content.readany()
    if content.at_eof() and len(body) <= limit:
        return body
    chunks, size = [body], len(body)
    while size <= limit and not content.at_eof():
        chunk = await content.readany()
        chunks.append(chunk)
        size += len(chunk)
    if size > limit:
        raise BodyTooLarge(limit)
    return b"".join(chunks)
