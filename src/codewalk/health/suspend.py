"""What follows when time was lost: a laptop slept, a process was stopped, a clock was set.

Pure: both clocks' times go in.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from codewalk.health.status import CheckResult
from codewalk.reason import TRANSPORT_FAILURES

CLOCK_CHECK_INTERVAL: Final = 1.0
"""Seconds between two looks at the clocks."""

SUSPEND_THRESHOLD: Final = 2.0
"""Seconds by which a look may be late, or the clocks disagree, before it counts. A loop that is
only busy is never that late."""

RECHECK_SPREAD: Final = 2.0
"""Seconds over which all servers are checked after that."""


class SuspendDetector:
    """Notices that time was lost.

    The monotonic clock stands still while a Linux or macOS machine sleeps, and the wall clock then
    jumps; on Windows, and where only this process was stopped, both go on and a look comes late.
    """

    def __init__(self) -> None:
        self._last: tuple[float, datetime] | None = None

    def detect(self, monotonic: float, wall: datetime) -> bool:
        """Whether time was lost since the last look. To be called every `CLOCK_CHECK_INTERVAL`
        seconds, and before anything that a lost time would mislead."""
        last, self._last = self._last, (monotonic, wall)
        if last is None:
            return False
        passed = monotonic - last[0]
        jumped = (wall - last[1]).total_seconds() - passed
        return passed > CLOCK_CHECK_INTERVAL + SUSPEND_THRESHOLD or abs(jumped) > SUSPEND_THRESHOLD


class GracePeriod:
    """The first failure of each server after a wake-up, which counts as none: a network takes
    seconds to come back, and connections from before are dead without knowing it."""

    def __init__(self) -> None:
        self._granted: set[str] = set()
        self._used: set[str] = set()

    def begin(self, server_ids: Iterable[str]) -> None:
        """From now on; what was granted before is void."""
        self._granted = set(server_ids)
        self._used.clear()

    def covers(self, server_id: str) -> bool:
        """Whether this server wasn't checked yet."""
        return server_id in self._granted

    def excuses(self, server_id: str, result: CheckResult) -> bool:
        """Whether this result counts as none. A definite answer always counts."""
        if server_id not in self._granted:
            self._used.discard(server_id)
            return False
        self._granted.discard(server_id)
        if result.reason not in TRANSPORT_FAILURES:
            return False
        self._used.add(server_id)
        return True

    def excused(self, server_id: str) -> bool:
        """Whether this server's last failure counted as none: the next check is due soon."""
        return server_id in self._used

    def forget(self, server_id: str) -> None:
        self._granted.discard(server_id)
        self._used.discard(server_id)
