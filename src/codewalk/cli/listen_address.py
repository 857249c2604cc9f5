"""The address that the app listens on, and the URL to open it at."""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import quote

from codewalk.cli.errors import UsageMistake
from codewalk.errors import AddressUnavailable, InvalidURL
from codewalk.secret import Secret
from codewalk.servers.url import parse_url, redact_url

BACKLOG: Final = 1024
"""Connections that may wait to be accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenAddress:
    """An address to listen on.

    Attributes:
        host: The host name or address as the user gave it.
        port: The TCP port; 0 stands for any free one.
        ip: The address that `host` resolves to.
    """

    host: str
    port: int
    ip: IPv4Address | IPv6Address

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach it."""
        return self.ip.is_loopback

    @property
    def url(self) -> str:
        """The URL to open it at on this machine, without a token: `http://127.0.0.1:4090/`."""
        host = self.host
        if self.ip.is_unspecified:
            host = "::1" if self.ip.version == 6 else "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def url_with(self, token: Secret) -> str:
        """Return `url` with the token that gives a browser access."""
        return f"{self.url}?token={quote(token.reveal(), safe='')}"

    def hosts(self) -> tuple[str, ...]:
        """Return the host names and addresses that browsers may use for it."""
        own = (socket.gethostname(),) if self.ip.is_unspecified else ()
        return tuple(dict.fromkeys((self.host, str(self.ip), *own)))


def resolve_address(host: str, port: int) -> ListenAddress:
    """Resolve a host name or address.

    Raises:
        AddressUnavailable: It is empty or can't be resolved.
    """
    host = host.strip().removeprefix("[").removesuffix("]")
    if not host:  # for the operating system it would mean every address
        raise AddressUnavailable(
            "The host is empty; give 127.0.0.1 for this machine alone.", value=host
        )
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise AddressUnavailable(
            f"{host!r} is no address of this machine: it can't be resolved.", value=host
        ) from exc
    return ListenAddress(host=host, port=port, ip=ip_address(str(addresses[0][4][0])))


def parse_allowed_hosts(source: str, texts: Iterable[str]) -> list[str]:
    """Return host names as a `Host` header has them, each with its port where one was given.

    Args:
        source: The option or variable that they come from, for the message.
        texts: What the user gave.

    Raises:
        UsageMistake: One is no host name, or it has more than a port beside it.
    """
    return [_parse_allowed_host(source, text.strip()) for text in texts]


def _parse_allowed_host(source: str, text: str) -> str:
    try:
        parsed = parse_url(f"http://{text}")
    except InvalidURL:
        parsed = None
    host = parsed.url.removeprefix("http://") if parsed else ""
    if not parsed or "/" in text or "@" in text or not host:
        raise UsageMistake(
            f"{source} takes host names such as codewalk.example or codewalk.example:8443, "
            f"not {redact_url(text)!r}."
        )
    # The URL leaves out port 80, which then wouldn't be the only one.
    return f"{host}:80" if parsed.port == 80 else host


def listen(address: ListenAddress) -> tuple[socket.socket, ListenAddress]:
    """Return a listening socket, and its address, with a port in place of 0.

    Raises:
        AddressUnavailable: The port is in use, or the address isn't this machine's.
    """
    try:
        sock = socket.create_server(
            (str(address.ip), address.port),
            family=socket.AF_INET6 if address.ip.version == 6 else socket.AF_INET,
            backlog=BACKLOG,
            dualstack_ipv6=str(address.ip) == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as exc:
        raise AddressUnavailable(
            _explain(address, exc), value=f"{address.host}:{address.port}"
        ) from exc
    return sock, replace(address, port=int(sock.getsockname()[1]))


def _explain(address: ListenAddress, exc: OSError) -> str:
    host, port = address.host, address.port
    match exc.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} on {host} is taken by another program. "
                "Choose another with `--port`, or 0 for any free one."
            )
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine."
        case errno.EACCES:
            return f"Port {port} needs rights that this user doesn't have; choose one above 1023."
        case _:
            return f"CodeWalk can't listen on {host} port {port}: {exc.strerror}."
