"""Whether this machine could reach a server at all."""

import socket
import struct
import sys
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_ANYWHERE: Final = ("192.0.2.1", "2001:db8::1")
"""Addresses for documentation (RFC 5737, RFC 3849): they stand for the world and are nobody's."""

_GET_FLAGS: Final = 0x8913  # SIOCGIFFLAGS, netdevice(7)
_LOOPBACK: Final = 0x8
_RUNNING: Final = 0x40


def is_loopback(url: str) -> bool:
    """Whether the server at this normalised URL is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def has_route(url: str) -> bool:
    """Whether the system knows a way to this server's address, or to anywhere for a name."""
    return _knows_way(url) and (is_loopback(url) or _is_linked())


def _knows_way(url: str) -> bool:
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


def _is_linked() -> bool:
    """Whether an interface beside loopback is up and has its carrier.

    Linux keeps the routes of an unplugged cable. Elsewhere they go with it, and the answer is yes.
    """
    if sys.platform != "linux":
        return True
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(probe, _GET_FLAGS, struct.pack("16sH14x", name.encode(), 0))
            except OSError:
                continue  # it went away meanwhile
            (flags,) = struct.unpack_from("H", found, 16)
            if flags & (_RUNNING | _LOOPBACK) == _RUNNING:
                return True
    return False
