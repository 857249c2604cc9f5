"""Checks of servers that follow from requests: one that fails, is slow, or is answered."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

from codewalk.errors import RequestFailed
from codewalk.health.monitor import Monitor
from codewalk.reason import Reason

SLOW_AFTER: Final = 1.0
"""Seconds without a response after which a request's server is checked beside it."""

MIN_CHECK_INTERVAL: Final = 1.0
"""Seconds between two checks of a server that follow from requests, however many fail."""


class RequestObserver:
    """Observes requests, and has their servers checked where that may bring news.

    A request decides nothing: a failed one may have failed for its own sake, and a good response
    may be older than the failure that made its server red. A check, which takes milliseconds where
    the server is healthy, decides.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._checked_at: dict[str, float] = {}

    @contextmanager
    def observe(self, server_id: str) -> Iterator[None]:
        """Observe one request, up to the parsed response, while the block runs."""
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        slow = loop.call_later(SLOW_AFTER, self._check, server_id)
        try:
            yield
        except RequestFailed as exc:
            if exc.reason is Reason.BUSY:
                self._monitor.report_busy(server_id, exc)
            else:
                self._check(server_id)
            raise
        finally:
            slow.cancel()
        if not self._monitor.report_success(server_id, sent_at=sent_at):
            self._check(server_id)

    def _check(self, server_id: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._checked_at.get(server_id, -inf) >= MIN_CHECK_INTERVAL:
            self._checked_at[server_id] = now
            self._monitor.check_soon(server_id)
