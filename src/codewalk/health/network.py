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
    """Whether the system knows a way to this server's address, or to anywhere for a name."""
    address, _, zone = (urlsplit(url).hostname or "").partition("%")
    try:
        ip_address(address)
    except ValueError:
        return any(_routed(anywhere) for anywhere in _ANYWHERE)
    # In a URL a zone is written `%25eth0` (RFC 6874).
    return _routed(address, zone.removeprefix("25"))


def _routed(address: str, zone: str = "") -> bool:
    """Whether the routing table has a way; connecting a UDP socket asks it and sends nothing."""
    six = ":" in address
    try:
        # The zone goes in as a number: as a name, a wrong one would be looked up in the DNS.
        scope = socket.if_nametoindex(zone) if zone else 0
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.connect((address, 9, 0, scope) if six else (address, 9))
    except OSError:
        return False
    return True
