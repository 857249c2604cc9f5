"""The events that a server sends by itself, from its event stream, as typed values.

Current releases have `/global/event`, whose events come in an envelope; the oldest have only
`/event`, flat and for the server's own directory. Neither can be resumed: after a break, what the
events feed has to be fetched again.
"""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from codewalk.errors import RequestFailed
from codewalk.opencode.activity import Activity, parse_activity
from codewalk.opencode.bounded_json import decode
from codewalk.opencode.fields import MAX_DIRECTORY, parse_id
from codewalk.opencode.session import Session, parse_project_id, parse_session
from codewalk.opencode.sse import EventParser
from codewalk.reason import Reason

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection
    from codewalk.opencode.stream import ResponseStream

GLOBAL_EVENTS_PATH: Final = "/global/event"
EVENTS_PATH: Final = "/event"

OPEN_TIMEOUT: Final = 10.0
"""Seconds until the stream must have begun, its first bytes included: a proxy that holds events
back makes no live link."""

# The types that are parsed. All others, above all the deltas of running answers, are dropped
# unparsed: a search for these names in the bytes costs a hundredth of parsing the JSON.
_PARSED_TYPES: Final = re.compile(
    rb'"(?:server\.(?:connected|heartbeat)|session\.(?:created|updated|deleted|status|idle))"'
)
_IDLE_STATUS: Final = {"type": "idle"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Connected:
    """The stream has begun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """The server is there and has nothing else to send."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionChanged:
    """A session was created, updated or deleted; all fields come from the server.

    `directory` is where the event happened. `session` is the session as it is now, or was last
    where it is `deleted`; None for an event that doesn't carry all of it.
    """

    session_id: str | None
    directory: str | None
    session: Session | None = None
    project_id: str | None = None
    deleted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivityChanged:
    """A session began to do something; `activity` is None where it became idle."""

    session_id: str
    directory: str | None
    activity: Activity | None


ServerEvent = Connected | Heartbeat | SessionChanged | ActivityChanged


class EventStream:
    """The events of one server, as an async iterator that ends when the server ends the stream.

    Iterating raises `RequestFailed` where the stream breaks; with `Reason.TIMEOUT` after
    `silence_timeout()` seconds without a byte, asked anew for each wait.

    Attributes:
        path: Where the stream was found.
        ignored_count: Events of types that aren't parsed.
        malformed_count: Events that were too long or no JSON.
    """

    def __init__(
        self,
        stream: "ResponseStream",
        path: str,
        first: bytes,
        silence_timeout: Callable[[], float],
    ) -> None:
        self.path = path
        self.ignored_count = 0
        self._stream = stream
        self._first = first
        self._silence_timeout = silence_timeout
        self._parser = EventParser()
        self._invalid_count = 0

    @property
    def malformed_count(self) -> int:
        return self._invalid_count + self._parser.dropped

    async def __aiter__(self) -> AsyncIterator[ServerEvent]:
        chunk = self._first
        while chunk:
            for data in self._parser.feed(chunk):
                event = await self._parse(data)
                if event:
                    yield event
            chunk = await self._stream.read(self._silence_timeout())

    async def _parse(self, data: bytes) -> ServerEvent | None:
        if not _PARSED_TYPES.search(data):
            self.ignored_count += 1
            return None
        try:
            value = await decode(data)
        except ValueError:
            self._invalid_count += 1
            return None
        event = _parse_event(value)
        self.ignored_count += event is None
        return event


@asynccontextmanager
async def open_events(
    connection: "Connection", *, path: str | None = None, silence_timeout: Callable[[], float]
) -> AsyncIterator[EventStream]:
    """Open the event stream of a server for as long as the block runs.

    Args:
        connection: The connection to the server.
        path: Where the stream was found before; None where that isn't known.
        silence_timeout: Returns the seconds without a byte after which the stream is broken.

    Raises:
        RequestFailed: The stream can't be opened, or ended before its first byte; with
            `Reason.NOT_OPENCODE` where the server has no such stream, and with `Reason.TIMEOUT` and
            a status where the response began, and then no byte came, as behind a proxy that
            buffers.
    """
    async with AsyncExitStack() as stack:
        for candidate in (path,) if path else (GLOBAL_EVENTS_PATH, EVENTS_PATH):
            stream = await stack.enter_async_context(
                connection.stream(candidate, timeout=OPEN_TIMEOUT)
            )
            failure = _open_failure(connection, candidate, stream)
            if failure is None:
                first = await _read_first(stream)
                if not first:
                    raise RequestFailed(
                        Reason.SERVER_ERROR, "It ended its event stream before the first event."
                    )
                yield EventStream(stream, candidate, first, silence_timeout)
                return
            if not _is_absent(failure) or candidate == EVENTS_PATH:
                raise failure
            await stack.aclose()
        raise RequestFailed(Reason.NOT_OPENCODE, "It has no event stream where it had one.")


async def _read_first(stream: "ResponseStream") -> bytes:
    try:
        return await stream.read(OPEN_TIMEOUT)
    except RequestFailed as exc:
        if exc.reason is not Reason.TIMEOUT:
            raise
        status = stream.head.status
        raise RequestFailed(exc.reason, "A proxy holds its events back.", status=status) from exc


def _open_failure(
    connection: "Connection", path: str, stream: "ResponseStream"
) -> RequestFailed | None:
    failure = connection.failure(path, stream.head)
    if failure or stream.head.content_type == "text/event-stream":
        return failure
    return RequestFailed(Reason.NOT_OPENCODE, "It has no event stream.", status=stream.head.status)


def _is_absent(failure: RequestFailed) -> bool:
    return failure.reason is Reason.NOT_OPENCODE or failure.status == HTTPStatus.NOT_FOUND


def _parse_event(value: Any) -> ServerEvent | None:
    """The event in one message, with an envelope or flat; None for an unknown one."""
    if not isinstance(value, dict):
        return None
    payload = value.get("payload", value)
    if not isinstance(payload, dict):
        return None
    match payload.get("type"):
        case "server.connected":
            return Connected()
        case "server.heartbeat":
            return Heartbeat()
        case "session.created" | "session.updated" | "session.deleted" as kind:
            changed = _parse_session_changed(_properties(payload), value.get("directory"))
            return replace(changed, deleted=kind == "session.deleted")
        case "session.status":
            properties = _properties(payload)
            return _parse_activity_changed(
                properties, properties.get("status"), value.get("directory")
            )
        case "session.idle":
            return _parse_activity_changed(
                _properties(payload), _IDLE_STATUS, value.get("directory")
            )
        case _:
            return None


def _properties(payload: dict[str, Any]) -> dict[str, Any]:
    properties = payload.get("properties")
    return properties if isinstance(properties, dict) else {}


def _parse_session_changed(properties: dict[str, Any], directory: Any) -> SessionChanged:
    info = properties.get("info")
    info = info if isinstance(info, dict) else {}
    session_id = parse_id(properties.get("sessionID", info.get("id")))
    session = parse_session(info)
    # A part of a session must not take the place of the whole.
    is_whole = session and session.id == session_id and session.directory and session.updated_ms
    return SessionChanged(
        session_id=session_id,
        directory=_parse_directory(directory),
        session=session if is_whole else None,
        project_id=parse_project_id(info),
    )


def _parse_activity_changed(
    properties: dict[str, Any], status: Any, directory: Any
) -> ActivityChanged | None:
    session_id = parse_id(properties.get("sessionID"))
    try:
        activity = parse_activity(status)
    except TypeError:
        return None
    if session_id is None:
        return None
    return ActivityChanged(
        session_id=session_id, directory=_parse_directory(directory), activity=activity
    )


def _parse_directory(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= MAX_DIRECTORY else None
