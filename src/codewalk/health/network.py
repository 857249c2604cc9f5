"""Network availability of this machine."""

import socket
import sys
from functools import lru_cache
from ipaddress import ip_address
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

_DOCUMENTATION_ADDRESSES: Final = ("192.0.2.1", "2001:db8::1")
"""Addresses that nobody has (RFC 5737, RFC 3849); they stand for the whole Internet."""

CARRIER_MAX_AGE: Final = 0.25
"""Seconds for which the answer whether an interface has its carrier is cached."""


def is_loopback(url: str) -> bool:
    """Return whether the server at this normalised URL is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def has_route(url: str) -> bool:
    """Return whether this machine has a route to the server, or to anywhere for a host name."""
    return _is_routed(url) and (
        is_loopback(url) or _has_carrier(int(monotonic() / CARRIER_MAX_AGE))
    )


def _is_routed(url: str) -> bool:
    address, _, zone = (urlsplit(url).hostname or "").partition("%")
    try:
        ip_address(address)
    except ValueError:
        return any(_has_route_to(anywhere) for anywhere in _DOCUMENTATION_ADDRESSES)
    # In a URL a zone is written `%25eth0` (RFC 6874).
    return _has_route_to(address, zone.removeprefix("25"))


def _has_route_to(address: str, zone: str = "") -> bool:
    """Ask the routing table for an address; connecting a UDP socket does, and sends nothing."""
    ipv6 = ":" in address
    try:
        # The zone goes in as a number: as a name, a wrong one would be looked up in the DNS.
        scope = socket.if_nametoindex(zone) if zone else 0
        with socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            udp.connect((address, 9, 0, scope) if ipv6 else (address, 9))
    except OSError:
        return False
    return True


@lru_cache(maxsize=1)
def _has_carrier(_tick: int) -> bool:
    """Return whether an interface other than loopback is up and has its carrier.

    Linux keeps the routes of an unplugged cable. Elsewhere they go with it, and the answer is yes.
    Cached while `_tick` is the same: an interface costs 25 µs, a machine with containers has
    hundreds, and a thousand checks may fail at once.
    """
    if sys.platform != "linux":
        return True
    # Imported here: only a failed check needs it, and commands start faster without it.
    import psutil

    interfaces = psutil.net_if_stats().values()
    return any(each.isup and "loopback" not in each.flags.split(",") for each in interfaces)
