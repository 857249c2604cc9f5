"""Event streams that a test feeds by hand, on a clock that jumps or a real one."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import orjson

from codewalk.errors import RequestFailed
from codewalk.opencode.events import GLOBAL_EVENTS_PATH
from codewalk.opencode.response import Response
from codewalk.opencode.stream import ResponseStream
from codewalk.reason import Reason
from tests.fake_time import elapsed
from tests.fakes import HEALTHY, PATH, FakeConnection, failing_reply


class FakeStream(ResponseStream):
    """A stream of what `send`, `send_bytes` and `end` put in."""

    def __init__(self, *, status: int = 200, content_type: str = "text/event-stream") -> None:
        self.head = Response(
            status=status, content_type=content_type, body=b"", headers={}, elapsed_ms=0.0
        )
        self.closed = False
        self._chunks: asyncio.Queue[bytes | RequestFailed] = asyncio.Queue()

    def send_bytes(self, chunk: bytes) -> None:
        self._chunks.put_nowait(chunk)

    def send(self, kind: str, properties: Any = None, *, directory: str = "global") -> None:
        payload = {"type": kind, "properties": properties or {}}
        self.send_bytes(
            b"data: " + orjson.dumps({"directory": directory, "payload": payload}) + b"\n\n"
        )

    def end(self, failure: RequestFailed | None = None) -> None:
        """End as a stopped server's stream does, or break with `failure`."""
        self._chunks.put_nowait(failure or b"")

    async def read(self, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                chunk = await self._chunks.get()
        except TimeoutError as exc:
            raise RequestFailed(Reason.TIMEOUT, f"Nothing for {timeout:g} s.") from exc
        if isinstance(chunk, RequestFailed):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closed = True


class StreamingConnection(FakeConnection):
    """A connection to a server that has event streams at `served`.

    `opened` holds the streams it gave, `attempts` the times of all attempts. With `open_failure` an
    attempt fails; with `sends_nothing` the stream begins without a byte, with `ends_at_once` it
    ends without one.
    """

    def __init__(
        self, *, served: Collection[str] = (GLOBAL_EVENTS_PATH,), url: str = "http://fake:4096"
    ) -> None:
        super().__init__({"/global/health": HEALTHY, "/path": PATH}, url=url)
        self.served = served
        self.opened: list[FakeStream] = []
        self.attempts: list[tuple[str, float]] = []
        self.open_failure: Reason | None = None
        self.sends_nothing = False
        self.ends_at_once = False
        self.absent = FakeStream(status=404, content_type="text/plain")

    @asynccontextmanager
    async def stream(self, path: str, *, timeout: float = 10.0) -> AsyncIterator[ResponseStream]:
        self.attempts.append((path, elapsed()))
        if self.open_failure:
            raise RequestFailed(self.open_failure, f"It failed: {self.open_failure}.")
        if path not in self.served:
            yield self.absent
            return
        stream = FakeStream()
        if self.ends_at_once:
            stream.end()
        elif not self.sends_nothing:
            stream.send("server.connected")
        self.opened.append(stream)
        try:
            yield stream
        finally:
            stream.close()

    @property
    def current(self) -> FakeStream:
        return self.opened[-1]

    def kill(self, reason: Reason = Reason.REFUSED) -> None:
        """Do what `kill -9` does: the stream ends, and nothing listens any more."""
        self.script |= {"/global/health": failing_reply(reason), "/path": failing_reply(reason)}
        self.open_failure = reason
        for stream in self.opened:
            stream.end()

    def restart(self) -> None:
        self.script |= {"/global/health": HEALTHY, "/path": PATH}
        self.open_failure = None
