"""Which requests are allowed, and the security headers of all responses.

The app listens on loopback, but any web page that the user opens can send requests there. So:

- every request needs the token, in a header or in a cookie that was set for it;
- the `Host` header must name this app: else another site's name could be made to point here, and
  its pages would be of the same origin (DNS rebinding). The names of loopback are allowed at any
  port: a tunnel has a port of its own, and no other site can have these names;
- a change that only the cookie permits must come from this app's own pages: for a browser, all
  ports of localhost are the same site, so `SameSite=Strict` isn't enough. Its origin is compared
  with the `Host` that the browser used, port included.
"""

import logging
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codewalk.errors import Unauthorized
from codewalk.web.access import Access, browser_port
from codewalk.web.problems import UNEXPECTED, Problem, problem_of

MAX_BODY_BYTES: Final = 64 * 2**10
"""Bytes of a request's body; the longest form has a tenth of that."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PUBLIC_PATHS: Final = frozenset({"/api/v1/healthz"})
STATIC_PREFIX: Final = "/static/"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'"
)

UNKNOWN_HOST: Final = (
    "CodeWalk doesn't answer under this host name. If the name is yours, allow it when CodeWalk "
    "starts: `codewalk up --allow-host NAME`."
)
"""The response to a foreign `Host`. It doesn't repeat the name, which may be an attacker's."""

log = logging.getLogger(__name__)

Respond = Callable[[Scope, Problem], Response]
"""Makes the response to a request that failed."""


def is_api(path: str) -> bool:
    """Return whether a path is one of the API."""
    return path.startswith("/api/")


def browser_scheme(scope: Scope) -> str:
    """Return the scheme that the browser uses: `https` if a proxy on this machine says so.

    `X-Forwarded-Proto` from another machine is ignored, since anybody can send it.
    """
    forwarded = Headers(scope=scope).get("x-forwarded-proto", "")
    # Each proxy appends its value; the last one is from the proxy that is connected.
    is_https = forwarded.rpartition(",")[2].strip().lower() == "https"
    return "https" if is_https and _is_from_loopback(scope) else "http"


def _is_from_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        address = ip_address(client[0] if client else "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def is_same_origin(headers: Headers, scheme: str = "http") -> bool:
    """Return whether a browser says that one of this app's own pages made the request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Browsers send that header only over HTTPS or to loopback; `Origin` comes with every change.
    return headers.get("origin") == f"{scheme}://{headers.get('host', '')}"


def is_foreign(headers: Headers) -> bool:
    """Return whether a browser says that a page of another site or port made the request."""
    return headers.get("sec-fetch-site") in ("same-site", "cross-site")


def _has_no_opener(headers: Headers) -> bool:
    """Return whether a browser says that no page of another origin led here.

    It was a typed address, a bookmark, a program, or this app itself. Then there is no opener to
    isolate from, which would cost the browser a new process, and the user 40 ms.
    """
    return headers.get("sec-fetch-site") in ("none", "same-origin")


def is_navigation(headers: Headers) -> bool:
    """Return whether a browser will show the response as a page."""
    return headers.get("sec-fetch-dest", "document") == "document"


class SecurityMiddleware:
    """ASGI middleware that refuses requests, and sets the security headers of responses."""

    def __init__(self, app: ASGIApp, *, access: Access, respond: Respond) -> None:
        self._app = app
        self._access = access
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        sender = _Sender(scope, send)
        problem: Problem | None = None
        try:
            response = self._refuse(scope)
            if response is None:
                await self._app(scope, _limit_body(receive), sender)
                return
        except ClientDisconnect:
            return
        except Exception as exc:
            # Above here the user would get no more than a plain 500.
            problem = problem_of(exc)
            if problem is UNEXPECTED:
                log.exception("A request failed")
            if sender.started:
                raise
            response = self._respond(scope, problem)
        await response(scope, receive, sender)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return the response to a request that isn't allowed; None for one that is."""
        headers, path = Headers(scope=scope), scope["path"]
        host, scheme = headers.get("host", ""), browser_scheme(scope)
        if not self._access.is_allowed_host(host, scope["server"][1]):
            return self._forbid(scope, UNKNOWN_HOST)
        if int(_digits(headers.get("content-length"))) > MAX_BODY_BYTES:
            raise HTTPException(413)
        if path in PUBLIC_PATHS or path.startswith(STATIC_PREFIX):
            return None
        has_valid_token = self._access.has_valid_token(headers)
        if has_valid_token is not None:
            return None if has_valid_token else self._deny(scope)
        has_cookie = self._access.has_valid_cookie(headers, browser_port(host, scheme))
        if scope["method"] in SAFE_METHODS and not is_api(path):
            redirect = self._log_in(scope, has_cookie=has_cookie)
            if redirect:
                return redirect
        if not has_cookie:
            return self._deny(scope)
        if scope["method"] not in SAFE_METHODS and not is_same_origin(headers, scheme):
            return self._forbid(scope, "This change didn't come from one of CodeWalk's own pages.")
        if is_foreign(headers) and (is_api(path) or not is_navigation(headers)):
            # It can't read the response, but a list costs a server, and a page or an event stream
            # costs this app. Following a link is allowed.
            return self._forbid(scope, "This request came from another site's page.")
        return None

    def _log_in(self, scope: Scope, *, has_cookie: bool) -> Response | None:
        """Exchange a token in the address for a cookie, and redirect to the address without it."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for key, value in query if key == "token"]
        if not tokens:
            return None
        accepted = self._access.accept_login(tokens[-1].encode())
        if not accepted and not has_cookie:
            return None
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        response = RedirectResponse(_path(scope) + (f"?{rest}" if rest else ""), 303)
        if accepted:
            scheme = browser_scheme(scope)
            port = browser_port(Headers(scope=scope).get("host", ""), scheme)
            self._access.set_cookie(response, port, secure=scheme == "https")
        return response

    def _deny(self, scope: Scope) -> Response:
        error = Unauthorized("The access token is missing or wrong.")
        response = self._respond(scope, problem_of(error))
        response.headers["www-authenticate"] = "Bearer"
        return response

    def _forbid(self, scope: Scope, detail: str) -> Response:
        return self._respond(scope, Problem(status=403, code=Unauthorized.code, detail=detail))


class _Sender:
    """Sends a response with the security headers."""

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
            headers["referrer-policy"] = self._referrer_policy(headers)
            headers["cache-control"] = self._cache_control(headers, message["status"])
        await self._send(message)

    @staticmethod
    def _referrer_policy(headers: Headers) -> str:
        # Under `no-referrer` a form is sent with `Origin: null`, and off loopback only that header
        # tells it from another site's. `same-origin` sends no more to other sites.
        is_page = headers.get("content-type", "").startswith("text/html")
        return "same-origin" if is_page else "no-referrer"

    def _cache_control(self, headers: Headers, status: int) -> str:
        if not self._scope["path"].startswith(STATIC_PREFIX) or status >= 400:
            return headers.get("cache-control", "no-store")
        return "public, max-age=31536000, immutable"  # its address has a version


def _limit_body(receive: Receive) -> Receive:
    """Refuse a body over `MAX_BODY_BYTES`, whatever its headers say."""
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
    """Return the requested path, but none that a browser takes for another host (`//host/`)."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return "/" + raw.decode("latin-1").partition("?")[0].lstrip("/\\")


def _digits(text: str | None) -> str:
    return text if text and text.isdecimal() else "0"
