"""Collects what the monitor finds, and writes it down now and then.

To tell it something costs microseconds and never waits. A change of state is written within
seconds, a minute once it is over and its server's turn has come; a crash loses no more than that.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
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
)
from codewalk.history.period import EPOCH, MINUTE, RETENTION, Minute, Window
from codewalk.history.recent_checks import RecentChecks
from codewalk.reason import Reason, State
from codewalk.tasks import BackgroundTasks

T = TypeVar("T")

WRITE_INTERVAL: Final = 5.0
"""Seconds between two batches to the store."""

MAX_SERVERS_PER_MINUTE: Final = 100
"""Servers whose minutes are written in one minute. A server's rows lie together, so that each costs
a page of the disk, but ten of one server cost hardly more: of many servers, each has its turn."""

MAX_WRITE_DELAY_MINUTES: Final = 10
"""Minutes that a server waits for its turn at most, however many there are."""

MAX_BATCH_SIZE: Final = 500
"""Minutes, and changes of state, in one transaction; who else wants to write waits that long."""

COMPACTION_INTERVAL: Final = 600.0
"""Seconds from the end of one round through the store to the next."""

MAX_PENDING: Final = 50_000
"""Minutes, and changes of state, that wait for a store that fails; the oldest are given up."""

# Looked up once: a member of an enum costs a twentieth of what recording a check does.
_OK: Final = Reason.OK
_OFFLINE: Final = Reason.OFFLINE
_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)

log = logging.getLogger(__name__)


class HistoryStore(Protocol):
    """Where history outlives the process. All methods raise `StorageError`."""

    async def save(self, batch: Batch) -> None: ...
    async def load(
        self, server_id: str, since: datetime, window: Window, *, by_minute: bool
    ) -> StoredHistory: ...
    async def load_checks(self) -> Mapping[str, bytes]: ...
    async def compact(self, after: str, now: datetime) -> str: ...


class _Series:
    """What is remembered of one server."""

    __slots__ = ("changed", "due", "minute", "over", "tape", "turn")

    def __init__(self, server_id: str, packed: bytes = b"") -> None:
        self.minute = Minute(0)
        self.tape = RecentChecks(packed)
        self.changed: datetime | None = None
        self.over: list[MinuteRecord] = []  # waiting for the minute `due`
        self.due = 0
        self.turn = crc32(server_id.encode())  # so that not all are due at once


class Recorder:
    """Keeps the history of every server.

    An async context manager. When `watch` is true its writer runs between enter and exit; without
    it, what was found is written at the exit.
    """

    def __init__(
        self,
        shelf: HistoryStore,
        *,
        watch: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._shelf = shelf
        self._watch = watch
        self._now = now
        self._series: dict[str, _Series] = {}
        self._kept: Collection[str] | None = None
        self._minutes: deque[MinuteRecord] = deque()
        self._changes: deque[ServerTransition] = deque()
        # A batch is either in the store or here, for whoever has this.
        self._turn = asyncio.Lock()
        self._ending = asyncio.Event()
        self._tasks = BackgroundTasks()
        self._tidied = ""
        self._tidy_at = 0.0

    async def __aenter__(self) -> Self:
        if self._watch:
            kept = await self._shelf.load_checks()
            self._series = {i: _Series(i, packed) for i, packed in kept.items()}
        await self._tasks.__aenter__()
        if self._watch:
            self._tasks.start(self._write_often(), name="history writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        # Not cancelled: what is cancelled while it is written may be there or not.
        self._ending.set()
        await self._tasks.join()
        await self._tasks.__aexit__(*_)
        with suppress(StorageError):
            if await self.save(flush=True) and not self._watch:
                # Where nothing but commands works on a store, each tidies a bit of it, anywhere.
                await self._shelf.compact(str(uuid4()), self._now())

    def record(
        self,
        server_id: str,
        left: HealthStatus,
        before: HealthStatus,
        after: HealthStatus,
        result: CheckResult | None = None,
        interval: float = 0.0,
    ) -> None:
        """Record that a server's status became `after`; see `RecordStatus`.

        A failure for the same reason as the last recent check, and sooner after it than the next
        scheduled check would be, isn't added to the recent checks: the checks of a server that has
        just gone down, some 0.75 s apart, would push all others out within 45 s. It counts in its
        minute all the same.
        """
        now = after.checked_at if result and after.checked_at else self._now()
        series = self._series.get(server_id)
        if series is None:
            series = self._series[server_id] = _Series(server_id)
        if not left.state is before.state is after.state:
            self._note(server_id, series, detect_transitions(left, before, after, now), left.since)
        if result is None:
            return
        at_ms = (now - EPOCH) // _MILLISECOND
        minute = at_ms // 60_000
        if minute != series.minute.number:
            self._close(server_id, series, minute)
        if left.checked_at and left.state is before.state:
            series.minute.add_time(left.state, max(0, (now - left.checked_at) // _MILLISECOND))
        reason = result.reason
        latency = None if result.latency_ms is None else round(result.latency_ms * 1000)
        if reason is not _OFFLINE:
            series.minute.add_check(ok=reason is _OK, latency_us=latency)
        within_ms = interval * (1 - MAX_JITTER) * 1000
        if reason is _OK or not series.tape.repeats(at_ms, reason, within_ms=within_ms):
            series.tape.add(at_ms, reason, latency)

    def recent_checks(self, server_id: str) -> list[Check]:
        """The last checks of a server that this process knows of, oldest first."""
        series = self._series.get(server_id)
        return series.tape.checks() if series else []

    def recent_states(self, server_id: str) -> list[State]:
        """What each of them alone said of the server; quick enough for hundreds of servers."""
        series = self._series.get(server_id)
        return series.tape.states() if series else []

    def retain(self, server_ids: Collection[str]) -> None:
        """Has what is remembered of other servers dropped, but not at once: a removal may be
        undone."""
        self._kept = frozenset(server_ids)

    async def history(
        self,
        server_id: str,
        status: HealthStatus,
        *,
        since: datetime,
        now: datetime,
        until: datetime | None = None,
        by_minute: bool = True,
    ) -> History:
        """A server's history from `since` to `until`, or up to `now`, where its status is `status`.

        Without `by_minute`, by the hour what is older than a day. Raises `StorageError`.
        """
        window = since, until or now
        async with self._turn:
            kept = await self._shelf.load(server_id, now - RETENTION, window, by_minute=by_minute)
            kept = kept.plus(self._unwritten(server_id))
        tell = partial(build_history, server_id, kept, status, since=since, now=now, until=until)
        # A month has 43,200 of them.
        return await asyncio.to_thread(tell) if kept.old_minutes else tell()

    async def save(self, *, flush: bool = False) -> bool:
        """Writes the changes, and the minutes whose turn has come, or with `flush` all of them.

        Whether there was anything to write. Raises `StorageError`.
        """
        current = int(self._now().timestamp()) // 60
        round_of = min(max(len(self._series) // MAX_SERVERS_PER_MINUTE, 1), MAX_WRITE_DELAY_MINUTES)
        for server_id, series in self._series.items():
            # The next check closes a minute. Those of ten thousand servers, closed here when it
            # is over, would be a tenth of a second in which nothing else is done.
            if flush or series.minute.number not in (current, current - 1):
                self._close(server_id, series, 0)
            waits = 0 < series.due - current <= round_of
            if series.over and (flush or not waits):
                self._minutes.extend(series.over)
                series.over = []
                series.due = current + round_of - (current + series.turn) % round_of
        while len(self._minutes) > MAX_PENDING:
            self._minutes.popleft()
        found = bool(self._minutes or self._changes)
        while self._minutes or self._changes:
            async with self._turn:
                await self._save_batch()
        return found

    async def _save_batch(self) -> None:
        minutes, changes = _take(self._minutes), _take(self._changes)
        try:
            await self._shelf.save(Batch(minutes=minutes, transitions=changes))
        except StorageError:
            self._minutes.extendleft(reversed(minutes))
            self._changes.extendleft(reversed(changes))
            raise

    def _unwritten(self, server_id: str) -> StoredHistory:
        waiting = [noted.period for noted in self._minutes if noted.server_id == server_id]
        if series := self._series.get(server_id):
            waiting += [*(noted.period for noted in series.over), series.minute.period()]
        return StoredHistory(
            periods=[period for period in waiting if period],
            transitions=[change for owner, change in self._changes if owner == server_id],
            checks=self.recent_checks(server_id),
        )

    def _note(
        self,
        server_id: str,
        series: _Series,
        transitions: Iterable[Transition],
        since: datetime | None,
    ) -> None:
        last = series.changed or since
        for found in transitions:
            # A clock that was set back a little must not put what followed before its cause. What
            # it says after a large step is all there is to go by.
            back = last is not None and last - MINUTE < found.at <= last
            at = last + _MICROSECOND if last and back else found.at
            self._changes.append((server_id, replace(found, at=at)))
            series.changed = last = at
        while len(self._changes) > MAX_PENDING:
            self._changes.popleft()

    def _close(self, server_id: str, series: _Series, number: int) -> None:
        period, checks = series.minute.period(), series.tape.take_unsaved()
        if period or checks:
            series.over.append(MinuteRecord(server_id=server_id, period=period, checks=checks))
        series.minute = Minute(number)

    async def _write_often(self) -> None:
        trouble = False
        while not self._ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_INTERVAL):
                    await self._ending.wait()
            try:
                await self.save()
                await self._tidy()
            except StorageError as exc:
                if not trouble:
                    log.warning("History can't be saved: %s", exc.message)
                trouble = True
            else:
                trouble = False

    async def _tidy(self) -> None:
        """One step of a round through the store, or nothing until the next round."""
        clock = asyncio.get_running_loop().time
        if clock() < self._tidy_at:
            return
        self._tidied = await self._shelf.compact(self._tidied, self._now())
        if not self._tidied:
            self._tidy_at = clock() + COMPACTION_INTERVAL
            self._drop_others()

    def _drop_others(self) -> None:
        kept = self._kept
        if kept is not None:
            self._series = {i: series for i, series in self._series.items() if i in kept}


def _take(waiting: "deque[T]") -> list[T]:
    return [waiting.popleft() for _ in range(min(MAX_BATCH_SIZE, len(waiting)))]
