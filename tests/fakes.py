"""Fakes at the seams of the core: connections, stores, and a roster that others change too."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, cast

import aiohttp
import orjson

from codewalk.errors import RequestFailed, StorageError
from codewalk.health.status import HealthStatus
from codewalk.history.history import MAX_RECENT_CHECKS, Batch, ServerTransition, StoredHistory
from codewalk.history.period import Period, Window
from codewalk.history.recent_checks import PACKED_CHECK_BYTES, unpack_checks
from codewalk.opencode.connection import Connection
from codewalk.opencode.pool import ServerPool
from codewalk.opencode.resolver import Resolver
from codewalk.opencode.response import Response
from codewalk.reason import Reason
from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile
from codewalk.servers.registry import KeyNeeded
from codewalk.servers.removal import Removal
from codewalk.servers.roster import Roster, Rule
from tests.fake_time import elapsed

EPOCH = datetime(2026, 2, 9, 20, 51, 50, 489_000, tzinfo=UTC)
"""The time at which a fake clock starts."""


def utc_now() -> datetime:
    """Return the wall-clock time that belongs to the running loop's clock."""
    return EPOCH + timedelta(seconds=elapsed())


def profile(number: int = 1, **fields: Any) -> ServerProfile:
    """Return a profile; the same number gives the same one."""
    made = ServerProfile(
        id=f"00000000-0000-4000-8000-{number:012d}",
        url=f"http://server{number}:4096",
        created_at=EPOCH,
        updated_at=EPOCH,
    )
    return replace(made, **fields)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A scripted reply of a `FakeConnection`; with no answer and no error, there is none.

    Attributes:
        answer: The response.
        failure: Raised instead of a response.
        bug: Raised as it is, as a fault of CodeWalk's own would be.
        after: Seconds to wait before.
        gate: Holds the reply back until it is set.
    """

    answer: Response | None = None
    failure: RequestFailed | None = None
    bug: Exception | None = None
    after: float = 0.0
    gate: asyncio.Event | None = None


def raw_reply(
    body: bytes, content_type: str, status: int = 200, *, location: str | None = None
) -> Reply:
    answer = Response(
        status=status,
        content_type=content_type,
        body=body,
        headers={"Content-Type": content_type},
        elapsed_ms=1.5,
        location=location,
    )
    return Reply(answer=answer)


def json_reply(body: Any, status: int = 200) -> Reply:
    """JSON."""
    return raw_reply(orjson.dumps(body), "application/json", status)


def html_reply(status: int = 200) -> Reply:
    """The web app, which current releases answer to any unknown path."""
    return raw_reply(b"<!doctype html><title>OpenCode</title>", "text/html", status)


def text_reply(status: int) -> Reply:
    return raw_reply(b"404 Not Found", "text/plain", status)


def failing_reply(reason: Reason) -> Reply:
    return Reply(failure=RequestFailed(reason, f"It failed: {reason}."))


def no_reply() -> Reply:
    return Reply()


def delayed(seconds: float, reply: Reply) -> Reply:
    return replace(reply, after=seconds)


HEALTHY = json_reply({"healthy": True, "version": "1.18.33"})
PATH = json_reply(
    {"home": "/h", "state": "/s", "config": "/c", "worktree": "/w", "directory": "/w"}
)


class FakeConnection(Connection):
    """A connection that answers from a script instead of a socket.

    Everything above the single request is the real thing: `Connection` evaluates statuses and
    bodies.

    Attributes:
        requests: The path of each request, with the loop's time.
    """

    def __init__(
        self,
        script: Mapping[str, Reply | list[Reply]] | None = None,
        *,
        url: str = "http://fake:4096",
        password: Secret | None = None,
    ) -> None:
        super().__init__(
            # None of these is used: `_request` is overridden below.
            session=cast("aiohttp.ClientSession", None),
            pool=cast("ServerPool", None),
            resolver=cast("Resolver", None),
            url=url,
            password=password,
        )
        self.script = dict(script or {})
        self.requests: list[tuple[str, float]] = []
        self.params: list[Mapping[str, str] | None] = []
        self.bodies: list[bytes | None] = []
        self.resolving = False
        # Shared with its copies, as the two above are.
        self._in_flight: list[str] = []

    @property
    def is_resolving(self) -> bool:
        return self.resolving

    @property
    def in_flight(self) -> int:
        """The number of requests that wait for a reply."""
        return len(self._in_flight)

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    async def _request(
        self,
        path: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        timeout: float,
        limit: int,
    ) -> Response:
        self.requests.append((path, elapsed()))
        self.params.append(params)
        self.bodies.append(data)
        self._in_flight.append(path)
        try:
            async with asyncio.timeout(None if timeout == inf else timeout):
                return await _deliver(self._next(path), limit)
        except TimeoutError as exc:
            raise RequestFailed(Reason.TIMEOUT, f"No answer within {timeout:g} s.") from exc
        finally:
            self._in_flight.remove(path)

    def _next(self, path: str) -> Reply:
        reply = self.script.get(path, html_reply())
        if isinstance(reply, list):
            # The last one is used for all further requests.
            return reply.pop(0) if len(reply) > 1 else reply[0]
        return reply


async def _deliver(reply: Reply, limit: int) -> Response:
    if reply.gate:
        await reply.gate.wait()
    await asyncio.sleep(reply.after)
    if reply.bug:
        raise reply.bug
    if reply.failure:
        failure = reply.failure
        raise RequestFailed(
            failure.reason,
            failure.detail,
            status=failure.status,
            retry_after=failure.retry_after,
            local_fault=failure.local_fault,
            connected=failure.connected,
        )
    if reply.answer is None:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("a reply that never comes came")
    if len(reply.answer.body) > limit:
        raise RequestFailed(Reason.NOT_OPENCODE, f"It sent more than {limit:,} bytes.")
    return reply.answer


@dataclass
class FakeNetwork:
    """The connections to several servers; one without a script of its own is healthy.

    Attributes:
        connections: The connections by server id.
        connected: The server ids in the order of `connect`.
        gate: Holds `connect` back until it is set.
    """

    connections: dict[str, FakeConnection] = field(default_factory=dict)
    connected: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None

    def of(self, server: ServerProfile) -> FakeConnection:
        if server.id not in self.connections:
            self.connections[server.id] = FakeConnection(
                {"/global/health": HEALTHY, "/path": PATH}, url=server.url
            )
        return self.connections[server.id]

    def script(self, server: ServerProfile, **replies: Reply | list[Reply]) -> FakeConnection:
        """Set the replies to `health` and `path` of this server."""
        paths = {"health": "/global/health", "path": "/path"}
        connection = self.of(server)
        connection.script |= {paths[name]: reply for name, reply in replies.items()}
        return connection

    def down(self, server: ServerProfile, reason: Reason = Reason.REFUSED) -> FakeConnection:
        return self.script(server, health=failing_reply(reason), path=failing_reply(reason))

    def up(self, server: ServerProfile) -> FakeConnection:
        return self.script(server, health=HEALTHY, path=PATH)

    async def connect(self, server: ServerProfile) -> Connection:
        self.connected.append(server.id)
        if self.gate:
            await self.gate.wait()
        return self.of(server)


class FakeStatusStore:
    """Statuses in memory; `broken` makes saving fail, as a full disk does; so does a `fault`."""

    def __init__(self, statuses: Mapping[str, HealthStatus] | None = None) -> None:
        self.statuses = dict(statuses or {})
        self.batches: list[tuple[float, dict[str, HealthStatus]]] = []
        self.broken = False
        self.fault: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def load(self) -> dict[str, HealthStatus]:
        return dict(self.statuses)

    async def save(self, statuses: Mapping[str, HealthStatus]) -> None:
        if self.gate:
            await self.gate.wait()
        if self.broken:
            raise StorageError("The disk is full.")
        if self.fault:
            raise self.fault
        self.batches.append((elapsed(), dict(statuses)))
        self.statuses.update(statuses)


class FakeHistoryStore:
    """History in memory; `broken` makes saving fail, as a full disk does; so does a `fault`."""

    def __init__(self, packed: Mapping[str, bytes] | None = None) -> None:
        self.packed = dict(packed or {})
        self.batches: list[tuple[float, Batch]] = []
        self.compactions: list[tuple[float, str]] = []
        self.steps = ["b", "d", ""]
        self.broken = False
        self.fault: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def save(self, batch: Batch) -> None:
        if self.gate:
            await self.gate.wait()
        if self.broken:
            raise StorageError("The disk is full.")
        if self.fault:
            raise self.fault
        self.batches.append((elapsed(), batch))
        for minute in batch.minutes:
            both = self.packed.get(minute.server_id, b"") + minute.checks
            self.packed[minute.server_id] = both[-MAX_RECENT_CHECKS * PACKED_CHECK_BYTES :]

    async def load(
        self, server_id: str, since: datetime, window: Window, *, by_minute: bool
    ) -> StoredHistory:
        return StoredHistory(
            periods=[p for i, p in self.periods if i == server_id and p.begins >= since],
            transitions=[t for i, t in self.changes if i == server_id and t.at >= since],
            checks=unpack_checks(self.packed.get(server_id, b"")),
        )

    async def load_checks(self) -> Mapping[str, bytes]:
        return dict(self.packed)

    async def compact(self, after: str, now: datetime) -> str:
        self.compactions.append((elapsed(), after))
        return self.steps[sum(step <= after for step in self.steps if step)]

    @property
    def periods(self) -> list[tuple[str, Period]]:
        """The saved periods with their server ids, in the order in which they were saved."""
        minutes = [minute for _, batch in self.batches for minute in batch.minutes]
        return [(minute.server_id, minute.period) for minute in minutes if minute.period]

    @property
    def changes(self) -> list[ServerTransition]:
        return [change for _, batch in self.batches for change in batch.transitions]


class FakeRosterStore:
    """A roster in memory that other processes may change too.

    While it is `locked`, a change that brings a password needs `unlock`, as with a real vault;
    `before_unlock` runs first.
    """

    def __init__(self, roster: Roster | None = None, *, locked: bool = False) -> None:
        self.stored = roster or Roster()
        self.locked = locked
        self.before_unlock: Callable[[], Awaitable[None]] | None = None
        self.loads = 0
        self.undone_removals: list[str] = []
        self.after_load: Callable[[], Awaitable[None]] | None = None
        self.before_update: Callable[[], Awaitable[None]] | None = None

    async def load(self) -> Roster:
        self.loads += 1
        loaded = self.stored
        if self.after_load:
            await self.after_load()
        return loaded

    async def revision(self) -> int:
        return self.stored.revision

    async def update(self, cached: Roster, rule: Rule, *, undo: Removal | None = None) -> Roster:
        if self.before_update:
            await self.before_update()
        current = cached if cached.revision == self.stored.revision else self.stored
        decided = rule(current)
        before = {p.id: p.basic_auth_password for p in current.profiles}
        to_seal = [
            p.id
            for p in decided.profiles
            if p.basic_auth_password and p.basic_auth_password is not before.get(p.id)
        ]
        if to_seal and self.locked:
            raise KeyNeeded(to_seal)
        if undo:
            self.undone_removals.append(undo.server_id)
        if decided != current:
            self.stored = replace(decided, revision=current.revision + 1)
            return self.stored
        return current

    async def remove(self, cached: Roster, server_id: str, rule: Rule) -> tuple[Roster, Removal]:
        before = self.stored
        removal = Removal(server_id=server_id, before=before, sealed=None, rows={})
        return await self.update(cached, rule), removal

    async def unlock(self, needed: KeyNeeded) -> None:
        if self.before_unlock:
            await self.before_unlock()
        self.locked = False

    def change_elsewhere(self, rule: Rule) -> None:
        """Change the roster as another process would."""
        self.stored = replace(rule(self.stored), revision=self.stored.revision + 1)


@dataclass(frozen=True, kw_only=True)
class StoredEntry:
    value: bytes
    updated_at: datetime


class FakeStateStore:
    """State in memory by server and key; nothing is stored for `removed_servers`.

    `failure` is raised by each write.
    """

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], StoredEntry] = {}
        self.removed_servers: set[str] = set()
        self.calls: list[tuple[str, dict[str, bytes]]] = []
        self.reads = 0
        self.failure: StorageError | None = None

    async def get_all(self, server_id: str, keys: Collection[str]) -> dict[str, StoredEntry]:
        self.reads += 1
        return {
            key: self.entries[server_id, key] for key in keys if (server_id, key) in self.entries
        }

    async def put(
        self,
        server_id: str,
        values: Mapping[str, bytes],
        now: datetime,
        *,
        durable: bool = True,
        url: str | None = None,
    ) -> bool:
        self.calls.append((server_id, dict(values)))
        if self.failure:
            raise self.failure
        if server_id in self.removed_servers:
            return False
        for key, value in values.items():
            self.entries[server_id, key] = StoredEntry(value=value, updated_at=now)
        return True

    async def replace(self, server_id: str, values: Mapping[str, bytes], now: datetime) -> bool:
        for entry in [entry for entry in self.entries if entry[0] == server_id]:
            del self.entries[entry]
        return await self.put(server_id, values, now)

    async def delete(self, server_id: str, keys: Collection[str]) -> None:
        if self.failure:
            raise self.failure
        for key in keys:
            self.entries.pop((server_id, key), None)
