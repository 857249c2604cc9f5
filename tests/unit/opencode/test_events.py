"""A server's events, from bytes on a stream to what the program acts on."""

import asyncio
from dataclasses import replace

import pytest

from codewalk.errors import RequestFailed
from codewalk.opencode.activity import BUSY, Activity, ActivityKind
from codewalk.opencode.events import (
    EVENTS_PATH,
    GLOBAL_EVENTS_PATH,
    ActivityChanged,
    Connected,
    EventStream,
    Heartbeat,
    ServerEvent,
    SessionChanged,
    open_events,
)
from codewalk.opencode.session import Session
from codewalk.reason import Reason
from tests.fake_events import FakeStream, StreamingConnection
from tests.fake_time import elapsed, fake_time


def silence_timeout() -> float:
    return 25.0


async def read_all(stream: FakeStream) -> tuple[list[ServerEvent], EventStream]:
    stream.end()
    events = EventStream(stream, GLOBAL_EVENTS_PATH, await stream.read(1), silence_timeout)
    return [event async for event in events], events


async def test_events_in_an_envelope_and_flat_ones_are_typed() -> None:
    stream = FakeStream()
    stream.send("server.connected")
    stream.send_bytes(b'data: {"type":"server.heartbeat","properties":{}}\n\n')
    stream.send("session.updated", {"info": {"id": "ses_1"}}, directory="/p")
    stream.send("session.deleted", {"sessionID": "ses_2"}, directory="/p")
    read, _ = await read_all(stream)
    assert read == [
        Connected(),
        Heartbeat(),
        SessionChanged(session_id="ses_1", directory="/p"),
        SessionChanged(session_id="ses_2", directory="/p", deleted=True),
    ]


async def test_an_event_carries_its_session() -> None:
    info = {
        "id": "ses_1",
        "projectID": "g",
        "directory": "/p",
        "parentID": "ses_0",
        "title": "Fix",
        "time": {"created": 1, "updated": 2, "archived": 3},
    }
    session = Session(
        id="ses_1",
        title="Fix",
        directory="/p",
        parent_id="ses_0",
        archived=True,
        created_ms=1,
        updated_ms=2,
    )
    stream = FakeStream()
    for kind in ("session.created", "session.updated", "session.deleted"):
        stream.send(kind, {"sessionID": "ses_1", "info": info}, directory="/p")
    changed = SessionChanged(session_id="ses_1", directory="/p", session=session, project_id="g")
    assert (await read_all(stream))[0] == [changed, changed, replace(changed, deleted=True)]


@pytest.mark.parametrize("missing", ["id", "directory", "time"])
async def test_a_part_of_a_session_is_not_taken_for_the_whole(missing: str) -> None:
    info = {"id": "ses_1", "directory": "/p", "time": {"updated": 2}}
    del info[missing]
    stream = FakeStream()
    stream.send("session.updated", {"sessionID": "ses_1", "info": info}, directory="/p")
    assert (await read_all(stream))[0] == [SessionChanged(session_id="ses_1", directory="/p")]


async def test_a_session_that_becomes_busy_or_idle_is_an_event() -> None:
    stream = FakeStream()
    waiting = {"type": "retry", "attempt": 2, "message": "Overloaded", "next": 1_795_531_047_944}
    for status in ({"type": "busy"}, waiting, {"type": "idle"}):
        stream.send("session.status", {"sessionID": "ses_1", "status": status}, directory="/p")
    stream.send("session.idle", {"sessionID": "ses_2"}, directory="/q")
    retry = Activity(kind=ActivityKind.RETRY, attempt=2, message="Overloaded")
    assert (await read_all(stream))[0] == [
        *(
            ActivityChanged(session_id="ses_1", directory="/p", activity=doing)
            for doing in (BUSY, retry, None)
        ),
        ActivityChanged(session_id="ses_2", directory="/q", activity=None),
    ]


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"sessionID": "ses_1"},
        {"sessionID": "ses_1", "status": "busy"},
        {"sessionID": "ses_1", "status": {"type": None}},
        {"sessionID": 5, "status": {"type": "busy"}},
        {"sessionID": "x" * 501, "status": {"type": "busy"}},
    ],
)
async def test_an_invalid_status_is_no_event(properties: dict[str, object]) -> None:
    stream = FakeStream()
    stream.send("session.status", properties)
    assert (await read_all(stream))[0] == []


async def test_events_of_other_types_are_dropped_unparsed() -> None:
    stream = FakeStream()
    stream.send("message.part.delta", {"delta": "hello"})
    stream.send_bytes(
        b'data: {"payload":{"type":"message.part.updated","properties": no JSON at all\n\n'
    )
    stream.send("sync")
    stream.send("message.updated", {"text": 'he said "session.created"'})
    stream.send("server.heartbeat")
    read, events = await read_all(stream)
    assert read == [Heartbeat()]
    assert (events.ignored_count, events.malformed_count) == (4, 0)


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"session.created"',
        b'"session.created"' * 2,
        b"[" * 5000 + b'"session.created"' + b"]" * 5000,
        b'\xff"session.created"',
        b'"session.created"' + b" " * 2**20,
    ],
)
async def test_a_malformed_event_is_counted_and_the_next_one_is_parsed(data: bytes) -> None:
    stream = FakeStream()
    stream.send_bytes(b"data: " + data + b"\n\n")
    stream.send("server.heartbeat")
    read, events = await read_all(stream)
    assert read == [Heartbeat()]
    assert events.malformed_count == 1


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"payload":["session.created"]}', []),
        (b'["session.created"]', []),
        (b'{"type":["session.created"]}', []),
        (b'{"type":"session.created"}', [SessionChanged(session_id=None, directory=None)]),
        (
            b'{"directory":7,"payload":{"type":"session.created","properties":{"info":[1]}}}',
            [SessionChanged(session_id=None, directory=None)],
        ),
    ],
)
async def test_json_of_any_shape_is_accepted_or_ignored(
    payload: bytes, expected: list[ServerEvent]
) -> None:
    stream = FakeStream()
    stream.send_bytes(b"data: " + payload + b"\n\n")
    assert (await read_all(stream))[0] == expected


@fake_time
async def test_silence_breaks_the_stream_after_the_current_timeout() -> None:
    connection = StreamingConnection()
    async with open_events(connection, silence_timeout=silence_timeout) as events:
        asyncio.get_running_loop().call_later(20, connection.current.send_bytes, b": still here\n")
        with pytest.raises(RequestFailed) as caught:
            _ = [event async for event in events]
    assert caught.value.reason is Reason.TIMEOUT
    assert elapsed() == pytest.approx(45)
    assert connection.current.closed


@fake_time
async def test_the_oldest_releases_have_only_the_directorys_stream() -> None:
    connection = StreamingConnection(served=(EVENTS_PATH,))
    async with open_events(connection, silence_timeout=silence_timeout) as events:
        assert events.path == EVENTS_PATH
    assert [path for path, _ in connection.attempts] == [GLOBAL_EVENTS_PATH, EVENTS_PATH]
    async with open_events(connection, path=EVENTS_PATH, silence_timeout=silence_timeout):
        pass
    assert [path for path, _ in connection.attempts] == [
        GLOBAL_EVENTS_PATH,
        EVENTS_PATH,
        EVENTS_PATH,
    ]


@fake_time
async def test_a_server_without_a_stream_fails_as_not_opencode() -> None:
    connection = StreamingConnection(served=())
    connection.absent = FakeStream(content_type="text/html")
    with pytest.raises(RequestFailed) as caught:
        async with open_events(connection, silence_timeout=silence_timeout):
            raise AssertionError("it opened")
    assert caught.value.reason is Reason.NOT_OPENCODE


@fake_time
async def test_a_refusal_isnt_taken_for_an_old_release() -> None:
    connection = StreamingConnection(served=())
    connection.absent = FakeStream(status=401, content_type="text/plain")
    with pytest.raises(RequestFailed) as caught:
        async with open_events(connection, silence_timeout=silence_timeout):
            raise AssertionError("it opened")
    assert caught.value.reason is Reason.AUTH_REQUIRED
    assert [path for path, _ in connection.attempts] == [GLOBAL_EVENTS_PATH]


@fake_time
async def test_a_proxy_that_holds_events_back_makes_no_stream() -> None:
    connection = StreamingConnection()
    connection.sends_nothing = True
    with pytest.raises(RequestFailed) as caught:
        async with open_events(connection, silence_timeout=silence_timeout):
            raise AssertionError("it opened")
    assert caught.value.reason is Reason.TIMEOUT


@fake_time
async def test_a_stream_that_ends_without_a_byte_never_opened() -> None:
    connection = StreamingConnection()
    connection.ends_at_once = True
    with pytest.raises(RequestFailed, match="ended its event stream") as caught:
        async with open_events(connection, silence_timeout=silence_timeout):
            raise AssertionError("it opened")
    # No old release, and no failure of the network: neither another path nor a doubt follows.
    assert caught.value.reason is Reason.SERVER_ERROR
    assert [path for path, _ in connection.attempts] == [GLOBAL_EVENTS_PATH]
    assert connection.current.closed
