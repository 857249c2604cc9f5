"""What becomes of real requests, as a sign of their servers' health."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

from codewalk.errors import RequestFailed
from codewalk.health.monitor import Monitor

SLOW_AFTER: Final = 1.0
"""Seconds without an answer after which a request's server is checked, beside it."""

MIN_CHECK_INTERVAL: Final = 1.0
"""Seconds between two checks of a server that requests lead to, however many fail."""


class RequestObserver:
    """Listens to requests, and has their servers checked where that may bring news.

    A request decides nothing: a failed one may have failed for its own sake, and a good answer may
    be older than the failure that made its server red. It costs a check, of milliseconds where the
    server is well, to know.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._hinted: dict[str, float] = {}

    @contextmanager
    def observe(self, server_id: str) -> Iterator[None]:
        """Around one request, up to the answer as it was understood."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        slow = loop.call_later(SLOW_AFTER, self._hint, server_id)
        try:
            yield
        except RequestFailed:
            self._hint(server_id)
            raise
        finally:
            slow.cancel()
        if not self._monitor.report_success(server_id, sent_at=began):
            self._hint(server_id)

    def _hint(self, server_id: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._hinted.get(server_id, -inf) >= MIN_CHECK_INTERVAL:
            self._hinted[server_id] = now
            self._monitor.check_soon(server_id)
