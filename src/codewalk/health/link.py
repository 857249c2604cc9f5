"""The rules of a live link: when silence is too long, when to try again, who gets one.

Pure: what happened and the time go in, so every rule here is tested without a network or a clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from codewalk.servers.profile import NotifySetting, ServerProfile

MOST: Final = 50
"""Servers with a live link that nobody asked for; more are checked by the clock alone."""

BEATS: Final = 2.5
"""Heartbeats that may be missed, so to speak, before silence counts."""

CURRENT_BEAT: Final = 10.0
OLD_BEAT: Final = 30.0
"""Seconds between two heartbeats of current and of older releases, until they are measured."""

SHORTEST_BEAT: Final = 4.0
"""Seconds; a server can't make us impatient by sending heartbeats faster."""

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 10.0
"""Seconds before the first and the later attempts to open the link again."""

JITTER: Final = 0.5
"""How much chance may add to a pause, so that many links don't come back at one moment."""

STEADY: Final = 10.0
"""Seconds that a link must have lived to count as one that works."""

HOPELESS: Final = 3
"""Attempts in a row after which a healthy server shows as one without a link."""


class LinkState(StrEnum):
    """How news of a server come: by its own word, soon so, or by asking again and again."""

    LIVE = "live"
    CONNECTING = "connecting"
    POLLING = "polling"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulse:
    """How long a server may be silent.

    `measured` is the time between two of its heartbeats in seconds, `assumed` what goes for that
    until it is measured, `last` when the last one came on this stream.
    """

    measured: float | None = None
    assumed: float = CURRENT_BEAT
    last: float | None = None

    @property
    def patience(self) -> float:
        """Seconds of silence that mean something is wrong."""
        return BEATS * (self.measured or self.assumed)

    def beat(self, now: float) -> "Pulse":
        """After a heartbeat. One that came late and one early must not make us impatient: the
        measure rises at once and falls slowly."""
        if self.last is None:
            return replace(self, last=now)
        gap = min(max(now - self.last, SHORTEST_BEAT), OLD_BEAT)
        smooth = gap if self.measured is None else 0.75 * self.measured + 0.25 * gap
        return replace(self, measured=max(gap, smooth), last=now)

    def reopened(self) -> "Pulse":
        """On a new stream: the time between streams is no measure."""
        return replace(self, last=None)

    def silent(self) -> "Pulse":
        """After a silence: should the server be well, it is one that speaks less often."""
        return Pulse(assumed=OLD_BEAT)


def pause(failures: int, chance: float) -> float:
    """Seconds to wait after so many failed attempts in a row; `chance` is from 0 to 1."""
    doubled = FIRST_PAUSE * 2.0 ** min(failures, 10)
    # Room for chance in the longest ones, too: they are those of a server that is gone for many.
    return min(doubled, LONGEST_PAUSE / (1 + JITTER)) * (1 + JITTER * chance)


def chosen(
    profiles: Iterable[ServerProfile], active_id: str | None, most: int = MOST
) -> dict[str, ServerProfile]:
    """Who gets a live link: the active server, those that it is asked for, and then the first ones
    of the list, up to `most` in all."""
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
    return sure | dict(others[: max(most - len(sure), 0)])
