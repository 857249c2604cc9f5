"""Text for pages: ages, durations, times, reasons and addresses."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from codewalk.health.link import LinkState
from codewalk.health.status import HealthStatus
from codewalk.history.history import Check, Transition
from codewalk.opencode.session import Session
from codewalk.reason import REASON_SENTENCES
from codewalk.server import Server
from codewalk.times import format_age

# Control characters, those that turn the direction of writing around, and halves of characters.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WINDOWS_PATH: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")

LINK_BUFFERED: Final = (
    "Live updates are held back by a proxy; lists are fetched every few seconds instead."
)
"""A proxy in front of the server buffers its event stream."""

LINK_DESCRIPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        LinkState.LIVE: "The server sends its events as they happen",
        LinkState.CONNECTING: "Connecting to the server's events",
        LinkState.POLLING: "Changes are detected at the next check",
        LinkState.BUFFERED: LINK_BUFFERED,
    }
)
"""The meaning of each state of a live link."""

_MAX_AGE: Final = timedelta(days=30)
"""The oldest time that is shown as an age; an older one is shown as a date."""


def age_or_date(at: datetime | None, now: datetime) -> str:
    """Return how long ago a time was; from 30 days on its date, `never` for None."""
    if at is None or now - at < _MAX_AGE:
        return format_age(at, now)
    return at.astimezone(UTC).strftime("%Y-%m-%d")


def format_deadline(at: datetime, now: datetime) -> str:
    """Return a future time in the local time zone, or its date if that is over a day ahead."""
    local = at.astimezone()
    return f"{local:%H:%M}" if at - now < timedelta(days=1) else f"{local:%Y-%m-%d}"


def format_time(at: datetime, now: datetime) -> str:
    """Return a time in the local time zone, `14:05:33`; before today with the day."""
    local = at.astimezone()
    time = local.strftime("%H:%M:%S")
    return time if local.date() == now.astimezone().date() else f"{local.day} {local:%b} {time}"


def format_latency(latency_ms: float) -> str:
    """Return a latency in milliseconds, below 10 ms with one decimal place."""
    return f"{latency_ms:.1f} ms" if latency_ms < 10 else f"{latency_ms:,.0f} ms"


def format_axis(latency_ms: float) -> str:
    """Return a round latency for the axis of a chart."""
    return f"{latency_ms / 1000:g} s" if latency_ms >= 1000 else f"{latency_ms:g} ms"


def health_sentence(health: HealthStatus | Transition | Check) -> str:
    """Return why a server is, or was, in its state."""
    detail = None if isinstance(health, Check) else health.detail
    return detail or REASON_SENTENCES[health.reason]


def has_link_state(server: Server) -> bool:
    """Return whether a row shows the link's state: `polling` only once a server was checked."""
    return server.link is not LinkState.POLLING or server.health.checked_at is not None


def visible(text: str) -> str:
    """Return a server's text on one line, with `�` for each character a browser would obey.

    A `bdi` keeps a direction from leaving a text. An override inside of it would still show
    `txt.exe` as `exe.txt`.
    """
    return _UNSAFE.sub("\ufffd", " ".join(text.split()))


def session_title(session: Session) -> str:
    """Return a session's title for a page, "Untitled" where nothing of it can be seen."""
    title = visible(session.title)
    return title if any(c.isprintable() and not c.isspace() for c in title) else "Untitled"


def short_path(directory: str) -> str:
    """Return the last two folders of a path, POSIX or Windows."""
    slash = "\\" if _WINDOWS_PATH.match(directory) else "/"
    path = directory.replace("/", slash)
    parts = path.rstrip(slash).rsplit(slash, 2)
    return directory if len(parts) < 3 or not parts[0] else f"…{slash}{parts[1]}{slash}{parts[2]}"


def session_address(session: Session, server_url: str) -> str | None:
    """Return the address of a session in the web app that an OpenCode server brings along.

    The id and the folder come from the server, so they are encoded; the origin is the user's.
    Checked with 1.18.33, which redirects this address of older releases to its own.

    Returns:
        None for an id that no address can carry: browsers resolve `..`, encoded or not.
    """
    if session.id in (".", ".."):
        return None
    folder = base64.urlsafe_b64encode(session.directory.encode("utf-8", "surrogatepass"))
    return f"{server_url}/{folder.decode().rstrip('=')}/session/{quote(session.id, safe='')}"
