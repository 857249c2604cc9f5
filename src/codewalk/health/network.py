"""Whether this machine could reach a server at all."""

import socket
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_ANYWHERE: Final = ("192.0.2.1", "2001:db8::1")
"""Addresses for documentation (RFC 5737, RFC 3849): they stand for the world and are nobody's."""


def is_loopback(url: str) -> bool:
    """Whether the server at this normalised URL is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def has_route(url: str) -> bool:
    """Whether the system knows a way to this server's address, or to anywhere for a name.

    Connecting a UDP socket asks the routing table and sends nothing.
    """
    host = urlsplit(url).hostname or ""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return any(_routed(address) for address in _ANYWHERE)
    return _routed(host)


def _routed(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
    except OSError:
        return False
    return True
