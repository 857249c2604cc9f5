"""Words for what is shown: how long ago, why a server is as it is, where something lies."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from codewalk.health.link import LinkState
from codewalk.health.status import HealthStatus
from codewalk.history.history import Transition
from codewalk.reason import Reason
from codewalk.server import Server
from codewalk.web.chart import Cell
from codewalk.workspace.sessions import Session

REASON_SENTENCES: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.OK: "Ready to use.",
        Reason.UNCHECKED: "Not checked yet.",
        Reason.REFUSED: "Nothing listens at this address.",
        Reason.TIMEOUT: "No answer in time.",
        Reason.DNS: "The host name isn't known.",
        Reason.TLS: "No secure connection could be made.",
        Reason.UNREACHABLE: "The server can't be reached.",
        Reason.AUTH_REQUIRED: "The server asks for a password, and none is stored.",
        Reason.AUTH_REJECTED: "The server refused the stored user name or password.",
        Reason.NOT_OPENCODE: "Something answers, but it isn't an OpenCode server.",
        Reason.SERVER_ERROR: "The server answered with an error of its own.",
        Reason.INCOMPATIBLE: "CodeWalk can't talk to this OpenCode release.",
        Reason.OFFLINE: "This machine has no network.",
    }
)
"""For a status without a detail of its own."""

LINK_DESCRIPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        LinkState.LIVE: "It tells by itself what happens",
        LinkState.CONNECTING: "It is asked to tell what happens",
        LinkState.POLLING: "What happens is seen with the next check",
    }
)
"""How news of a server comes."""


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago, in words; `static/app.js` counts on with the same ones."""
    if moment is None:
        return "never"
    seconds = int((now - moment).total_seconds())
    for limit, unit, word in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h")):
        if seconds < limit:
            return "just now" if seconds < 3 else f"{seconds // unit} {word} ago"
    days = seconds // 86_400
    if days < 30:
        return f"{days} day{'s' if days > 1 else ''} ago"
    return moment.astimezone(UTC).strftime("%Y-%m-%d")


def until(moment: datetime, now: datetime) -> str:
    """A time of this machine's clock, or a date where that is more than a day ahead."""
    local = moment.astimezone()
    return f"{local:%H:%M}" if moment - now < timedelta(days=1) else f"{local:%Y-%m-%d}"


def duration(span: timedelta) -> str:
    """How long, in the two largest units: `2 h 5 min`."""
    seconds = max(int(span.total_seconds()), 0)
    days, hours, minutes = seconds // 86_400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} day{'s' if days > 1 else ''}{f' {hours} h' if hours else ''}"
    if hours:
        return f"{hours} h{f' {minutes} min' if minutes else ''}"
    if minutes:
        return f"{minutes} min{f' {seconds % 60} s' if seconds % 60 else ''}"
    return f"{seconds} s" if seconds else "under 1 s"


def moment(at: datetime, now: datetime) -> str:
    """When, by the clock of the machine that CodeWalk runs on: `14:05:33`, before today with the
    day."""
    here, today = at.astimezone(), now.astimezone()
    time = here.strftime("%H:%M:%S")
    return time if here.date() == today.date() else f"{here.day} {here:%b} {time}"


def milliseconds(latency_ms: float) -> str:
    return f"{latency_ms:.1f} ms" if latency_ms < 10 else f"{latency_ms:,.0f} ms"


def axis(latency_ms: float) -> str:
    """A round latency at the edge of a chart."""
    return f"{latency_ms / 1000:g} s" if latency_ms >= 1000 else f"{latency_ms:g} ms"


def sentence(health: HealthStatus | Transition | Cell) -> str:
    """Why a server is, or was, as it is, for a person."""
    detail = None if isinstance(health, Cell) else health.detail
    return detail or REASON_SENTENCES[health.reason]


def has_link_state(server: Server) -> bool:
    """Whether there is something to say of how its news comes: one that isn't asked has none."""
    return server.link is not LinkState.POLLING or server.health.checked_at is not None


def short_path(directory: str) -> str:
    """The last two folders of a path; the whole is in the title."""
    parts = directory.rstrip("/").rsplit("/", 2)
    return directory if len(parts) < 3 or not parts[0] else f"…/{parts[1]}/{parts[2]}"


def opencode_address(session: Session, server_url: str) -> str | None:
    """Where OpenCode's own web app, which the server brings along, shows a session.

    None for an id that an address can't carry: a browser takes `..` as the folder above, encoded
    too.

    The session's id and folder are the server's word, so they are encoded; the origin is the
    user's. Checked with 1.18.33, which turns this address of older releases into its own.
    """
    if session.id in (".", ".."):
        return None
    folder = base64.urlsafe_b64encode(session.directory.encode("utf-8", "surrogatepass"))
    return f"{server_url}/{folder.decode().rstrip('=')}/session/{quote(session.id, safe='')}"
