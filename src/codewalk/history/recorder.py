"""Records check results and transitions, and writes them to the store in the background.

Transitions are written within seconds, a minute once it is over and its server is due. A crash
loses what wasn't written.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol, Self, TypeVar
from uuid import uuid4
from zlib import crc32

from codewalk.errors import StorageError
from codewalk.health.schedule import MAX_JITTER
from codewalk.health.status import CheckResult, HealthStatus
from codewalk.history.check_bar import CheckMark
from codewalk.history.history import (
    Batch,
    Check,
    History,
    MinuteRecord,
    ServerTransition,
    StoredHistory,
    Transition,
    build_history,
    detect_transitions,
    encode_history,
)
from codewalk.history.period import EPOCH, MINUTE, RETENTION, Minute, Window
from codewalk.history.recent_checks import RecentChecks
from codewalk.reason import UNDECIDED, Reason
from codewalk.tasks import BackgroundTasks, repeat, run_to_completion

T = TypeVar("T")

WRITE_INTERVAL: Final = 5.0
"""Seconds between two writes to the store."""

MAX_SERVERS_PER_MINUTE: Final = 100
"""Servers whose minutes are written in one minute.

The rows of a server lie together. One row costs a page of the disk, ten rows of one server hardly
more; so if there are many servers, each is due every few minutes.
"""

MAX_WRITE_DELAY_MINUTES: Final = 10
"""The longest time between two writes of a server's minutes, in minutes."""

MAX_BATCH_SIZE: Final = 500
"""Minutes, and transitions, in one transaction; other writers wait that long."""

COMPACTION_INTERVAL: Final = 600.0
"""Seconds from the end of one compaction of all servers to the next."""

MAX_PENDING: Final = 50_000
"""Minutes, and transitions, that wait while the store fails; the oldest are dropped."""

# Looked up once: access to an enum's member costs a twentieth of what recording a check does.
_OK: Final = Reason.OK
_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)

log = logging.getLogger(__name__)


class HistoryStore(Protocol):
    """The stored history. Every method raises `StorageError`."""

    async def save(self, batch: Batch) -> None:
        """Add a batch to what is stored, all of it or nothing."""

    async def load(
        self, server_id: str, since: datetime, window: Window, *, by_minute: bool
    ) -> StoredHistory:
        """Return what is stored of a server from `since` on.

        With `by_minute` also the minutes of the hours in `window`.
        """

    async def load_checks(self) -> Mapping[str, bytes]:
        """Return the recent checks of each server as `RecentChecks` packs them."""

    async def compact(self, after: str, now: datetime) -> str:
        """Compact the history of the next servers after this id, and return the last one's id.

        Empty after the last servers.
        """


class _Recording:
    """The records of one server that are in memory."""

    __slots__ = ("checks", "closed", "due", "last_transition_at", "minute", "offset")

    def __init__(self, server_id: str, packed: bytes = b"") -> None:
        self.minute = Minute(0)
        """The counts of the current minute."""
        self.closed: list[MinuteRecord] = []
        """Minutes that are over and wait for the minute `due` to be written."""
        self.due = 0
        """The number of that minute."""
        self.offset = crc32(server_id.encode())
        """Decides in which minute of a round it is due, so that not all servers are at once."""
        self.checks = RecentChecks(packed)
        self.last_transition_at: datetime | None = None


class Recorder:
    """Records the history of all servers, and writes it to the store in the background.

    An async context manager. With `watch` its writer runs between enter and exit; without it, as
    in a command, what was recorded is written at the exit.
    """

    def __init__(
        self,
        store: HistoryStore,
        *,
        watch: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._watch = watch
        self._now = now
        self._recordings: dict[str, _Recording] = {}
        self._retained: Collection[str] | None = None
        self._minutes: deque[MinuteRecord] = deque()
        self._transitions: deque[ServerTransition] = deque()
        # Whoever holds it finds each batch either in the store or in memory.
        self._lock = asyncio.Lock()
        self._ending = asyncio.Event()
        self._tasks = BackgroundTasks()
        self._compacted_until = ""
        self._next_compaction = 0.0

    async def __aenter__(self) -> Self:
        if self._watch:
            stored = await self._store.load_checks()
            self._recordings = {i: _Recording(i, packed) for i, packed in stored.items()}
        await self._tasks.__aenter__()
        if self._watch:
            self._tasks.start(self._write_repeatedly(), name="history writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        # Not cancelled: a batch that is cancelled while it is written may be stored or not.
        self._ending.set()
        try:
            # A second Ctrl-C cancels the wait: the writer must have ended all the same before the
            # store is closed, and what is left is written.
            await self._tasks.join()
        finally:
            try:
                await self._tasks.__aexit__(*_)
            finally:
                await self._save_last()

    def record(
        self,
        server_id: str,
        stored: HealthStatus,
        before: HealthStatus,
        after: HealthStatus,
        result: CheckResult | None = None,
        interval: float = 0.0,
    ) -> None:
        """Record that a server's status became `after`; see `RecordStatus`.

        Takes microseconds and never waits.

        A failure for the same reason as an earlier one since the last good check, and sooner after
        it than the next scheduled check would be, isn't added to the recent checks: the checks of a
        server that has just gone down, some 0.75 s apart, would push all others out within a
        minute. It counts in its minute all the same.
        """
        now = after.checked_at if result and after.checked_at else self._now()
        recording = self._recordings.get(server_id)
        if recording is None:
            recording = self._recordings[server_id] = _Recording(server_id)
        if not stored.state is before.state is after.state:
            transitions = detect_transitions(stored, before, after, now)
            self._add_transitions(server_id, recording, transitions, stored.since)
        if result is None:
            return
        at_ms = (now - EPOCH) // _MILLISECOND
        number = at_ms // 60_000
        if number != recording.minute.number:
            _close_minute(server_id, recording, number)
        minute = recording.minute
        if stored.checked_at and stored.state is before.state:
            minute.add_time(stored.state, max(0, (now - stored.checked_at) // _MILLISECOND))
        reason = result.reason
        latency = None if result.latency_ms is None else round(result.latency_ms * 1000)
        if reason is _OK or reason not in UNDECIDED:
            minute.add_check(ok=reason is _OK, latency_us=latency)
        within_ms = interval * (1 - MAX_JITTER) * 1000
        if reason is _OK or not recording.checks.repeats(at_ms, reason, within_ms=within_ms):
            recording.checks.add(at_ms, reason, latency)

    def recent_checks(self, server_id: str) -> list[Check]:
        """Return the last checks of a server that this process knows, oldest first."""
        recording = self._recordings.get(server_id)
        return recording.checks.checks() if recording else []

    def recent_marks(self, server_id: str) -> list[CheckMark]:
        """Return their times and reasons; fast enough for hundreds of servers."""
        recording = self._recordings.get(server_id)
        return recording.checks.marks() if recording else []

    def forget_checks(self, server_id: str) -> None:
        """Forget the recent checks of a server: another one is at its address."""
        if recording := self._recordings.get(server_id):
            recording.checks = RecentChecks()

    def retain(self, server_ids: Collection[str]) -> None:
        """Forget all other servers, after a while: a removal may be undone."""
        self._retained = frozenset(server_ids)

    async def history(
        self,
        server_id: str,
        status: HealthStatus,
        *,
        since: datetime,
        now: datetime,
        until: datetime | None = None,
        origin: datetime | None = None,
        by_minute: bool = True,
    ) -> History:
        """Return a server's history.

        Args:
            server_id: The server.
            status: Its status as of `now`.
            since: The start.
            now: The time.
            until: The end; now unless given.
            origin: When this server was first seen at its address: counts and checks from before
                are another's. None where all are its own.
            by_minute: Return minutes throughout; otherwise hours for what is over a day old.

        Raises:
            StorageError: It can't be read.
        """
        window = since, until or now
        stored = await self._load(server_id, now, window, origin, by_minute=by_minute)
        build = partial(build_history, server_id, stored, status, since=since, now=now, until=until)
        return await asyncio.to_thread(build) if stored.old_minutes else build()

    async def encoded_history(
        self,
        server_id: str,
        status: HealthStatus,
        *,
        since: datetime,
        now: datetime,
        until: datetime | None = None,
        origin: datetime | None = None,
    ) -> Iterator[bytes]:
        """Return the JSON of a server's history by the minute, in pieces.

        Each piece is made when it is asked for, in a few milliseconds. The arguments are those of
        `history`.

        Raises:
            StorageError: It can't be read.
        """
        window = since, until or now
        stored = await self._load(server_id, now, window, origin, by_minute=True)
        return encode_history(server_id, stored, status, since=since, now=now, until=until)

    async def save(self, *, flush: bool = False) -> bool:
        """Write the transitions, and the minutes of the servers that are due.

        Args:
            flush: Write the minutes of all servers, also the current ones.

        Returns:
            Whether there was anything to write.

        Raises:
            StorageError: They can't be written; they are the next time.
        """
        current = int(self._now().timestamp()) // 60
        servers = len(self._recordings)
        minutes = min(max(servers // MAX_SERVERS_PER_MINUTE, 1), MAX_WRITE_DELAY_MINUTES)
        for server_id, recording in self._recordings.items():
            # Usually the next check closes a minute. To close those of ten thousand servers here,
            # as soon as it is over, would hold up everything else for a tenth of a second.
            if flush or recording.minute.number not in (current, current - 1):
                _close_minute(server_id, recording, 0)
            # Each server is due once in so many minutes.
            is_due = not 0 < recording.due - current <= minutes
            if recording.closed and (flush or is_due):
                self._minutes.extend(recording.closed)
                recording.closed = []
                recording.due = current + minutes - (current + recording.offset) % minutes
        while len(self._minutes) > MAX_PENDING:
            self._minutes.popleft()
        pending = bool(self._minutes or self._transitions)
        while self._minutes or self._transitions:
            async with self._lock:
                # Counts are added to the stored ones: a batch that is cancelled after its commit,
                # and then saved again, would count twice.
                await run_to_completion(self._save_batch())
        return pending

    async def _save_last(self) -> None:
        with suppress(StorageError):
            if await self.save(flush=True) and not self._watch:
                # If only commands use a store, each compacts a few servers, wherever they are.
                await self._store.compact(str(uuid4()), self._now())

    async def _save_batch(self) -> None:
        minutes, transitions = _take_batch(self._minutes), _take_batch(self._transitions)
        try:
            await self._store.save(Batch(minutes=minutes, transitions=transitions))
        except BaseException:
            self._minutes.extendleft(reversed(minutes))
            self._transitions.extendleft(reversed(transitions))
            raise

    async def _load(
        self,
        server_id: str,
        now: datetime,
        window: Window,
        origin: datetime | None,
        *,
        by_minute: bool,
    ) -> StoredHistory:
        async with self._lock:
            stored = await self._store.load(server_id, now - RETENTION, window, by_minute=by_minute)
            stored = stored.plus(self._unwritten(server_id))
        return stored.after(origin) if origin else stored

    def _unwritten(self, server_id: str) -> StoredHistory:
        periods = [record.period for record in self._minutes if record.server_id == server_id]
        if recording := self._recordings.get(server_id):
            periods += [*(record.period for record in recording.closed), recording.minute.period()]
        return StoredHistory(
            periods=[period for period in periods if period],
            transitions=[t for owner, t in self._transitions if owner == server_id],
            checks=self.recent_checks(server_id),
        )

    def _add_transitions(
        self,
        server_id: str,
        recording: _Recording,
        transitions: Iterable[Transition],
        since: datetime | None,
    ) -> None:
        last = recording.last_transition_at or since
        for transition in transitions:
            # If the clock was set back a little, a transition must not come before the one that it
            # follows. After a large step there is nothing better than the clock.
            set_back = last is not None and last - MINUTE < transition.at <= last
            at = last + _MICROSECOND if last and set_back else transition.at
            self._transitions.append((server_id, replace(transition, at=at)))
            recording.last_transition_at = last = at
        while len(self._transitions) > MAX_PENDING:
            self._transitions.popleft()

    async def _write_repeatedly(self) -> None:
        await repeat(
            self._write,
            interval=WRITE_INTERVAL,
            warning="History can't be saved",
            log=log,
            ending=self._ending,
        )

    async def _write(self) -> None:
        await self.save()
        await self._compact()

    async def _compact(self) -> None:
        """Compact the next servers, or nothing until the next round begins."""
        clock = asyncio.get_running_loop().time
        if clock() < self._next_compaction:
            return
        self._compacted_until = await self._store.compact(self._compacted_until, self._now())
        if not self._compacted_until:
            self._next_compaction = clock() + COMPACTION_INTERVAL
            self._forget_removed()

    def _forget_removed(self) -> None:
        if self._retained is not None:
            self._recordings = {i: r for i, r in self._recordings.items() if i in self._retained}


def _close_minute(server_id: str, recording: _Recording, number: int) -> None:
    """End the current minute of a server; `number` is the next one."""
    period, checks = recording.minute.period(), recording.checks.take_unsaved()
    if period or checks:
        recording.closed.append(MinuteRecord(server_id=server_id, period=period, checks=checks))
    recording.minute = Minute(number)


def _take_batch(pending: "deque[T]") -> list[T]:
    return [pending.popleft() for _ in range(min(MAX_BATCH_SIZE, len(pending)))]
