"""The rules of a live link: when silence is too long, when to try again, who gets one.

Pure: what happened and the time go in, so every rule here is tested without a network or a clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from codewalk.servers.profile import NotifySetting, ServerProfile

MAX_LINKS: Final = 50
"""Servers with a live link that nobody asked for; more are checked by the clock alone."""

TIMEOUT_HEARTBEATS: Final = 2.5
"""Heartbeats that may be missed, so to speak, before silence counts."""

DEFAULT_HEARTBEAT_INTERVAL: Final = 10.0
MAX_HEARTBEAT_INTERVAL: Final = 30.0
"""Seconds between two heartbeats of current and of older releases, until they are measured."""

MIN_HEARTBEAT_INTERVAL: Final = 4.0
"""Seconds; a server can't make us impatient by sending heartbeats faster."""

MIN_BACKOFF: Final = 0.25
MAX_BACKOFF: Final = 10.0
"""Seconds before the first and the later attempts to open the link again."""

MAX_JITTER: Final = 0.5
"""How much chance may add to a pause, so that many links don't come back at one moment."""

STABLE_AFTER: Final = 10.0
"""Seconds that a link must have lived to count as one that works."""

POLLING_AFTER_FAILURES: Final = 3
"""Attempts in a row after which a healthy server shows as one without a link."""


class LinkState(StrEnum):
    """How news of a server come: by its own word, soon so, or by asking again and again."""

    LIVE = "live"
    CONNECTING = "connecting"
    POLLING = "polling"


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeats:
    """How long a server may be silent.

    `measured` is the time between two of its heartbeats in seconds, `assumed` what goes for that
    until it is measured, `last` when the last one came on this stream.
    """

    measured: float | None = None
    assumed: float = DEFAULT_HEARTBEAT_INTERVAL
    last: float | None = None

    @property
    def timeout(self) -> float:
        """Seconds of silence that mean something is wrong."""
        return TIMEOUT_HEARTBEATS * (self.measured or self.assumed)

    def received(self, now: float) -> "Heartbeats":
        """After a heartbeat. One that came late and one early must not make us impatient: the
        measure rises at once and falls slowly."""
        if self.last is None:
            return replace(self, last=now)
        gap = min(max(now - self.last, MIN_HEARTBEAT_INTERVAL), MAX_HEARTBEAT_INTERVAL)
        smooth = gap if self.measured is None else 0.75 * self.measured + 0.25 * gap
        return replace(self, measured=max(gap, smooth), last=now)

    def reconnected(self) -> "Heartbeats":
        """On a new stream: the time between streams is no measure."""
        return replace(self, last=None)

    def timed_out(self) -> "Heartbeats":
        """After a silence: should the server be well, it is one that speaks less often."""
        return Heartbeats(assumed=MAX_HEARTBEAT_INTERVAL)


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait after so many failed attempts in a row; `jitter` is from 0 to 1."""
    doubled = MIN_BACKOFF * 2.0 ** min(failures, 10)
    # Room for chance in the longest ones, too: they are those of a server that is gone for many.
    return min(doubled, MAX_BACKOFF / (1 + MAX_JITTER)) * (1 + MAX_JITTER * jitter)


def select_linked(
    profiles: Iterable[ServerProfile], active_id: str | None, max_links: int = MAX_LINKS
) -> dict[str, ServerProfile]:
    """Who gets a live link: the active server, those that it is asked for, and then the first ones
    of the list, up to `max_links` in all."""
    listed = {profile.id: profile for profile in profiles}
    sure = {
        server_id: profile
        for server_id, profile in listed.items()
        if server_id == active_id or profile.notify is NotifySetting.ON
    }
    others = [
        (server_id, profile)
        for server_id, profile in listed.items()
        if server_id not in sure and profile.notify is NotifySetting.DEFAULT
    ]
    return sure | dict(others[: max(max_links - len(sure), 0)])
