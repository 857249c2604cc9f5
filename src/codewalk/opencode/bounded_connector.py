"""aiohttp's connector, with bounded interim responses and a way to close idle connections.

A server may send any number of interim responses (`102`, `103`), and aiohttp parses all that have
arrived before it looks at anything else. A server that sends nothing but these would hold the event
loop, and with it every other server, for seconds.
"""

from functools import partial
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

MAX_QUEUED_RESPONSES: Final = 16
"""Responses that may be parsed and not read; a request has one, and few interim ones."""

_SLICE_BYTES: Final = 16 * 1024
"""Bytes parsed before the count is checked: about a thousand of the shortest responses."""


class BoundedHandler(ResponseHandler):
    """A connection that closes when too many unread responses queue up."""

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES) if len(data) > _SLICE_BYTES else (0,):
            super().data_received(data[start : start + _SLICE_BYTES])
            if len(self) > MAX_QUEUED_RESPONSES:
                self.close()
                # After `close`, which clears the error.
                self.set_exception(HttpProcessingError(message="too many interim responses"))
                return


class BoundedConnector(aiohttp.TCPConnector):
    """A connector of such connections.

    aiohttp has no documented way to choose their class, nor to close only the idle ones.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: type[ResponseHandler] = BoundedHandler
        self._factory = partial(handler, loop=self._loop)

    def close_idle(self) -> None:
        """Close the connections that no request uses."""
        for idle in self._conns.values():
            for connection, _ in idle:
                connection.close()
        self._conns.clear()
