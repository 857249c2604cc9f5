"""The bar of a server's recent checks: equal slots of time up to now, each with a state.

Pure. A slot has the state of the worst of its checks. One without a check has the state of the last
check before it while that is valid (`HealthStatus.as_of`); otherwise nothing is known of it. So an
outage is as long in the bar as it was in time, however often the server was checked meanwhile.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Final

from codewalk.health.status import MAX_CHECK_DELAY, RARELY_CHECKED
from codewalk.history.history import Check, state_of
from codewalk.history.period import EPOCH
from codewalk.reason import Reason, State
from codewalk.servers.health_check import HealthCheckSettings
from codewalk.times import format_duration

SLOTS: Final = 60
"""Slots in a bar, each as long as the server's interval: one scheduled check falls into each."""

CheckMark = tuple[int, Reason]
"""A check as its time, in milliseconds since 1970, and its reason: of thousands of checks of a long
list nothing else is needed."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_SEVERITY: Final = {State.HEALTHY: 0, State.UNKNOWN: 1, State.UNHEALTHY: 2}

# Looked up once: see the recorder.
_OK: Final = Reason.OK
_UP: Final = State.HEALTHY
_DOWN: Final = State.UNHEALTHY


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """One slot of a bar.

    Attributes:
        begins: When it starts.
        check: The check that gives its state: the worst one in it, else the last one before it;
            None where nothing is known.
    """

    begins: datetime
    check: Check | None

    @property
    def is_continued(self) -> bool:
        """Whether it has no check of its own, but the state of an earlier one."""
        return self.check is not None and self.check.at < self.begins


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckBar:
    """The recent checks in `SLOTS` slots of time, oldest first.

    Attributes:
        begins: The start of the first slot. Slots begin at multiples of their length, so that a
            check stays in its slot while time goes on; the last one is the current one.
        slot: The length of a slot.
        deciding: For each slot, the index of the check that gives its state, or None.
        states: For each slot its state; None where nothing is known.
        up: The time in which the last check was good.
        down: The time in which it had failed.
        unknown: The rest of the time up to now.
    """

    begins: datetime
    slot: timedelta
    deciding: Sequence[int | None]
    states: Sequence[State | None]
    up: timedelta
    down: timedelta
    unknown: timedelta

    @property
    def span(self) -> str:
        """The time that the bar shows: `10 min`."""
        return format_duration(SLOTS * self.slot)

    @property
    def has_checks(self) -> bool:
        """Whether anything is known of any slot."""
        return any(self.states)

    @property
    def summary(self) -> str:
        """The bar in words: `down for 53 s, unknown for 4 min`."""
        if not self.up and not self.down:
            return "unknown" if self.has_checks else "not checked"
        words = f"down for {format_duration(self.down)}" if self.down else "never down"
        is_gap = self.unknown >= self.slot
        return f"{words}, unknown for {format_duration(self.unknown)}" if is_gap else words

    def slots(self, checks: Sequence[Check]) -> list[Slot]:
        """Return the slots with their checks; `checks` are those that the bar was built from."""
        return [
            Slot(
                begins=self.begins + number * self.slot,
                check=None if index is None else checks[index],
            )
            for number, index in enumerate(self.deciding)
        ]


def mark_check(check: Check) -> CheckMark:
    """Return a check as the bar needs it."""
    return (check.at - EPOCH) // _MILLISECOND, check.reason


def build_check_bar(
    marks: Sequence[CheckMark], settings: HealthCheckSettings, now: datetime
) -> CheckBar:
    """Return the bar of a server's recent checks.

    Args:
        marks: The checks, oldest first. Those from before the bar, and from a future in which a
            wrong clock put them, are left out.
        settings: Those of the server's checks.
        now: The time.
    """
    slot_ms = round(settings.interval * 1000)
    now_ms = (now - EPOCH) // _MILLISECOND
    first_ms = (now_ms // slot_ms - SLOTS + 1) * slot_ms
    deciding: list[int | None] = [None] * SLOTS
    states: list[State | None] = [None] * SLOTS
    has_check = [False] * SLOTS
    up_ms = down_ms = 0
    for index, at, until, state in _validities(marks, settings, first_ms, now_ms):
        own, last = (at - first_ms) // slot_ms, (until - first_ms) // slot_ms
        if own >= 0 and (not has_check[own] or _is_worse(state, states[own])):
            deciding[own], states[own], has_check[own] = index, state, True
        while own < last:
            own += 1
            if own >= 0 and not has_check[own]:
                deciding[own], states[own] = index, state
        shown_ms = until - max(at, first_ms)
        if state is _UP:
            up_ms += shown_ms
        elif state is _DOWN:
            down_ms += shown_ms
    return CheckBar(
        begins=EPOCH + first_ms * _MILLISECOND,
        slot=slot_ms * _MILLISECOND,
        deciding=deciding,
        states=states,
        up=up_ms * _MILLISECOND,
        down=down_ms * _MILLISECOND,
        unknown=(now_ms - first_ms - up_ms - down_ms) * _MILLISECOND,
    )


def _validities(
    marks: Sequence[CheckMark], settings: HealthCheckSettings, first_ms: int, now_ms: int
) -> Iterator[tuple[int, int, int, State]]:
    """Yield index, time, end of validity and state of each check that is valid after `first_ms`."""
    stale_ms = settings.stale_after // _MILLISECOND
    rarely_ms = stale_ms + MAX_CHECK_DELAY // _MILLISECOND
    # The last one before the bar may be valid in it.
    begin = max(bisect_left(marks, first_ms, key=itemgetter(0)) - 1, 0)
    end = bisect_right(marks, now_ms, key=itemgetter(0))
    for index in range(begin, end):
        at, reason = marks[index]
        is_rare = reason is not _OK and reason in RARELY_CHECKED
        until = at + (rarely_ms if is_rare else stale_ms)
        next_at = marks[index + 1][0] if index + 1 < end else now_ms
        if next_at < until:
            until = max(next_at, at)  # a clock that was set back puts them out of order
        if until >= first_ms:
            yield index, at, until, _UP if reason is _OK else state_of(reason)


def _is_worse(state: State, other: State | None) -> bool:
    return other is None or _SEVERITY[state] > _SEVERITY[other]
