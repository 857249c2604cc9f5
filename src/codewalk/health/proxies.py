"""The proxies that the environment names, which CodeWalk doesn't use."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from codewalk.health.network import is_loopback

_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def proxy_variables(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the variables that are set, as they are written."""
    return [
        written
        for name in _VARIABLES
        for written in (name, name.lower())
        if environment.get(written)
    ]


def unused_proxy_note(url: str, environment: Mapping[str, str]) -> str:
    """Return what to add to the detail where the server at a normalised URL can't be reached.

    Returns:
        The end of a sentence; empty where no proxy is set for that URL.
    """
    parts = urlsplit(url)
    names = [
        written
        for written in proxy_variables(environment)
        if written.upper() in (f"{parts.scheme.upper()}_PROXY", "ALL_PROXY")
    ]
    if not names or is_loopback(url) or _bypasses_proxy(parts, environment):
        return ""
    return f"{names[0]} is set, but CodeWalk uses no proxy"


def _bypasses_proxy(url: SplitResult, environment: Mapping[str, str]) -> bool:
    """Return whether `NO_PROXY` names the host or a domain that it is in."""
    for entry in (environment.get("no_proxy") or environment.get("NO_PROXY") or "").split(","):
        domain = entry.strip().lower().lstrip(".")
        if domain == "*":
            return True
        if (domain and f".{url.hostname}".endswith(f".{domain}")) or domain == url.netloc:
            return True
    return False
