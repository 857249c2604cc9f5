"""Access to the app: a request's host name, its token, or the cookie set for the token."""

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
"""Seconds for which a browser keeps the cookie."""

INVITATION_SECONDS: Final = 60.0
"""Seconds for which an invitation is valid."""

LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


class Access:
    """Decides whether requests are allowed.

    Args:
        token: The access token.
        hosts: Names and addresses that the app listens on, at its port or at the port given.
        allowed_hosts: Further names, of a reverse proxy for example, at any port or at the port
            given.
        clock: Counts seconds.
    """

    def __init__(
        self,
        token: Secret,
        hosts: Sequence[str],
        *,
        allowed_hosts: Sequence[str] = (),
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._invitation = b""
        self._invited_until = 0.0
        self._token = token.reveal().encode()
        if not self._token:
            raise ValueError("the token is empty")
        # Not the token itself, so that a stolen cookie opens this app and nothing else.
        self._cookie = hashlib.sha256(b"codewalk cookie\0" + self._token).hexdigest()
        self._hosts = frozenset(host.lower() for host in _with_brackets(hosts))
        # A tunnel to the app has any port of the machine on which the browser runs. No other site
        # can have a name of loopback, whatever the port.
        self._any_port_hosts = frozenset(
            {*LOOPBACK_HOSTS, *(host.lower() for host in allowed_hosts)}
        )
        self._listens_on_all = any(host in self._hosts for host in ("0.0.0.0", "[::]"))  # noqa: S104 - compared, not bound

    def is_allowed_host(self, host: str, port: int) -> bool:
        """Return whether a `Host` header names this app, which listens on this port."""
        host = host.lower()
        name, host_port = _name(host), _port(host)
        if host in self._hosts and host_port is not None:
            return True
        if not self._any_port_hosts.isdisjoint((host, name)):
            return True
        if (80 if host_port is None else host_port) != port:
            return False
        # An IP address is safe: DNS rebinding, where another site's name points here, needs a name.
        return name in self._hosts or (self._listens_on_all and _is_address(name))

    def has_valid_token(self, headers: Headers) -> bool | None:
        """Return whether the bearer token is right; None without one."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return self.is_token(token.strip().encode("latin-1"))

    def is_token(self, text: bytes) -> bool:
        """Return whether this is the access token."""
        return secrets.compare_digest(text, self._token)

    def create_invitation(self) -> Secret:
        """Return a text that replaces the token in an address, once, within `INVITATION_SECONDS`.

        For a browser that CodeWalk opens: its address is in the process list, which all users read.
        """
        text = secrets.token_urlsafe(32)
        self._invitation = text.encode()
        self._invited_until = self._clock() + INVITATION_SECONDS
        return Secret(text)

    def accept_login(self, text: bytes) -> bool:
        """Return whether this is the token or a valid invitation, which is used up by it."""
        is_invitation = bool(self._invitation) and secrets.compare_digest(text, self._invitation)
        if is_invitation:
            self._invitation = b""
            return self._clock() < self._invited_until
        return self.is_token(text)

    def has_valid_cookie(self, headers: Headers, port: int) -> bool:
        """Return whether the cookie of a browser that uses this port is right."""
        cookies = cookie_parser("; ".join(headers.getlist("cookie")))
        cookie = cookies.get(cookie_name(port), "")
        return secrets.compare_digest(cookie.encode(), self._cookie.encode())

    def set_cookie(self, response: Response, port: int, *, secure: bool = False) -> None:
        """Set the cookie that stands for the token.

        Args:
            response: The response that sets it.
            port: The port that the browser uses.
            secure: Whether the browser may send it over HTTPS alone.
        """
        response.set_cookie(
            cookie_name(port),
            self._cookie,
            max_age=COOKIE_MAX_AGE,
            path="/",
            httponly=True,
            secure=secure,
            samesite="strict",
        )


def cookie_name(port: int) -> str:
    """Return the name of the cookie for the port that a browser uses.

    All ports of a host share cookies: two CodeWalks on one host must not take each other's. Behind
    a tunnel the browser's port isn't the app's, which a CodeWalk on the browser's machine may have.
    """
    return f"codewalk_{port}"


def browser_port(host: str, scheme: str) -> int:
    """Return the port that a browser uses: that of the `Host` header, or the scheme's default."""
    host_port = _port(host)
    if host_port is None:
        return 443 if scheme == "https" else 80
    return host_port


def _name(host: str) -> str:
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


def _with_brackets(hosts: Iterable[str]) -> list[str]:
    """Put IPv6 addresses into brackets, as in a URL."""
    return [f"[{host}]" if host.count(":") > 1 and host[0] != "[" else host for host in hosts]
