"""aiohttp's connector, and what it lacks.

Interim answers (`102`, `103`) are bounded: a server may send any number of them, and aiohttp takes
all that have come before it looks at anything else. One that sends nothing but these would hold the
event loop, and with it every other server, for seconds. Idle connections can be dropped.
"""

from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

MAX_QUEUED_RESPONSES: Final = 16
"""Answers that may have come and not been taken; one request has one, and few interim ones."""

_SLICE: Final = 16 * 1024
"""Bytes parsed between two looks: about a thousand of the shortest interim answers."""


class BoundedHandler(ResponseHandler):
    """Ends a connection on which answers pile up."""

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE) if len(data) > _SLICE else (0,):
            super().data_received(data[start : start + _SLICE])
            if len(self) > MAX_QUEUED_RESPONSES:
                self.close()
                # After that: closing takes an error away.
                self.set_exception(HttpProcessingError(message="too many interim answers"))
                return


class BoundedConnector(aiohttp.TCPConnector):
    """Makes connections that are bounded so. aiohttp has no public way to say which to make."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: type[ResponseHandler] = BoundedHandler
        self._factory = partial(handler, loop=self._loop)

    def drop_idle(self) -> None:
        """Closes the connections that wait for a next request. aiohttp has no public way for that
        either, short of closing those in use too."""
        for waiting in self._conns.values():
            for connection, _ in waiting:
                connection.close()
        self._conns.clear()
