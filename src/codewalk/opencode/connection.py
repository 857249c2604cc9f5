"""How to talk HTTP to one OpenCode server, and to no other.

A `Connection` is one server's view of what all share (`OpenCodeClient`): its base URL, its
credentials, its limits. A server is hostile until proven otherwise, so what it sends is bounded in
time, size and depth, and redirects stay on its origin. Every failure comes out as `RequestFailed`;
`asyncio.CancelledError` passes through.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from copy import copy
from functools import partial
from math import inf
from time import perf_counter
from typing import Any, Final

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from codewalk.errors import RequestFailed
from codewalk.opencode.address import MAX_REDIRECTS, get_origin, resolve_redirect, unescape_zone
from codewalk.opencode.credentials import basic_auth
from codewalk.opencode.failures import (
    TRANSLATED_ERRORS,
    redirect_failure,
    status_failure,
    translate_error,
)
from codewalk.opencode.pool import GetRequest, ServerPool
from codewalk.opencode.resolver import Resolver
from codewalk.opencode.response import MAX_BODY, BodyTooLarge, Response, make_response, read_body
from codewalk.opencode.stream import STREAM_HEADERS, ResponseStream, open_stream
from codewalk.reason import Reason
from codewalk.secret import Secret

__all__ = ["MAX_BODY", "Connection", "RequestFailed", "Response"]

_KEPT_GETS: Final = 8
"""GETs kept for a server: it is asked for few paths again and again, and making one costs more than
sending it."""

HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "CodeWalk",
}
"""What every request says of itself."""


class Connection:
    """One server: its base URL with prefix, its credentials, and nobody else's.

    Made by `OpenCodeClient.connect`. Paths start with a slash and are sent as they stand below the
    base URL: percent-encode what comes from elsewhere. `timeout` is in seconds for the whole call,
    `inf` for a caller who ends it himself: a timer for each of thousands of checks is felt.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        pool: ServerPool,
        resolver: Resolver,
        url: str,
        username: str | None = None,
        password: Secret | None = None,
    ) -> None:
        self.url = url
        self.has_credentials = username is not None or password is not None
        self._session = session
        self._pool = pool
        self._resolver = resolver
        self._base = unescape_zone(url)
        base = URL(self._base, encoded=True)
        self._origin = get_origin(base)
        self._host = base.raw_host or ""
        self._place = url.partition("://")[2].partition("/")[0]
        self._username = username
        self._password = password
        self._headers: CIMultiDict[str] | None = None
        self._gets: dict[str, GetRequest] = {}
        self.around: Callable[[], AbstractContextManager[None]] = nullcontext

    def with_call_context(self, around: Callable[[], AbstractContextManager[None]]) -> "Connection":
        """This connection, with each call for JSON within `around()`, which hears what becomes of
        it."""
        other = copy(self)
        other.around = around
        return other

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    @property
    def is_resolving(self) -> bool:
        """Whether the server's name is being looked up: a timeout now is the name's fault."""
        return self._resolver.is_resolving(self._host)

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        limit: int = MAX_BODY,
    ) -> Response:
        """The answer to a GET, whatever its status; redirects are followed on the same origin.

        Raises `RequestFailed` where no whole answer came within `timeout` and `limit` (bytes).
        """
        return await self._request(path, params, None, timeout, limit)

    async def get_json(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        limit: int = MAX_BODY,
    ) -> Any:
        """The JSON of a 2xx answer. Raises `RequestFailed` for anything else."""
        with self.around():
            answer = await self._request(path, params, None, timeout, limit)
            return await self.read_json(path, answer)

    async def post_json(
        self,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        limit: int = MAX_BODY,
    ) -> Any:
        """Sends `body` as JSON; the JSON of a 2xx answer, None where it is empty.

        It is sent once: a POST isn't repeated and follows no redirect. Raises `RequestFailed`.
        """
        data = orjson.dumps({} if body is None else body)
        with self.around():
            answer = await self._request(path, params, data, timeout, limit)
            return await self.read_json(path, answer)

    async def post(self, path: str, data: bytes, *, timeout: float, limit: int) -> Response:
        """The answer to `data`, which is JSON, whatever its status.

        It is sent once, and no redirect is followed. Raises `RequestFailed` as `get` does.
        """
        return await self._request(path, None, data, timeout, limit)

    def stream(
        self, path: str, *, timeout: float = 10.0
    ) -> AbstractAsyncContextManager[ResponseStream]:
        """An answer to a GET that may go on for ever, open while the block runs, whatever its
        status. Redirects and credentials are as in `get`.

        Raises `RequestFailed` where no answer began within `timeout` seconds.
        """
        headers = CIMultiDict(self._headers or self._make_headers(), **STREAM_HEADERS)
        get = partial(self._session.get, headers=headers, allow_redirects=False)
        return open_stream(get, self._url(path), timeout, self._target, self._explain)

    def failure(self, path: str, answer: Response) -> RequestFailed | None:
        """What an answer's status means; None for 2xx."""
        if answer.ok:
            return None
        if answer.location:
            endless = self._target(answer.location) is not None
            return redirect_failure(
                answer.status, answer.location, place=self._place, endless=endless
            )
        return status_failure(
            answer.status,
            path=path,
            place=self._place,
            sent=self.has_credentials,
            json=answer.content_type == "application/json",
        )

    async def _request(
        self,
        path: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        timeout: float,
        limit: int,
    ) -> Response:
        if self._headers is None:
            self._make_headers()
        try:
            if timeout == inf:
                return await self._send(path, params, data, limit)
            async with asyncio.timeout(timeout):
                return await self._send(path, params, data, limit)
        except BodyTooLarge as exc:
            raise RequestFailed(
                Reason.NOT_OPENCODE, f"{self._place} sent more than {exc.limit:,} bytes."
            ) from exc
        except TRANSLATED_ERRORS as exc:
            if self._session.closed:
                raise
            raise self._explain(exc, timeout) from exc

    async def _send(
        self, path: str, params: Mapping[str, str] | None, data: bytes | None, limit: int
    ) -> Response:
        """Sends a POST of `data`, or without it a GET, whose redirects on this server's origin are
        followed."""
        if data is not None:
            return await self._post(self._url(path, params), data, limit)
        answer = await self._get(self._get_of(path, params), limit)
        for _ in range(MAX_REDIRECTS):
            target = self._target(answer.location) if answer.location else None
            if target is None:
                break
            answer = await self._get(GetRequest.build(target, self._all_headers()), limit)
        return answer

    async def _get(self, get: GetRequest, limit: int) -> Response:
        started = perf_counter()
        head, body = await self._pool.get(get, limit)
        return make_response(get.request.url, head.code, head.headers, body, since=started)

    async def _post(self, url: URL, data: bytes, limit: int) -> Response:
        headers = {**self._all_headers(), "Content-Type": "application/json"}
        started = perf_counter()
        response = await self._session.post(url, headers=headers, data=data, allow_redirects=False)
        try:
            body = await read_body(response.content, limit)
        finally:
            # Back to the pool after the last byte, else closed.
            response.release()
        return make_response(url, response.status, response.headers, body, since=started)

    def _explain(self, exc: Exception, timeout: float) -> RequestFailed:
        return translate_error(exc, place=self._place, timeout=timeout, resolving=self.is_resolving)

    def _url(self, path: str, params: Mapping[str, str] | None = None) -> URL:
        url = URL(self._base + path, encoded=True)
        return url.with_query(params) if params else url

    def _get_of(self, path: str, params: Mapping[str, str] | None) -> GetRequest:
        get = None if params else self._gets.get(path)
        if get is None:
            get = GetRequest.build(self._url(path, params), self._all_headers())
            if not params and len(self._gets) < _KEPT_GETS:
                self._gets[path] = get
        return get

    def _all_headers(self) -> Mapping[str, str]:
        return {**HEADERS, **(self._headers or {})}

    def _target(self, location: str) -> URL | None:
        """Where a redirect leads, if that is on this server's origin."""
        return resolve_redirect(location, self._origin)

    def _make_headers(self) -> CIMultiDict[str]:
        headers: CIMultiDict[str] = CIMultiDict()
        if self.has_credentials:
            headers["Authorization"] = basic_auth(self._username, self._password)
        self._headers = headers
        return headers

    async def read_json(self, path: str, answer: Response) -> Any:
        """The JSON of a 2xx answer that `path` got. Raises `RequestFailed` for anything else."""
        failure = self.failure(path, answer)
        if failure:
            raise failure
        if not answer.body and answer.status != 200:
            return None
        try:
            return await answer.json()
        except ValueError as exc:
            what = "a web page" if answer.content_type == "text/html" else "no readable JSON"
            detail = f"{self._place} make_response {path} with {what}; is it an OpenCode server?"
            raise RequestFailed(Reason.NOT_OPENCODE, detail, status=answer.status) from exc
