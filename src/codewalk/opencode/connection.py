"""Requests to one OpenCode server, and to no other.

A server is hostile until proven otherwise: what it sends is bounded in time, size and depth, and
redirects stay on its origin. Every failure is raised as `RequestFailed`; `asyncio.CancelledError`
passes through.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from copy import copy
from functools import partial
from math import inf
from time import perf_counter
from typing import Any, Final

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from codewalk.errors import RequestFailed, StorageError
from codewalk.opencode.address import MAX_REDIRECTS, get_origin, resolve_redirect, unescape_zone
from codewalk.opencode.defaults import DEFAULT_USERNAME
from codewalk.opencode.failures import (
    TRANSLATED_ERRORS,
    redirect_failure,
    status_failure,
    translate_error,
)
from codewalk.opencode.gateway import gateway_failure
from codewalk.opencode.pool import REFUSALS, GetRequest, ServerPool
from codewalk.opencode.resolver import Resolver
from codewalk.opencode.response import MAX_BODY, BodyTooLarge, Response, make_response, read_body
from codewalk.opencode.stream import STREAM_HEADERS, ResponseStream, open_stream
from codewalk.reason import NOT_REACHED, Reason
from codewalk.secret import Secret

__all__ = ["MAX_BODY", "Connection", "RequestFailed", "Response"]

MAX_CACHED_GETS: Final = 8
"""GETs cached for a server: few paths are requested again and again, and making a request costs
more than sending it."""

HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "CodeWalk",
}
"""The headers of every request."""


class _Access:
    """Whether a server asks for credentials, as far as its responses have shown.

    A server that answers without them may be another one than that which they are for, so it isn't
    sent them. Whoever listens at an address may change while nothing answers there: then it is
    found out again.
    """

    __slots__ = ("is_open", "is_protected")

    def __init__(self) -> None:
        self.is_open = False
        self.is_protected = False

    def set_open(self) -> None:
        self.is_open, self.is_protected = True, False

    def set_protected(self) -> None:
        self.is_open, self.is_protected = False, True

    def reset(self) -> None:
        self.is_open = self.is_protected = False


class Connection:
    """One server: its base URL with prefix, its credentials, and nobody else's.

    Made by `OpenCodeClient.connect`. In all methods `path` begins with a slash and is sent as it
    stands below the base URL: percent-encode what comes from elsewhere. `timeout` is in seconds for
    the whole call; `inf` is for a caller that bounds it otherwise, since a timer for each of
    thousands of checks costs. `limit` is in bytes of the response's body.

    Credentials are sent once a request without them was refused, with `always_sign_in` at once.

    Attributes:
        url: The base URL.
        has_credentials: Whether requests carry a user name and password.
        unreachable_note: The end of the detail where the server can't be reached; may be empty.
        call_context: What each call for JSON runs within; `with_call_context` sets it.
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
        unreachable_note: str = "",
        always_sign_in: bool = False,
    ) -> None:
        self.url = url
        self.unreachable_note = unreachable_note
        self.has_credentials = username is not None or password is not None
        self.call_context: Callable[[], AbstractContextManager[None]] = nullcontext
        self._session = session
        self._pool = pool
        self._resolver = resolver
        self._base = unescape_zone(url)
        base = URL(self._base, encoded=True)
        self._origin = get_origin(base)
        self._host = base.raw_host or ""
        self._host_port = url.partition("://")[2].partition("/")[0]
        self._username = username
        self._password = password
        self._access = _Access()
        self._always_sign_in = always_sign_in
        self._auth_headers: CIMultiDict[str] | None = None
        self._gets: dict[tuple[str, bool], GetRequest] = {}

    def with_call_context(
        self, call_context: Callable[[], AbstractContextManager[None]]
    ) -> "Connection":
        """Return this connection with each call for JSON run within `call_context()`.

        The context manager sees whether the call returns or raises.
        """
        other = copy(self)
        other.call_context = call_context
        return other

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    @property
    def answers_without_credentials(self) -> bool:
        """Whether the server answers without the credentials that are stored for it."""
        return self._access.is_open

    @property
    def is_resolving(self) -> bool:
        """Whether the server's name is being resolved: a timeout now is the name's fault."""
        return self._resolver.is_resolving(self._host)

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        limit: int = MAX_BODY,
    ) -> Response:
        """Send a GET and return its response, whatever the status.

        Redirects are followed on the same origin.

        Raises:
            RequestFailed: No whole response came within `timeout` and `limit`.
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
        """Send a GET and return the JSON of its 2xx response.

        Raises:
            RequestFailed: There was no such response.
        """
        with self.call_context():
            response = await self._request(path, params, None, timeout, limit)
            return await self.read_json(path, response)

    async def post_json(
        self,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        limit: int = MAX_BODY,
    ) -> Any:
        """Send `body` as JSON and return the JSON of the 2xx response, None where it is empty.

        A POST is sent once: it isn't repeated, and follows no redirect.

        Raises:
            RequestFailed: There was no such response.
        """
        data = orjson.dumps({} if body is None else body)
        with self.call_context():
            response = await self._request(path, params, data, timeout, limit)
            return await self.read_json(path, response)

    async def post(self, path: str, data: bytes, *, timeout: float, limit: int) -> Response:
        """Send `data`, which is JSON, once, and return the response, whatever the status.

        Raises:
            RequestFailed: No whole response came within `timeout` and `limit`.
        """
        return await self._request(path, None, data, timeout, limit)

    @asynccontextmanager
    async def stream(self, path: str, *, timeout: float = 10.0) -> AsyncIterator[ResponseStream]:
        """Send a GET whose response may be endless, and hold it open while the block runs.

        The status may be any. Redirects and credentials are as in `get`.

        Raises:
            RequestFailed: No response began within `timeout` seconds.
        """
        async with AsyncExitStack() as stack:
            # Read first: another request may find meanwhile that credentials are wanted.
            lacks_credentials = self.has_credentials and not self._signs_in
            response = await stack.enter_async_context(self._open_stream(path, timeout))
            if lacks_credentials and response.head.status in REFUSALS:
                await stack.aclose()
                self._access.set_protected()
                response = await stack.enter_async_context(self._open_stream(path, timeout))
            yield response

    def _open_stream(
        self, path: str, timeout: float
    ) -> AbstractAsyncContextManager[ResponseStream]:
        auth_headers = (self._auth_headers or self._make_auth_headers()) if self._signs_in else {}
        headers = CIMultiDict(auth_headers, **STREAM_HEADERS)
        send = partial(self._session.get, headers=headers, allow_redirects=False)
        return open_stream(
            send, self._make_url(path), timeout, self._resolve_redirect, self._translate_error
        )

    @property
    def _signs_in(self) -> bool:
        return self.has_credentials and (self._access.is_protected or self._always_sign_in)

    def failure(self, path: str, response: Response) -> RequestFailed | None:
        """Return what the status of the response to `path` means; None for 2xx."""
        if response.ok:
            return None
        if response.location:
            return redirect_failure(
                response,
                host_port=self._host_port,
                same_origin=self._resolve_redirect(response.location) is not None,
            )
        if failure := gateway_failure(response, host_port=self._host_port):
            return failure
        username = (self._username or DEFAULT_USERNAME) if self.has_credentials else None
        return status_failure(response, path=path, host_port=self._host_port, username=username)

    async def read_json(self, path: str, response: Response) -> Any:
        """Return the JSON of the 2xx response to `path`.

        Raises:
            RequestFailed: It isn't 2xx or isn't JSON.
        """
        failure = self.failure(path, response)
        if failure:
            raise failure
        if not response.body and response.status != 200:
            return None
        try:
            return await response.json()
        except ValueError as exc:
            what = "a web page" if response.content_type == "text/html" else "invalid JSON"
            what = what if response.body else "an empty response"
            detail = f"{self._host_port} answered {path} with {what}."
            raise RequestFailed(Reason.NOT_OPENCODE, detail, status=response.status) from exc

    async def _request(
        self,
        path: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        timeout: float,
        limit: int,
    ) -> Response:
        if self._auth_headers is None:
            self._make_auth_headers()
        try:
            if timeout == inf:
                return await self._send(path, params, data, limit)
            async with asyncio.timeout(timeout):
                return await self._send(path, params, data, limit)
        except BodyTooLarge as exc:
            raise RequestFailed(
                Reason.NOT_OPENCODE, f"{self._host_port} sent more than {exc.limit:,} bytes."
            ) from exc
        except TRANSLATED_ERRORS as exc:
            if self._session.closed:
                raise
            raise self._translate_error(exc, timeout) from exc

    async def _send(
        self, path: str, params: Mapping[str, str] | None, data: bytes | None, limit: int
    ) -> Response:
        """Send a POST of `data`, or without it a GET, with credentials if they are wanted."""
        if self._signs_in:
            return await self._send_once(path, params, data, limit, sign_in=True)
        response = await self._send_once(path, params, data, limit, sign_in=False)
        if self.has_credentials and response.status in REFUSALS:
            self._access.set_protected()
            return await self._send_once(path, params, data, limit, sign_in=True)
        if self.has_credentials and response.ok and response.content_type == "application/json":
            self._access.set_open()
        return response

    async def _send_once(
        self,
        path: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        limit: int,
        *,
        sign_in: bool,
    ) -> Response:
        """Send a request, and follow the redirects of a GET."""
        if data is not None:
            return await self._post(self._make_url(path, params), data, limit, sign_in=sign_in)
        response = await self._get(self._make_get(path, params, sign_in=sign_in), limit)
        for _ in range(MAX_REDIRECTS):
            target = self._resolve_redirect(response.location) if response.location else None
            if target is None:
                break
            get = GetRequest.build(target, self._all_headers(sign_in=sign_in))
            response = await self._get(get, limit)
        return response

    async def _get(self, get: GetRequest, limit: int) -> Response:
        started = perf_counter()
        head, body = await self._pool.get(get, limit)
        return make_response(get.request.url, head.code, head.headers, body, started=started)

    async def _post(self, url: URL, data: bytes, limit: int, *, sign_in: bool) -> Response:
        headers = {**self._all_headers(sign_in=sign_in), "Content-Type": "application/json"}
        started = perf_counter()
        response = await self._session.post(url, headers=headers, data=data, allow_redirects=False)
        try:
            body = await read_body(response.content, limit)
        finally:
            # Back to the pool after the last byte, else closed.
            response.release()
        return make_response(
            url, response.status, response.headers, body, started=started, method="POST"
        )

    def _make_url(self, path: str, params: Mapping[str, str] | None = None) -> URL:
        url = URL(self._base + path, encoded=True)
        return url.with_query(params) if params else url

    def _make_get(
        self, path: str, params: Mapping[str, str] | None, *, sign_in: bool
    ) -> GetRequest:
        key = path, sign_in
        get = None if params else self._gets.get(key)
        if get is None:
            headers = self._all_headers(sign_in=sign_in)
            get = GetRequest.build(self._make_url(path, params), headers)
            if not params and len(self._gets) < MAX_CACHED_GETS:
                self._gets[key] = get
        return get

    def _all_headers(self, *, sign_in: bool) -> Mapping[str, str]:
        return {**HEADERS, **(self._auth_headers or {})} if sign_in else HEADERS

    def _make_auth_headers(self) -> CIMultiDict[str]:
        headers: CIMultiDict[str] = CIMultiDict()
        if self.has_credentials:
            headers["Authorization"] = _basic_auth(self._username, self._password)
        self._auth_headers = headers
        return headers

    def _resolve_redirect(self, location: str) -> URL | None:
        return resolve_redirect(location, self._origin)

    def _translate_error(self, exc: Exception, timeout: float) -> RequestFailed:
        failure = translate_error(
            exc, host_port=self._host_port, timeout=timeout, resolving=self.is_resolving
        )
        # A server that is slow is still the same one.
        if not failure.local_fault and failure.reason is not Reason.TIMEOUT:
            self._access.reset()
        if self.unreachable_note and failure.reason in NOT_REACHED and not failure.local_fault:
            detail = f"{failure.detail.removesuffix('.')}; {self.unreachable_note}."
            return RequestFailed(failure.reason, detail, connected=failure.connected)
        return failure


def _basic_auth(username: str | None, password: Secret | None) -> str:
    """The value of `Authorization` (RFC 7617; OpenCode decodes it as UTF-8)."""
    try:
        revealed = password.reveal() if password else ""
    except StorageError as exc:
        # There is a password that can't be decrypted: to this server it is as if there were none.
        raise RequestFailed(Reason.AUTH_REQUIRED, exc.message) from exc
    pair = f"{username or DEFAULT_USERNAME}:{revealed}".encode()
    return "Basic " + b64encode(pair).decode("ascii")
