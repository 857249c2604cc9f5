"""Who may call: the token, the names this app answers to, and where a change may come from.

The app listens on loopback, but any web page that the user opens can send requests there. So:

- every request needs the token, in a header or in a cookie that was set for it;
- the `Host` must be one that this app is known by, or another site's name could be made to point
  here and its pages would be of the same origin (DNS rebinding);
- a change that the cookie alone permits must come from this app's own pages: to a browser, every
  port of localhost is the same site, so `SameSite=Strict` isn't enough.
"""

import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codewalk.errors import Unauthorized
from codewalk.web.access import Access
from codewalk.web.problems import UNEXPECTED, Problem, problem_of

MAX_BODY_BYTES: Final = 64 * 2**10
"""Bytes of a request's body; the longest form is a tenth of that."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC_PATHS: Final = frozenset({"/api/v1/healthz"})
STATIC_PREFIX: Final = "/static/"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'"
)

log = logging.getLogger(__name__)

Answer = Callable[[Scope, Problem], Response]
"""Makes the response to a request that tells of a problem."""


def is_api(path: str) -> bool:
    return path.startswith("/api/")


def is_same_origin(headers: Headers) -> bool:
    """Whether a browser says that one of this app's own pages made the request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Browsers leave that out towards plain HTTP off loopback; `Origin` they send with any change.
    return headers.get("origin") == f"http://{headers.get('host', '')}"


def is_foreign(headers: Headers) -> bool:
    """Whether a browser says that another site's page, or another port's, made the request."""
    return headers.get("sec-fetch-site") in ("same-site", "cross-site")


def _has_no_opener(headers: Headers) -> bool:
    """Whether a browser says that no other page led here: an address that was typed, a bookmark, a
    program, or this app itself.

    To cut the tie to a page that isn't there would cost a browser a new process, and the user 40 ms
    of each first look.
    """
    return headers.get("sec-fetch-site") in ("none", "same-origin")


def is_navigation(headers: Headers) -> bool:
    """Whether a browser is to show the answer as a page of its own."""
    return headers.get("sec-fetch-dest", "document") == "document"


class SecurityMiddleware:
    """ASGI middleware: lets through what may come in, and puts the headers on what goes out."""

    def __init__(self, app: ASGIApp, *, access: Access, answer: Answer) -> None:
        self._app = app
        self._access = access
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        guarded = _Sender(scope, send)
        problem: Problem | None = None
        try:
            response = self._refuse(scope)
            if response is None:
                await self._app(scope, _limited(receive), guarded)
                return
        except ClientDisconnect:
            return
        except Exception as exc:
            # Nobody above would tell the user more than that it failed.
            problem = problem_of(exc)
            if problem is UNEXPECTED:
                log.exception("A request failed")
            if guarded.started:
                raise
            response = self._answer(scope, problem)
        await response(scope, receive, guarded)

    def _refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that doesn't come through, None for one that does."""
        headers, path, port = Headers(scope=scope), scope["path"], scope["server"][1]
        if not self._access.is_allowed_host(headers.get("host", ""), port):
            return self._forbid(scope, "This address isn't one that CodeWalk is known by.")
        if int(_digits(headers.get("content-length"))) > MAX_BODY_BYTES:
            raise HTTPException(413)
        if path in PUBLIC_PATHS or path.startswith(STATIC_PREFIX):
            return None
        bears = self._access.has_valid_token(headers)
        if bears is not None:
            return None if bears else self._deny(scope)
        by_cookie = self._access.has_valid_cookie(headers, port)
        if scope["method"] in SAFE_METHODS and not is_api(path):
            redirect = self._take_token(scope, port, by_cookie=by_cookie)
            if redirect:
                return redirect
        if not by_cookie:
            return self._deny(scope)
        if scope["method"] not in SAFE_METHODS and not is_same_origin(headers):
            return self._forbid(scope, "This change didn't come from one of CodeWalk's own pages.")
        if is_foreign(headers) and (is_api(path) or not is_navigation(headers)):
            # What is read there stays hidden from it, but a list costs its server, and a page or
            # an event stream costs this app. A link may lead here.
            return self._forbid(scope, "This request came from another site's page.")
        return None

    def _take_token(self, scope: Scope, port: int, *, by_cookie: bool) -> Response | None:
        """Trades a token in the address for a cookie, and the address for one without it."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for key, value in query if key == "token"]
        if not given:
            return None
        right = self._access.accept_login(given[-1].encode())
        if not right and not by_cookie:
            return None
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        response = RedirectResponse(_path(scope) + (f"?{rest}" if rest else ""), 303)
        if right:
            self._access.set_cookie_on(response, port)
        return response

    def _deny(self, scope: Scope) -> Response:
        error = Unauthorized("The access token is missing or wrong.")
        response = self._answer(scope, problem_of(error))
        response.headers["www-authenticate"] = "Bearer"
        return response

    def _forbid(self, scope: Scope, detail: str) -> Response:
        return self._answer(scope, Problem(status=403, code=Unauthorized.code, detail=detail))


class _Sender:
    """Sends a response with the headers that every response has."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = CONTENT_SECURITY_POLICY
            headers["x-content-type-options"] = "nosniff"
            if not _has_no_opener(Headers(scope=self._scope)):
                headers["cross-origin-opener-policy"] = "same-origin"
            headers["cross-origin-resource-policy"] = "same-origin"
            headers["referrer-policy"] = self._referrers(headers)
            headers["cache-control"] = self._caching(headers, message["status"])
        await self._send(message)

    @staticmethod
    def _referrers(headers: Headers) -> str:
        # Under `no-referrer` a form is sent with `Origin: null`, and off loopback that is all
        # there is to tell it from another site's. To other sites `same-origin` is as silent.
        page = headers.get("content-type", "").startswith("text/html")
        return "same-origin" if page else "no-referrer"

    def _caching(self, headers: Headers, status: int) -> str:
        if not self._scope["path"].startswith(STATIC_PREFIX) or status >= 400:
            return headers.get("cache-control", "no-store")
        return "public, max-age=31536000, immutable"  # its address has its version


def _limited(receive: Receive) -> Receive:
    """Receives a body of no more than `MAX_BODY_BYTES` bytes, whatever its headers say."""
    total = 0

    async def limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY_BYTES:
            raise HTTPException(413)
        return message

    return limited


def _path(scope: Scope) -> str:
    """The path as it was asked for; never one that a browser reads as another host's."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return "/" + raw.decode("latin-1").partition("?")[0].lstrip("/\\")


def _digits(text: str | None) -> str:
    return text if text and text.isdecimal() else "0"
