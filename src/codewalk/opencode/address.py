"""A server's origin, and its redirects."""

from collections.abc import Mapping
from typing import Final

from yarl import URL

MAX_REDIRECTS: Final = 3
"""Redirects followed for one request."""

_REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})

Origin = tuple[str, str | None, int | None]
"""Scheme, host and port: what must be the same for credentials to be sent."""


def get_origin(url: URL) -> Origin:
    """Return the origin of `url`."""
    return url.scheme, url.raw_host, url.port


def unescape_zone(url: str) -> str:
    """Return `url` with an IPv6 zone as the system takes it: `%eth0`.

    In a URL it is written `%25eth0` (RFC 6874).
    """
    head, bracket, tail = url.partition("]")
    return head.replace("%25", "%") + bracket + tail if "://[" in head else url


def redirect_location(url: URL, status: int, headers: Mapping[str, str]) -> str | None:
    """Return where a response from `url` redirects to; None where it doesn't.

    The location is absolute, unless it is no valid URL.
    """
    if status not in _REDIRECT_STATUSES:
        return None
    text = headers.get("Location")
    if not text:
        return None
    try:
        return str(url.join(URL(text)))
    except ValueError:
        return text


def describe_origin(location: str) -> str:
    """Return a redirect's origin for a message: short, without path or credentials."""
    try:
        return str(URL(location).origin())[:100]
    except ValueError:
        return "elsewhere"


def describe_location(location: str) -> str:
    """Return where a redirect leads for a message: without credentials, query and fragment."""
    try:
        url = URL(location).with_user(None).with_query(None).with_fragment(None)
    except ValueError:
        return "elsewhere"
    return str(url)[:200]


def resolve_redirect(location: str, origin: Origin) -> URL | None:
    """Return the URL of a redirect, without its credentials; None if it leaves `origin`."""
    try:
        target = URL(location).with_user(None)
        return target if get_origin(target) == origin else None
    except ValueError:
        return None
