"""Tells what is news: listens to the servers' health, and announces what a person would want to
know."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Protocol

from codewalk.errors import StorageError
from codewalk.events import Announcer, Event, Kind
from codewalk.health.status import HealthStatus
from codewalk.notifications.notice import Notice, NoticeEvent, NoticeKind, NoticeState, advance
from codewalk.servers.profile import NotifySetting, ServerProfile, connects_differently
from codewalk.servers.removal import MAX_REMOVALS

NEVER: Final = datetime.max.replace(tzinfo=UTC)

log = logging.getLogger(__name__)


class ReportStore(Protocol):
    """Where it is kept, over restarts, of which servers was told that they are down, and since
    when, and which version was told last. What keeps says whether it is new: where several
    processes share a store, for one of them. Each method raises `StorageError`."""

    async def load(self) -> Mapping[str, datetime]: ...
    async def keep(self, server_id: str, since: datetime | None) -> bool: ...
    async def keep_version(self, server_id: str, version: str) -> bool: ...


class Notifier:
    """Follows each server's story while `run` does, and announces its news as `Kind.NOTICE`.

    `profiles` gives the servers there are, `status` the health of one, `now` the time. What `told`
    keeps is where each story goes on: one that was told down isn't told so again, but told up.

    `firsts` announces the same news once for all processes on the store, by the first of them: what
    is to happen once, as a hook does, follows that.
    """

    def __init__(
        self,
        announcer: Announcer,
        *,
        profiles: Callable[[], Iterable[ServerProfile]],
        status: Callable[[str], HealthStatus],
        told: ReportStore,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.firsts = Announcer()
        self._announcer = announcer
        self._profiles = profiles
        self._status = status
        self._told = told
        self._now = now
        self._known: dict[str, ServerProfile] = {}
        self._stories: dict[str, NoticeState] = {}
        self._removed: dict[str, tuple[ServerProfile, NoticeState]] = {}
        self._waiting: set[str] = set()
        self._before: dict[str, datetime] = {}
        self._to_keep: dict[str, datetime | None] = {}
        self._to_share: list[Notice] = []
        self._unkept: set[str] = set()

    async def run(self) -> None:
        """Tells news until it is cancelled."""
        with self._announcer.listen() as events:
            await self._recall()
            self._reconcile()
            while True:
                await self._keep()
                event = await self._next(events)
                if event is None:
                    self._look_at(self._due())
                elif event.kind in (Kind.SERVERS, Kind.OVERFLOW):
                    self._reconcile()
                elif event.kind is Kind.HEALTH and event.server_id in self._known:
                    self._look_at((event.server_id,))

    def previous_version(self, server_id: str) -> str | None:
        """What a server ran before its last upgrade, if that was seen lately."""
        story = self._stories.get(server_id)
        return story.previous_version(self._now()) if story else None

    async def _next(self, events: "asyncio.Queue[Event]") -> Event | None:
        """The next event; None where something is due before."""
        due = min(map(self._due_at, self._waiting), default=None)
        wait = None if due is None else max((due - self._now()).total_seconds(), 0.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                return await events.get()
        return None

    async def _recall(self) -> None:
        try:
            self._before = dict(await self._told.load())
        except StorageError as exc:
            log.warning("What was told before can't be read: %s", exc.message)

    async def _keep(self) -> None:
        """Keeps what a restart must not forget, and shares the news in which this process is the
        first on its store."""
        to_keep, self._to_keep = self._to_keep, {}
        to_share, self._to_share = self._to_share, []
        first = {
            server_id
            for server_id, since in to_keep.items()
            if await self._is_first(server_id, self._told.keep(server_id, since))
        }
        for news in to_share:
            if await self._is_ours(news, first):
                self.firsts.announce(NoticeEvent.of(news))

    async def _is_ours(self, news: Notice, first: Container[str]) -> bool:
        if news.kind is NoticeKind.VERSION:
            version = news.health.version or ""
            return await self._is_first(
                news.server_id, self._told.keep_version(news.server_id, version)
            )
        return news.server_id in first

    async def _is_first(self, server_id: str, keep: Awaitable[bool]) -> bool:
        """What `keep` says; yes where that can't be known, for it is better told twice than not."""
        try:
            first = await keep
        except StorageError as exc:
            log.warning("What was told can't be kept: %s", exc.message)
            self._unkept.add(server_id)
            return True
        # What is there may be this process's own, which it couldn't take back.
        unsure = server_id in self._unkept
        self._unkept.discard(server_id)
        return first or unsure

    def _due(self) -> list[str]:
        now = self._now()
        return [server_id for server_id in self._waiting if self._due_at(server_id) <= now]

    def _due_at(self, server_id: str) -> datetime:
        due = self._stories[server_id].due_at(_quiet_until(self._known[server_id]))
        return due or NEVER

    def _reconcile(self) -> None:
        """Follows just the servers there are; one that moved is another one from here on."""
        before, stories = self._known, self._stories
        self._known = {profile.id: profile for profile in self._profiles()}
        self._stories = {}
        self._put_aside(before, stories)
        for server_id in self._removed.keys() & self._known.keys():
            before[server_id], stories[server_id] = self._removed.pop(server_id)
        for server_id, profile in self._known.items():
            if server_id not in before:
                self._stories[server_id] = self._begin(server_id)
            elif connects_differently(before[server_id], profile):
                self._note(server_id, stories[server_id], NoticeState())
            else:
                self._stories[server_id] = stories[server_id]
        self._waiting &= self._stories.keys()
        self._look_at(self._known)

    def _put_aside(
        self, known: Mapping[str, ServerProfile], stories: Mapping[str, NoticeState]
    ) -> None:
        """Remembers the stories of what was removed, as many as removals: undone, they go on."""
        for server_id in known.keys() - self._known.keys():
            self._removed[server_id] = known[server_id], stories[server_id]
        while len(self._removed) > MAX_REMOVALS:
            del self._removed[next(iter(self._removed))]

    def _begin(self, server_id: str) -> NoticeState:
        since = self._before.pop(server_id, None)
        return (
            NoticeState(seen_up=True, down_since=since, reported_down=True)
            if since
            else NoticeState()
        )

    def _note(self, server_id: str, before: NoticeState, story: NoticeState) -> None:
        """Goes on with this story, and has kept what a restart must not forget of it."""
        self._stories[server_id] = story
        if before.reported_down != story.reported_down:
            self._to_keep[server_id] = story.down_since if story.reported_down else None

    def _look_at(self, server_ids: Iterable[str]) -> None:
        for server_id in server_ids:
            snoozed_until = _quiet_until(self._known[server_id])
            before = self._stories[server_id]
            story, news = advance(
                before,
                server_id,
                self._status(server_id),
                self._now(),
                snoozed_until=snoozed_until,
            )
            self._note(server_id, before, story)
            if (story.due_at(snoozed_until) or NEVER) < NEVER:
                self._waiting.add(server_id)
            else:
                self._waiting.discard(server_id)
            self._to_share += news
            for each in news:
                self._announcer.announce(NoticeEvent.of(each))


def _quiet_until(profile: ServerProfile) -> datetime | None:
    """Until when nothing is told of a server."""
    return NEVER if profile.notify is NotifySetting.OFF else profile.snoozed_until
