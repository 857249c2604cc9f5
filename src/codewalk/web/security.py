"""Who may call: the token, the names this app answers to, and where a change may come from.

The app listens on loopback, but any web page that the user opens can send requests there. So:

- every request needs the token, in a header or in a cookie that was set for it;
- the `Host` must be one that this app is known by, or another site's name could be made to point
  here and its pages would be of the same origin (DNS rebinding);
- a change that the cookie alone permits must come from this app's own pages: to a browser, every
  port of localhost is the same site, so `SameSite=Strict` isn't enough.
"""

import hashlib
import ipaddress
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from codewalk.errors import Unauthorized
from codewalk.secret import Secret
from codewalk.web.problems import UNEXPECTED, Problem, problem_of

MAX_BODY: Final = 64 * 2**10
"""Bytes of a request's body; the longest form is a tenth of that."""

COOKIE_AGE: Final = 30 * 24 * 3600
"""Seconds that a browser stays let in."""

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN: Final = frozenset({"/api/v1/healthz"})
STATIC: Final = "/static/"

CONTENT_POLICY: Final = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'"
)

log = logging.getLogger(__name__)

Answer = Callable[[str, Problem], Response]
"""Makes the response to a path that tells of a problem."""


def is_api(path: str) -> bool:
    return path.startswith("/api/")


class Access:
    """Decides over one request; holds no state of its own."""

    def __init__(self, token: Secret, hosts: Sequence[str]) -> None:
        self._token = token.reveal().encode()
        if not self._token:
            raise ValueError("an empty token would let everybody in")
        # Not the token itself: what a browser keeps opens this app and tells nothing else.
        self._cookie = hashlib.sha256(b"codewalk cookie\0" + self._token).hexdigest()
        self._hosts = frozenset(host.lower() for host in (*_as_in_addresses(hosts), *LOOPBACK))
        self._any_address = any(host in self._hosts for host in ("0.0.0.0", "[::]"))  # noqa: S104 - compared, not bound

    def knows_host(self, host: str, port: int) -> bool:
        """Whether `host`, a `Host` header, is a name of this app at this port."""
        host = host.lower()
        if host in self._hosts and _port(host) is not None:
            return True
        name, given = _name(host), _port(host)
        if (80 if given is None else given) != port:
            return False
        # No name can be pointed here by another site where there is no name.
        return name in self._hosts or (self._any_address and _is_address(name))

    def bears_token(self, headers: Headers) -> bool | None:
        """Whether the bearer token is right; None without one."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return self.is_token(token.strip().encode("latin-1"))

    def is_token(self, text: bytes) -> bool:
        return secrets.compare_digest(text, self._token)

    def bears_cookie(self, headers: Headers, port: int) -> bool:
        given = cookie_parser("; ".join(headers.getlist("cookie"))).get(cookie_name(port), "")
        return secrets.compare_digest(given.encode(), self._cookie.encode())

    def let_in(self, response: Response, port: int) -> None:
        """Sets the cookie that stands for the token from now on."""
        response.set_cookie(
            cookie_name(port),
            self._cookie,
            max_age=COOKIE_AGE,
            path="/",
            httponly=True,
            samesite="strict",
        )


def cookie_name(port: int) -> str:
    """Cookies don't know ports: two CodeWalks on one host must not take each other's."""
    return f"codewalk_{port}"


def is_same_origin(headers: Headers) -> bool:
    """Whether a browser says that one of this app's own pages made the request."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Browsers leave that out towards plain HTTP off loopback; `Origin` they send with any change.
    return headers.get("origin") == f"http://{headers.get('host', '')}"


class Guard:
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
            response = self._answer(scope["path"], problem)
        await response(scope, receive, guarded)

    def _refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that doesn't come through, None for one that does."""
        headers, path, port = Headers(scope=scope), scope["path"], scope["server"][1]
        if not self._access.knows_host(headers.get("host", ""), port):
            return self._forbid(path, "This address isn't one that CodeWalk is known by.")
        if int(_digits(headers.get("content-length"))) > MAX_BODY:
            raise HTTPException(413)
        if path in OPEN or path.startswith(STATIC):
            return None
        bears = self._access.bears_token(headers)
        if bears is not None:
            return None if bears else self._deny(path)
        by_cookie = self._access.bears_cookie(headers, port)
        if scope["method"] in SAFE and not is_api(path):
            redirect = self._take_token(scope, port, by_cookie=by_cookie)
            if redirect:
                return redirect
        if not by_cookie:
            return self._deny(path)
        if scope["method"] not in SAFE and not is_same_origin(headers):
            return self._forbid(path, "This change didn't come from one of CodeWalk's own pages.")
        return None

    def _take_token(self, scope: Scope, port: int, *, by_cookie: bool) -> Response | None:
        """Trades a token in the address for a cookie, and the address for one without it."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for key, value in query if key == "token"]
        if not given:
            return None
        right = self._access.is_token(given[-1].encode())
        if not right and not by_cookie:
            return None
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        response = RedirectResponse(_path(scope) + (f"?{rest}" if rest else ""), 303)
        if right:
            self._access.let_in(response, port)
        return response

    def _deny(self, path: str) -> Response:
        error = Unauthorized("The access token is missing or wrong.")
        response = self._answer(path, problem_of(error))
        response.headers["www-authenticate"] = "Bearer"
        return response

    def _forbid(self, path: str, detail: str) -> Response:
        return self._answer(path, Problem(status=403, code=Unauthorized.code, detail=detail))


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
            headers["content-security-policy"] = CONTENT_POLICY
            headers["x-content-type-options"] = "nosniff"
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
        if not self._scope["path"].startswith(STATIC) or status >= 400:
            return headers.get("cache-control", "no-store")
        versioned = self._scope["query_string"].startswith(b"v=")
        return "public, max-age=31536000, immutable" if versioned else "no-cache"


def _limited(receive: Receive) -> Receive:
    """Receives a body of no more than `MAX_BODY` bytes, whatever its headers say."""
    total = 0

    async def limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY:
            raise HTTPException(413)
        return message

    return limited


def _path(scope: Scope) -> str:
    """The path as it was asked for; never one that a browser reads as another host's."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return "/" + raw.decode("latin-1").partition("?")[0].lstrip("/\\")


def _name(host: str) -> str:
    """The host of `host` or `host:port`."""
    return host.rpartition(":")[0] if _port(host) is not None else host


def _port(host: str) -> int | None:
    name, colon, port = host.rpartition(":")
    if (
        not colon
        or (":" in name and not name.endswith("]"))
        or not (port.isascii() and port.isdecimal())
    ):
        return None
    return int(port[:6])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _digits(text: str | None) -> str:
    return text if text and text.isdecimal() else "0"


def _as_in_addresses(hosts: Iterable[str]) -> list[str]:
    """Hosts as an address has them: IPv6 in brackets."""
    return [f"[{host}]" if host.count(":") > 1 and host[0] != "[" else host for host in hosts]
