"""The address that the app listens on, and the one that people open."""

import errno
import socket
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import quote

from codewalk.errors import AddressUnavailable
from codewalk.secret import Secret

BACKLOG: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ListenAddress:
    """Where to listen: `host` as the user gave it, `ip` what it came to."""

    host: str
    port: int
    ip: IPv4Address | IPv6Address

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.ip.is_loopback

    @property
    def url(self) -> str:
        """Where to open it on this machine, without the token: `http://127.0.0.1:4090/`."""
        host = self.host
        if self.ip.is_unspecified:
            host = "::1" if self.ip.version == 6 else "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def url_with(self, token: Secret) -> str:
        """The same, with the token that lets a browser in."""
        return f"{self.url}?token={quote(token.reveal(), safe='')}"

    def hosts(self) -> tuple[str, ...]:
        """The names and addresses that a browser may call it by."""
        own = (socket.gethostname(),) if self.ip.is_unspecified else ()
        return tuple(dict.fromkeys((self.host, str(self.ip), *own)))


def resolve_address(host: str, port: int) -> ListenAddress:
    """What a host name or address comes to. Raises `AddressUnavailable`."""
    host = host.strip().removeprefix("[").removesuffix("]")
    if not host:  # the system would take it for every address
        raise AddressUnavailable("The host is empty; 127.0.0.1 is this machine alone.", value=host)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise AddressUnavailable(
            f"{host!r} is no address of this machine: its name can't be resolved.", value=host
        ) from exc
    return ListenAddress(host=host, port=port, ip=ip_address(str(found[0][4][0])))


def listen(address: ListenAddress) -> tuple[socket.socket, ListenAddress]:
    """A listening socket, and the address with the port that it has: 0 takes a free one.

    Raises `AddressUnavailable`.
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
            _refusal(address, exc), value=f"{address.host}:{address.port}"
        ) from exc
    return sock, replace(address, port=int(sock.getsockname()[1]))


def _refusal(address: ListenAddress, exc: OSError) -> str:
    host, port = address.host, address.port
    match exc.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} on {host} is taken by another program. "
                "Give another with `--port`, or 0 for any that is free."
            )
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine."
        case errno.EACCES:
            return f"Port {port} needs rights that this user doesn't have; give one above 1023."
        case _:
            return f"{host} port {port} can't be listened on: {exc.strerror}."
