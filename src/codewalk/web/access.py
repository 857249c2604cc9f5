"""Whether one request may come in: the token, the cookie that stands for it, the names."""

import hashlib
import ipaddress
import secrets
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from codewalk.secret import Secret

COOKIE_MAX_AGE: Final = 30 * 24 * 3600
"""Seconds that a browser stays let in."""

INVITATION_SECONDS: Final = 60.0
"""Seconds that a browser which CodeWalk opens has to come."""

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class Access:
    """Decides over one request. `clock` counts seconds."""

    def __init__(
        self, token: Secret, hosts: Sequence[str], *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._clock = clock
        self._invitation = b""
        self._invited_until = 0.0
        self._token = token.reveal().encode()
        if not self._token:
            raise ValueError("an empty token would let everybody in")
        # Not the token itself: what a browser keeps opens this app and tells nothing else.
        self._cookie = hashlib.sha256(b"codewalk cookie\0" + self._token).hexdigest()
        self._hosts = frozenset(host.lower() for host in (*_as_in_addresses(hosts), *LOOPBACK))
        self._any_address = any(host in self._hosts for host in ("0.0.0.0", "[::]"))  # noqa: S104 - compared, not bound

    def is_allowed_host(self, host: str, port: int) -> bool:
        """Whether `host`, a `Host` header, is a name of this app at this port."""
        host = host.lower()
        if host in self._hosts and _port(host) is not None:
            return True
        name, given = _name(host), _port(host)
        if (80 if given is None else given) != port:
            return False
        # No name can be pointed here by another site where there is no name.
        return name in self._hosts or (self._any_address and _is_address(name))

    def has_valid_token(self, headers: Headers) -> bool | None:
        """Whether the bearer token is right; None without one."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return self.is_token(token.strip().encode("latin-1"))

    def is_token(self, text: bytes) -> bool:
        return secrets.compare_digest(text, self._token)

    def create_invitation(self) -> Secret:
        """A text that lets one browser in, once, in the place of the token.

        A browser that CodeWalk opens has its address in the process list, for all users to read.
        """
        text = secrets.token_urlsafe(32)
        self._invitation = text.encode()
        self._invited_until = self._clock() + INVITATION_SECONDS
        return Secret(text)

    def accept_login(self, text: bytes) -> bool:
        """Whether an address with this in the token's place lets its browser in."""
        invited = bool(self._invitation) and secrets.compare_digest(text, self._invitation)
        if invited:
            self._invitation = b""
            return self._clock() < self._invited_until
        return self.is_token(text)

    def has_valid_cookie(self, headers: Headers, port: int) -> bool:
        given = cookie_parser("; ".join(headers.getlist("cookie"))).get(cookie_name(port), "")
        return secrets.compare_digest(given.encode(), self._cookie.encode())

    def set_cookie_on(self, response: Response, port: int) -> None:
        """Sets the cookie that stands for the token from now on."""
        response.set_cookie(
            cookie_name(port),
            self._cookie,
            max_age=COOKIE_MAX_AGE,
            path="/",
            httponly=True,
            samesite="strict",
        )


def cookie_name(port: int) -> str:
    """Cookies don't know ports: two CodeWalks on one host must not take each other's."""
    return f"codewalk_{port}"


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


def _as_in_addresses(hosts: Iterable[str]) -> list[str]:
    """Hosts as an address has them: IPv6 in brackets."""
    return [f"[{host}]" if host.count(":") > 1 and host[0] != "[" else host for host in hosts]
