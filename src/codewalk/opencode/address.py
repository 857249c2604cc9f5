"""Where a server is, and where it would like to send us."""

from collections.abc import Mapping
from typing import Final

from yarl import URL

MAX_REDIRECTS: Final = 3

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def get_origin(url: URL) -> tuple[str, str | None, int | None]:
    """What must be the same for credentials to go along: scheme, host and port."""
    return url.scheme, url.raw_host, url.port


def unescape_zone(url: str) -> str:
    """In a URL an IPv6 zone is written `%25eth0` (RFC 6874); the system wants `%eth0`."""
    head, bracket, tail = url.partition("]")
    return head.replace("%25", "%") + bracket + tail if "://[" in head else url


def redirect_location(url: URL, status: int, headers: Mapping[str, str]) -> str | None:
    """Where an answer from `url` redirects to, absolute where that can be told."""
    if status not in _REDIRECTS:
        return None
    text = headers.get("Location")
    if not text:
        return None
    try:
        return str(url.join(URL(text)))
    except ValueError:
        return text


def describe_origin(location: str) -> str:
    """A server's redirect as a message may show it: short, without path or credentials."""
    try:
        return str(URL(location).origin())[:100]
    except ValueError:
        return "elsewhere"


def resolve_redirect(location: str, origin: tuple[str, str | None, int | None]) -> URL | None:
    """Where a redirect leads, without credentials of its own; None where that is elsewhere."""
    try:
        target = URL(location).with_user(None)
        return target if get_origin(target) == origin else None
    except ValueError:
        return None
