"""The rules of a live link: heartbeat timeout, backoff, and which servers have one.

Pure: events and times are arguments, so every rule here is tested without a network or a clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from codewalk.servers.profile import NotifySetting, ServerProfile

MAX_LINKS: Final = 50
"""Servers with a live link, those with `notify` on aside; more are only checked."""

TIMEOUT_HEARTBEATS: Final = 2.5
"""The heartbeat timeout, in heartbeat intervals."""

DEFAULT_HEARTBEAT_INTERVAL: Final = 10.0
"""Seconds between two heartbeats of current releases: assumed until it is measured."""

MAX_HEARTBEAT_INTERVAL: Final = 30.0
"""Seconds between two heartbeats of older releases; assumed after a heartbeat timeout."""

MIN_HEARTBEAT_INTERVAL: Final = 4.0
"""Seconds; a server that sends heartbeats faster doesn't shorten its timeout further."""

MIN_BACKOFF: Final = 0.25
MAX_BACKOFF: Final = 10.0
"""Seconds before the first attempt to reconnect, and before the later ones at most."""

MAX_JITTER: Final = 0.5
"""The share that jitter may add to a backoff, so that many links don't reconnect together."""

STABLE_AFTER: Final = 10.0
"""Seconds after which an open link counts as stable; its backoff then starts again."""

POLLING_AFTER_FAILURES: Final = 3
"""Failed attempts in a row after which the link of a healthy server shows as `polling`."""


class LinkState(StrEnum):
    """The way in which news of a server arrives."""

    LIVE = "live"
    """By its event stream."""
    CONNECTING = "connecting"
    """By its event stream again, soon."""
    POLLING = "polling"
    """By its checks alone."""
    BUFFERED = "buffered"
    """By its checks alone, since a proxy holds its event stream back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeats:
    """The heartbeats of one server, and the timeout that follows from them.

    Attributes:
        interval: Seconds between two heartbeats as measured, None until then.
        default_interval: Seconds that are assumed until then.
        last_at: The time of the last heartbeat on the current stream, None before the first.
    """

    interval: float | None = None
    default_interval: float = DEFAULT_HEARTBEAT_INTERVAL
    last_at: float | None = None

    @property
    def timeout(self) -> float:
        """Seconds of silence after which the link counts as broken."""
        return TIMEOUT_HEARTBEATS * (self.interval or self.default_interval)

    def received(self, now: float) -> "Heartbeats":
        """Return the value after a heartbeat.

        The measured interval rises at once and falls slowly: one late heartbeat followed by an
        early one must not shorten the timeout.
        """
        if self.last_at is None:
            return replace(self, last_at=now)
        gap = min(max(now - self.last_at, MIN_HEARTBEAT_INTERVAL), MAX_HEARTBEAT_INTERVAL)
        average = gap if self.interval is None else 0.75 * self.interval + 0.25 * gap
        return replace(self, interval=max(gap, average), last_at=now)

    def reconnected(self) -> "Heartbeats":
        """Return the value for a new stream: the time between two streams isn't measured."""
        return replace(self, last_at=None)

    def timed_out(self) -> "Heartbeats":
        """Return the value after a timeout: a healthy server then is one of an older release."""
        return Heartbeats(default_interval=MAX_HEARTBEAT_INTERVAL)


def backoff(failures: int, jitter: float) -> float:
    """Return the seconds until the next attempt to connect.

    Args:
        failures: Failed attempts in a row.
        jitter: A random number from 0 to 1.
    """
    doubled = MIN_BACKOFF * 2.0 ** min(failures, 10)
    # Leave room for jitter in the longest ones, too: they are those of a server that is gone for
    # all its clients at once.
    return min(doubled, MAX_BACKOFF / (1 + MAX_JITTER)) * (1 + MAX_JITTER * jitter)


def select_linked(
    profiles: Iterable[ServerProfile], active_id: str | None, max_links: int = MAX_LINKS
) -> dict[str, ServerProfile]:
    """Return the servers that have a live link, by their ids.

    They are the active server and those with `notify` on, however many, and then the first others
    of the list, without those with `notify` off, up to `max_links` in all.
    """
    by_id = {profile.id: profile for profile in profiles}
    required = {
        server_id: profile
        for server_id, profile in by_id.items()
        if server_id == active_id or profile.notify is NotifySetting.ON
    }
    others = [
        (server_id, profile)
        for server_id, profile in by_id.items()
        if server_id not in required and profile.notify is NotifySetting.DEFAULT
    ]
    return required | dict(others[: max(max_links - len(required), 0)])
