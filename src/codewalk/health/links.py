"""The live links: an open event stream to each of the first servers.

The end of a stream, or silence on it, leads to a check at once: a server that is killed is red
within a second, not at its next scheduled check.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from math import inf
from typing import Final, Self

from codewalk.errors import RequestFailed, StorageError
from codewalk.events import Announcer, Kind
from codewalk.health.checker import Connect
from codewalk.health.link import (
    MAX_LINKS,
    POLLING_AFTER_FAILURES,
    STABLE_AFTER,
    Heartbeats,
    LinkState,
    backoff,
    select_linked,
)
from codewalk.health.monitor import Monitor
from codewalk.health.status import REFUSED_CREDENTIALS
from codewalk.opencode.events import (
    ActivityChanged,
    Connected,
    EventStream,
    Heartbeat,
    ServerEvent,
    SessionChanged,
    open_events,
)
from codewalk.reason import TRANSPORT_FAILURES, Reason, State
from codewalk.servers.profile import ServerProfile, connects_differently
from codewalk.tasks import BackgroundTasks, InterruptibleBlock, keep_running

RECOVERY_CHECK_INTERVAL: Final = 0.75
"""Seconds between two checks of a linked server that stopped listening and was healthy lately.

It is healthy again within 2 s of its return, also where its first response is lost.
"""

RECOVERY_CHECK_PERIOD: Final = 120.0
"""Seconds since a linked server was healthy in this process for which it is checked that often."""

NO_STREAM_RETRY_DELAY: Final = 300.0
"""Seconds until a server without an event stream is asked for one again."""

BUFFERED_RETRY_DELAY: Final = 600.0
"""Seconds until a stream is opened again that a proxy holds back, or that wants credentials."""

_RECOVERING_REASONS: Final = frozenset({Reason.REFUSED, Reason.TIMEOUT})
"""Reasons of a server that restarts: it doesn't listen, or doesn't answer its first request."""

EventCallback = Callable[[str, ServerEvent], None]
"""Called with a server's id and an event of its stream."""

log = logging.getLogger(__name__)


class Links:
    """Keeps a live link to the servers that `select_linked` selects.

    An async context manager that owns the links; there are none outside of it.

    Args:
        connect: Returns the connection to a server.
        monitor: Knows which servers are healthy, and checks those whose link ends.
        announcer: Announces changes of health.
        on_event: Called, on the event loop, for each event but heartbeats; with `Connected` each
            time that a stream begins: events before that were lost.
        jitter: Returns a random number from 0 to 1.
        max_links: The number of links, as `select_linked` takes it.
    """

    def __init__(
        self,
        connect: Connect,
        monitor: Monitor,
        announcer: Announcer,
        *,
        on_event: EventCallback,
        jitter: Callable[[], float] = random.random,
        max_links: int = MAX_LINKS,
    ) -> None:
        self._connect = connect
        self._monitor = monitor
        self._announcer = announcer
        self._on_event = on_event
        self._jitter = jitter
        self._max_links = max_links
        self._links: dict[str, tuple[_Link, asyncio.Task[None]]] = {}
        self._tasks = BackgroundTasks()
        self._open = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.start_job(self._follow_health, name="link supervisor")
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        self._links.clear()
        await self._tasks.__aexit__(*_)

    def state(self, server_id: str) -> LinkState:
        """Return the state of a server's link; `polling` where it has none."""
        linked = self._links.get(server_id)
        return linked[0].state if linked else LinkState.POLLING

    def reconcile(self, profiles: Iterable[ServerProfile], active_id: str | None) -> None:
        """Link the selected ones of just these servers from now on.

        A server that is reached differently than before gets a new link.
        """
        if not self._open:
            return
        selected = select_linked(profiles, active_id, self._max_links)
        for server_id, (link, task) in tuple(self._links.items()):
            profile = selected.get(server_id)
            if profile is None or connects_differently(link.profile, profile):
                del self._links[server_id]
                task.cancel()
            else:
                link.profile = profile
        for server_id in selected.keys() - self._links.keys():
            link = _Link(
                selected[server_id],
                connect=self._connect,
                monitor=self._monitor,
                on_event=self._on_event,
                jitter=self._jitter,
            )
            name = f"link {server_id}"
            task = self._tasks.create_task(keep_running(link.run, name=name), name=name)
            self._links[server_id] = link, task

    def reconnect(self) -> None:
        """Open every link anew, as after a suspend: an open stream may be dead by then."""
        for link, _ in self._links.values():
            link.reconnect()

    async def _follow_health(self) -> None:
        with self._announcer.listen() as events:
            # What was announced before this job was started again is lost.
            for link, _ in self._links.values():
                link.on_health_change()
            while True:
                event = await events.get()
                changed = self._links if event.kind is Kind.OVERFLOW else (event.server_id,)
                for server_id in changed:
                    if server_id in self._links:
                        self._links[server_id][0].on_health_change()


class _Link:
    """One server's link: a stream while it is healthy, frequent checks after it went down."""

    def __init__(
        self,
        profile: ServerProfile,
        *,
        connect: Connect,
        monitor: Monitor,
        on_event: EventCallback,
        jitter: Callable[[], float],
    ) -> None:
        self.profile = profile
        self.state = LinkState.POLLING
        self._connect = connect
        self._monitor = monitor
        self._on_event = on_event
        self._jitter = jitter
        self._heartbeats = Heartbeats()
        self._path: str | None = None
        self._failures = 0
        self._healthy_at = -inf
        self._buffered = False
        self._health_changed = asyncio.Event()
        self._streaming = InterruptibleBlock()

    def on_health_change(self) -> None:
        """Look at the server's health again."""
        self._health_changed.set()
        if not self._healthy:
            self.reconnect()

    def reconnect(self) -> None:
        """Close the stream; another one is opened while the server is healthy."""
        self._streaming.interrupt()

    @property
    def _healthy(self) -> bool:
        server_id = self.profile.id
        # A status from the store says nothing about the credentials: a check in this process does.
        healthy = self._monitor.state(server_id) is State.HEALTHY
        return healthy and self._monitor.is_confirmed(server_id)

    async def run(self) -> None:
        """Keep the link until the task is cancelled."""
        while True:
            if not self._healthy:
                self.state = LinkState.POLLING
                await self._wait_until_healthy()
            try:
                async with self._streaming:
                    await self._stream()
            except TimeoutError:
                self._failures = 0
                self._healthy_at = asyncio.get_running_loop().time()

    async def _wait_until_healthy(self) -> None:
        loop = asyncio.get_running_loop()
        period_end = self._healthy_at + RECOVERY_CHECK_PERIOD
        next_check = loop.time() + RECOVERY_CHECK_INTERVAL
        was_refused = False
        while not self._healthy:
            self._health_changed.clear()
            reason = self._monitor.status(self.profile.id).reason
            was_refused |= reason is Reason.REFUSED
            restarting = was_refused and reason in _RECOVERING_REASONS
            check_often = restarting and loop.time() < period_end
            try:
                # Another reason for being unhealthy ends this wait, too, and postpones no check.
                async with asyncio.timeout_at(next_check if check_often else None):
                    await self._health_changed.wait()
            except TimeoutError:
                next_check = loop.time() + RECOVERY_CHECK_INTERVAL
                self._monitor.check_soon(self.profile.id)

    async def _stream(self) -> None:
        while True:
            delay = await self._read_stream()
            await asyncio.sleep(delay)

    async def _read_stream(self) -> float:
        """Open the stream, read it to its end, and return the seconds until the next attempt."""
        loop = asyncio.get_running_loop()
        polling = self._failures >= POLLING_AFTER_FAILURES
        self.state = LinkState.POLLING if polling else LinkState.CONNECTING
        if self._buffered:
            self.state = LinkState.BUFFERED
        opened_at = None
        reason, retry_after = Reason.UNREACHABLE, None
        try:
            connection = await self._connect(self.profile)
            async with open_events(
                connection, path=self._path, silence_timeout=lambda: self._heartbeats.timeout
            ) as events:
                opened_at = loop.time()
                self._on_open(events)
                async for event in events:
                    self._handle(event, loop.time())
        except RequestFailed as exc:
            reason, retry_after = exc.reason, exc.retry_after
            self._buffered = reason is Reason.TIMEOUT and exc.status is not None
        except StorageError:
            reason = Reason.AUTH_REQUIRED
        except Exception:  # whatever a server provokes, the other links stay open
            log.exception("The link to server %s broke", self.profile.id)
        if opened_at is not None:
            self._on_end(reason, stable=loop.time() - opened_at >= STABLE_AFTER)
        else:
            self._on_failed_open(reason)
        self._failures += 1
        delay = backoff(self._failures - 1, self._jitter())
        if opened_at is None:
            delay = max(delay, retry_after or 0.0, self._lasting_delay(reason))
        return delay

    def _lasting_delay(self, reason: Reason) -> float:
        """Return the seconds that a stream which couldn't be opened is left alone at least."""
        if reason is Reason.NOT_OPENCODE:
            return NO_STREAM_RETRY_DELAY
        if self._buffered or reason in REFUSED_CREDENTIALS:
            return BUFFERED_RETRY_DELAY
        return 0.0

    def _on_open(self, events: EventStream) -> None:
        self.state, self._buffered = LinkState.LIVE, False
        self._path = events.path
        self._heartbeats = self._heartbeats.reconnected()
        self._on_event(self.profile.id, Connected())

    def _handle(self, event: ServerEvent, now: float) -> None:
        match event:
            case Heartbeat():
                self._heartbeats = self._heartbeats.received(now)
            case SessionChanged() | ActivityChanged():
                self._on_event(self.profile.id, event)

    def _on_end(self, reason: Reason, *, stable: bool) -> None:
        self.state = LinkState.CONNECTING
        log.info("The link to server %s ended: %s", self.profile.id, reason)
        if stable:
            self._failures = 0
        if reason is Reason.TIMEOUT:
            self._heartbeats = self._heartbeats.timed_out()
        self._monitor.report_link_failure(self.profile.id)

    def _on_failed_open(self, reason: Reason) -> None:
        if reason is Reason.NOT_OPENCODE:
            self.state = LinkState.POLLING
            self._path = None
        # A proxy may hold the head of the response back, too, while the server passes its checks.
        lasting = self._failures + 1 >= POLLING_AFTER_FAILURES
        if self._buffered or (reason is Reason.TIMEOUT and lasting):
            self._buffered = True
            self.state = LinkState.BUFFERED
        # A stream that doesn't begin in time may be held back by a proxy.
        if reason in TRANSPORT_FAILURES and reason is not Reason.TIMEOUT:
            self._monitor.report_link_failure(self.profile.id)
        else:
            self._monitor.check_soon(self.profile.id)
