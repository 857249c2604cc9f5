"""How long until a server is checked again."""

from datetime import datetime
from typing import Final

from codewalk.health.status import RECHECK_DELAY, HealthStatus
from codewalk.reason import State

MAX_JITTER: Final = 0.1
"""How much of the interval chance may take or give, so that checks don't bunch."""

LONG_DOWN: Final = ((600.0, 60.0), (120.0, 30.0))
"""Seconds that a server has been down, and the interval from then on."""


def pause(
    status: HealthStatus, interval: float, *, now: datetime, active: bool, jitter: float
) -> float:
    """Seconds from the end of a check to the next one.

    Half a second where the next check decides. Else the server's interval; a longer one where it
    has been down for long and isn't the active one. `jitter` is from 0 to 1.
    """
    if status.unsettled:
        return RECHECK_DELAY
    if status.state is State.UNHEALTHY and not active and status.since:
        down = (now - status.since).total_seconds()
        long = next((long for since, long in LONG_DOWN if down >= since), interval)
        interval = max(long, interval)
    return interval * (1 + MAX_JITTER * (2 * jitter - 1))
