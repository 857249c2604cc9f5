"""One HTTP answer, bounded in size and depth while it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from aiohttp import StreamReader
from yarl import URL

from codewalk.opencode.address import redirect_location
from codewalk.opencode.bounded_json import decode

MAX_BODY: Final = 64 * 2**20
"""Bytes of an answer's body, counted after decompression."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """One HTTP answer, of any status.

    `content_type` is in lower case without parameters. `elapsed_ms` runs from the request that got
    this answer (after redirects) to the last byte. `location` is an absolute URL, set for a
    redirect that wasn't followed. All but `elapsed_ms` is the server's word: hostile text.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str]
    elapsed_ms: float
    location: str | None = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    async def json(self) -> Any:
        """The body as JSON; a large one is parsed off the event loop.

        Raises `ValueError` where it isn't JSON in UTF-8, is nested too deep or has too many values.
        """
        return await decode(self.body)


def make_response(
    url: URL, status: int, headers: Mapping[str, str], body: bytes, *, since: float
) -> Response:
    """The answer that `url` gave; `since` is when it was asked, on `perf_counter`."""
    return Response(
        status=status,
        content_type=headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        body=body,
        headers=headers,
        elapsed_ms=(perf_counter() - since) * 1000,
        location=redirect_location(url, status, headers),
    )


class BodyTooLarge(Exception):
    """A body passed its limit; `limit` is in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


async def read_body(content: StreamReader, limit: int) -> bytes:
    """All of `content`. Raises `BodyTooLarge` as soon as it is over `limit` bytes."""
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
