"""Detection of a suspend, and the grace period after it.

A laptop that slept, a process that was stopped and a clock that was set all count as a suspend.
Pure: the times of both clocks are arguments.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from codewalk.health.status import CheckResult
from codewalk.reason import TRANSPORT_FAILURES

CLOCK_CHECK_INTERVAL: Final = 1.0
"""Seconds between two checks of the clocks."""

SUSPEND_THRESHOLD: Final = 2.0
"""Seconds by which a check of the clocks is late, or the clocks differ, after a suspend.

An event loop that is only busy is never that late.
"""

RECHECK_SPREAD: Final = 2.0
"""Seconds over which the checks of all servers are spread after a suspend."""


class SuspendDetector:
    """Detects that this process, or its machine, stood still.

    The monotonic clock stands still while a Linux or macOS machine sleeps, and the wall clock then
    jumps; on Windows, and where only this process was stopped, both go on and the check is late.
    """

    def __init__(self) -> None:
        self._last: tuple[float, datetime] | None = None

    def detect(self, monotonic: float, wall: datetime) -> bool:
        """Return whether there was a suspend since the last call.

        To be called every `CLOCK_CHECK_INTERVAL` seconds, and before anything that a suspend would
        falsify.

        Args:
            monotonic: Seconds of the monotonic clock.
            wall: The time of the wall clock.
        """
        last, self._last = self._last, (monotonic, wall)
        if last is None:
            return False
        elapsed = monotonic - last[0]
        jump = (wall - last[1]).total_seconds() - elapsed
        return elapsed > CLOCK_CHECK_INTERVAL + SUSPEND_THRESHOLD or abs(jump) > SUSPEND_THRESHOLD


class GracePeriod:
    """Ignores the first transport failure of each server after a suspend.

    A network takes seconds to come back, and connections from before the suspend are dead though
    they look open.
    """

    def __init__(self) -> None:
        self._unchecked: set[str] = set()
        self._excused: set[str] = set()

    def begin(self, server_ids: Iterable[str]) -> None:
        """Begin the grace period of these servers, and end that of all others."""
        self._unchecked = set(server_ids)
        self._excused.clear()

    def covers(self, server_id: str) -> bool:
        """Return whether this server wasn't checked since the suspend."""
        return server_id in self._unchecked

    def excuses(self, server_id: str, result: CheckResult) -> bool:
        """Return whether to ignore this result; it ends the server's grace period.

        An HTTP response is never ignored.
        """
        if server_id not in self._unchecked:
            self._excused.discard(server_id)
            return False
        self._unchecked.discard(server_id)
        if result.reason not in TRANSPORT_FAILURES:
            return False
        self._excused.add(server_id)
        return True

    def excused(self, server_id: str) -> bool:
        """Return whether this server's last failure was ignored: its next check is due soon."""
        return server_id in self._excused

    def forget(self, server_id: str) -> None:
        """End the grace period of a server that is removed."""
        self._unchecked.discard(server_id)
        self._excused.discard(server_id)
