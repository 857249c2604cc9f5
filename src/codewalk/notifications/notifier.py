"""Turns changes of the servers' health into notices, for pages and for hooks."""

import asyncio
import heapq
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from codewalk.errors import StorageError
from codewalk.events import Announcer, Event, Kind
from codewalk.health.status import HealthStatus
from codewalk.notifications.notice import Notice, NoticeEvent, NoticeKind, NoticeState, advance
from codewalk.notifications.outbox import OutgoingNotice, Report, ReportStore
from codewalk.servers.profile import NotifySetting, ServerProfile, connects_differently
from codewalk.servers.removal import MAX_REMOVALS

BATCH_SIZE: Final = 100
"""Servers whose notices are decided and stored before other tasks have their turn."""

NEVER: Final = datetime.max.replace(tzinfo=UTC)

log = logging.getLogger(__name__)


class Notifier:
    """Announces notices about servers as `Kind.NOTICE`, and hands them to the hooks, in `run`.

    Every process on a store announces each notice; only the one that claims it in `reports` hands
    it to the hooks.
    """

    def __init__(
        self,
        announcer: Announcer,
        *,
        profiles: Callable[[], Iterable[ServerProfile]],
        status: Callable[[str], HealthStatus],
        reports: ReportStore,
        payload: Callable[[Notice], bytes | None],
        deliver: Callable[[Sequence[OutgoingNotice]], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Set up a notifier.

        Args:
            announcer: Announces the events that it listens to, and its notices.
            profiles: Returns all servers.
            status: Returns the health of the server with this id.
            reports: What was reported before; decides which process runs the hooks.
            payload: Returns what a hook receives for a notice, None where the server is gone.
            deliver: Takes the notices that this process has claimed; must not wait.
            now: Returns the time.
        """
        self._announcer = announcer
        self._get_profiles = profiles
        self._status = status
        self._reports = reports
        self._payload = payload
        self._deliver = deliver
        self._now = now
        self._profiles: dict[str, ServerProfile] = {}
        self._states: dict[str, NoticeState] = {}
        self._removed: dict[str, tuple[ServerProfile, NoticeState]] = {}
        self._reported_down: dict[str, datetime] = {}
        self._uncertain: set[str] = set()
        self._due = _DueTimes()
        self._pending: list[Report] = []

    async def run(self) -> None:
        """Announce and deliver notices until this is cancelled."""
        with self._announcer.listen() as events:
            await self._load_reports()
            self._reconcile()
            await self._advance_all(self._profiles)
            while True:
                batch = await self._next_events(events)
                if any(event.kind in (Kind.SERVERS, Kind.OVERFLOW) for event in batch):
                    self._reconcile()
                    await self._advance_all(self._profiles)
                else:
                    changed = (e.server_id for e in batch if e.kind is Kind.HEALTH and e.server_id)
                    due = self._due.take(self._now())
                    await self._advance_all(dict.fromkeys((*due, *changed)))

    def previous_version(self, server_id: str) -> str | None:
        """Return the version before a server's last upgrade, None where that is long ago."""
        state = self._states.get(server_id)
        return state.previous_version(self._now()) if state else None

    async def _next_events(self, events: "asyncio.Queue[Event]") -> list[Event]:
        """Return the events that are there, at least one unless something is due before."""
        due = self._due.first()
        wait = None if due is None else max((due - self._now()).total_seconds(), 0.0)
        batch: list[Event] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                batch.append(await events.get())
        while not events.empty():
            batch.append(events.get_nowait())
        return batch

    async def _load_reports(self) -> None:
        try:
            self._reported_down = dict(await self._reports.load())
        except StorageError as exc:
            log.warning("The servers reported as down before can't be read: %s", exc.message)

    def _reconcile(self) -> None:
        """Follow the changes of the roster; a server at another URL starts anew.

        Nothing is changed before all is computed: after an error, the next run starts anew.
        """
        profiles = {profile.id: profile for profile in self._get_profiles()}
        before = {i: (profile, self._states[i]) for i, profile in self._profiles.items()}
        removed = self._set_aside_removed(profiles, before)
        for server_id in removed.keys() & profiles.keys():
            before[server_id] = removed.pop(server_id)
        states: dict[str, NoticeState] = {}
        reports: list[Report] = []
        for server_id, profile in profiles.items():
            if server_id not in before:
                states[server_id] = self._initial_state(server_id)
                continue
            old_profile, state = before[server_id]
            if connects_differently(old_profile, profile):
                if state.reported_down:
                    reports.append(self._report(server_id, NoticeKind.UP))
                state = NoticeState()
            states[server_id] = state
        self._profiles, self._states, self._removed = profiles, states, removed
        self._pending += reports
        # Their states are newer, also after a further run has loaded the reports again.
        self._reported_down = {i: t for i, t in self._reported_down.items() if i not in states}
        self._due.retain(states)

    def _set_aside_removed(
        self,
        profiles: Mapping[str, ServerProfile],
        before: Mapping[str, tuple[ServerProfile, NoticeState]],
    ) -> dict[str, tuple[ServerProfile, NoticeState]]:
        """Return the states of as many removed servers as can be restored, the latest ones."""
        removed = dict(self._removed)
        for server_id in before.keys() - profiles.keys():
            removed[server_id] = before[server_id]
        while len(removed) > MAX_REMOVALS:
            del removed[next(iter(removed))]
        return removed

    def _initial_state(self, server_id: str) -> NoticeState:
        down_since = self._reported_down.get(server_id)
        if down_since is None:
            return NoticeState()
        return NoticeState(was_healthy=True, down_since=down_since, reported_down=True)

    async def _advance_all(self, server_ids: Collection[str]) -> None:
        """Advance the states of these servers; announce and store what follows, in batches."""
        remaining = iter(tuple(server_ids))
        while batch := list(islice(remaining, BATCH_SIZE)):
            for server_id in batch:
                self._advance(server_id)
            await self._store_reports()
            # Nothing above waits where there is nothing to report.
            await asyncio.sleep(0)
        await self._store_reports()

    def _advance(self, server_id: str) -> None:
        profile = self._profiles.get(server_id)
        if profile is None:
            return
        snoozed_until = _snoozed_until(profile)
        before = self._states[server_id]
        state, notices = advance(
            before, server_id, self._status(server_id), self._now(), snoozed_until=snoozed_until
        )
        # Before anything changes: after an error here, the next run advances the state anew.
        reports = [self._report(server_id, notice.kind, notice) for notice in notices]
        if before.reported_down and not state.reported_down and not notices:
            # Up again without a notice, as during a snooze.
            reports.append(self._report(server_id, NoticeKind.UP))
        self._states[server_id] = state
        due = state.due_at(snoozed_until)
        self._due.set(server_id, None if due == NEVER else due)
        self._pending += reports
        for notice in notices:
            self._announcer.announce(NoticeEvent.of(notice))

    def _report(self, server_id: str, kind: NoticeKind, notice: Notice | None = None) -> Report:
        return Report(
            server_id=server_id,
            kind=kind,
            at=self._now(),
            down_since=notice.at if notice and kind is NoticeKind.DOWN else None,
            version=notice.health.version if notice and kind is NoticeKind.VERSION else None,
            payload=self._payload(notice) if notice else None,
            uncertain=server_id in self._uncertain,
        )

    async def _store_reports(self) -> None:
        """Store the pending reports, and deliver the notices that this process has claimed."""
        reports, self._pending = self._pending, []
        if not reports:
            return
        servers = {report.server_id for report in reports}
        try:
            claimed = await self._reports.claim(reports)
        except StorageError as exc:
            # Delivered nevertheless: twice is better than never.
            log.warning("Notices can't be stored: %s", exc.message)
            self._uncertain |= servers
            claimed = [
                OutgoingNotice(kind=report.kind, payload=report.payload, created_at=report.at)
                for report in reports
                if report.payload is not None
            ]
        except BaseException:
            # For the next run.
            self._pending = reports + self._pending
            raise
        else:
            self._uncertain -= servers
        if claimed:
            self._deliver(claimed)


class _DueTimes:
    """Due times of servers whose status doesn't change, the earliest first."""

    def __init__(self) -> None:
        self._times: dict[str, datetime] = {}
        # May hold entries that `_times` no longer has; they are skipped when they come up.
        self._heap: list[tuple[datetime, str]] = []

    def set(self, server_id: str, due: datetime | None) -> None:
        if due is None:
            self._times.pop(server_id, None)
        elif self._times.get(server_id) != due:
            self._times[server_id] = due
            heapq.heappush(self._heap, (due, server_id))

    def retain(self, server_ids: Collection[str]) -> None:
        """Forget all servers but these."""
        self._times = {i: due for i, due in self._times.items() if i in server_ids}

    def first(self) -> datetime | None:
        self._skip_outdated()
        return self._heap[0][0] if self._heap else None

    def take(self, now: datetime) -> list[str]:
        """Remove and return the servers that are due."""
        due = []
        self._skip_outdated()
        while self._heap and self._heap[0][0] <= now:
            _, server_id = heapq.heappop(self._heap)
            del self._times[server_id]
            due.append(server_id)
            self._skip_outdated()
        return due

    def _skip_outdated(self) -> None:
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)


def _snoozed_until(profile: ServerProfile) -> datetime | None:
    return NEVER if profile.notify is NotifySetting.OFF else profile.snoozed_until
