"""The live links: an event stream held to each of the first servers.

The end of a stream, or silence on it, has the server checked at once: a killed one is red within a
second, not at the next check by the clock.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final, Self

from codewalk.errors import RequestFailed, StorageError
from codewalk.events import Announcer, Kind
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
from codewalk.tasks import BackgroundTasks, InterruptibleBlock

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

RECOVERY_CHECK_INTERVAL: Final = 0.75
"""Seconds from one check to the next of a server that went down just now: green within 2 s of its
return, also where its first answer is lost."""

RECOVERY_CHECK_PERIOD: Final = 120.0
"""Seconds for which a return is looked for that closely."""

NO_STREAM_RETRY_DELAY: Final = 300.0
"""Seconds until a server without an event stream is asked for one again."""

_NO_RETURN: Final = frozenset({Reason.AUTH_REQUIRED, Reason.AUTH_REJECTED, Reason.INCOMPATIBLE})
"""What doesn't pass by itself within a minute."""

Connect = Callable[[ServerProfile], Awaitable["Connection"]]
EventCallback = Callable[[str, ServerEvent], None]

log = logging.getLogger(__name__)


class Links:
    """Holds a live link to the active server and to the first of the others.

    An async context manager that owns the links; nothing is held outside of it. `on_event` is
    called, on the event loop, with a server's id and an event of its stream: `Connected` each time
    that a stream begins, what happened before being lost, and all that isn't about the link itself.
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
        self.connect = connect
        self.monitor = monitor
        self.on_event = on_event
        self.jitter = jitter
        self._announcer = announcer
        self._most = max_links
        self._links: dict[str, tuple[_Link, asyncio.Task[None]]] = {}
        self._tasks = BackgroundTasks()
        self._open = False

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.start(self._follow_health(), name="link supervisor")
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        self._links.clear()
        await self._tasks.__aexit__(*_)

    def state(self, server_id: str) -> LinkState:
        held = self._links.get(server_id)
        return held[0].state if held else LinkState.POLLING

    def reconcile(self, profiles: Iterable[ServerProfile], active_id: str | None) -> None:
        """Links just these servers from now on, or the first of them; a changed one anew."""
        if not self._open:
            return
        wanted = select_linked(profiles, active_id, self._most)
        for server_id, (link, _) in tuple(self._links.items()):
            profile = wanted.get(server_id)
            if profile is None or connects_differently(link.profile, profile):
                self._stop(server_id)
            else:
                link.profile = profile
        for server_id in wanted.keys() - self._links.keys():
            link = _Link(self, wanted[server_id])
            task = self._tasks.create_task(link.run(), name=f"link {server_id}")
            self._links[server_id] = link, task

    def reconnect(self) -> None:
        """Opens every link anew, as after a sleep: what was open may be dead without knowing it."""
        for link, _ in self._links.values():
            link.reconnect()

    def _stop(self, server_id: str) -> None:
        _, task = self._links.pop(server_id)
        task.cancel()

    async def _follow_health(self) -> None:
        with self._announcer.listen() as events:
            while True:
                event = await events.get()
                told_of = self._links if event.kind is Kind.OVERFLOW else (event.server_id,)
                for server_id in told_of:
                    if server_id in self._links:
                        self._links[server_id][0].wake()


class _Link:
    """One server's link: a stream while the server is healthy, watching for its return else."""

    def __init__(self, links: Links, profile: ServerProfile) -> None:
        self.profile = profile
        self.state = LinkState.POLLING
        self._links = links
        self._monitor = links.monitor
        self._pulse = Heartbeats()
        self._path: str | None = None
        self._failures = 0
        self._woken = asyncio.Event()
        self._holding = InterruptibleBlock()

    def wake(self) -> None:
        """Has the link look at the server's health again."""
        self._woken.set()
        if not self._healthy:
            self.reconnect()

    def reconnect(self) -> None:
        """Ends the stream that is open; another one is opened while the server is healthy."""
        self._holding.interrupt()

    @property
    def _healthy(self) -> bool:
        return self._monitor.state(self.profile.id) is State.HEALTHY

    async def run(self) -> None:
        while True:
            if not self._healthy:
                self.state = LinkState.POLLING
                await self._wait_for_return()
            try:
                async with self._holding:
                    await self._hold()
            except TimeoutError:
                self._failures = 0

    async def _wait_for_return(self) -> None:
        loop = asyncio.get_running_loop()
        closely_until = loop.time() + RECOVERY_CHECK_PERIOD
        next_look = loop.time() + RECOVERY_CHECK_INTERVAL
        while not self._healthy:
            self._woken.clear()
            status = self._monitor.status(self.profile.id)
            may_return = status.state is State.UNHEALTHY and status.reason not in _NO_RETURN
            closely = may_return and loop.time() < closely_until
            try:
                # Also where another reason for being down wakes this: that puts nothing off.
                async with asyncio.timeout_at(next_look if closely else None):
                    await self._woken.wait()
            except TimeoutError:
                next_look = loop.time() + RECOVERY_CHECK_INTERVAL
                self._monitor.check_soon(self.profile.id)

    async def _hold(self) -> None:
        """Opens the stream and reads it again and again while the server is healthy."""
        while True:
            pause_after = await self._attempt()
            await asyncio.sleep(pause_after)

    async def _attempt(self) -> float:
        """One life of the stream; the seconds until the next one."""
        loop = asyncio.get_running_loop()
        hopeless = self._failures >= POLLING_AFTER_FAILURES
        self.state = LinkState.POLLING if hopeless else LinkState.CONNECTING
        opened = None
        reason = Reason.UNREACHABLE
        try:
            connection = await self._links.connect(self.profile)
            async with open_events(
                connection, path=self._path, silence_timeout=self._patience
            ) as events:
                opened = loop.time()
                self._live(events)
                async for event in events:
                    self._take(event, loop.time())
        except RequestFailed as exc:
            reason = exc.reason
        except StorageError:
            reason = Reason.AUTH_REQUIRED
        except Exception:  # whatever a server provokes, the other links are still held
            log.exception("The link to server %s broke", self.profile.id)
        if opened is not None:
            self._lost(reason, steady=loop.time() - opened >= STABLE_AFTER)
        else:
            self._not_opened(reason)
        self._failures += 1
        if opened is None and reason is Reason.NOT_OPENCODE:
            return NO_STREAM_RETRY_DELAY
        return backoff(self._failures - 1, self._links.jitter())

    def _patience(self) -> float:
        return self._pulse.timeout

    def _live(self, events: EventStream) -> None:
        self.state = LinkState.LIVE
        self._path = events.path
        self._pulse = self._pulse.reconnected()
        # What the stream would have told before now is lost.
        self._links.on_event(self.profile.id, Connected())

    def _take(self, event: ServerEvent, now: float) -> None:
        match event:
            case Heartbeat():
                self._pulse = self._pulse.received(now)
            case SessionChanged() | ActivityChanged():
                self._links.on_event(self.profile.id, event)

    def _lost(self, reason: Reason, *, steady: bool) -> None:
        self.state = LinkState.CONNECTING
        log.info("The link to server %s ended: %s", self.profile.id, reason)
        if steady:
            self._failures = 0
        if reason is Reason.TIMEOUT:
            self._pulse = self._pulse.timed_out()
        self._monitor.report_link_failure(self.profile.id)

    def _not_opened(self, reason: Reason) -> None:
        if reason is Reason.NOT_OPENCODE:
            self.state = LinkState.POLLING
            self._path = None
        # One that begins no stream in time may be a proxy that holds events back.
        if reason in TRANSPORT_FAILURES and reason is not Reason.TIMEOUT:
            self._monitor.report_link_failure(self.profile.id)
        else:
            self._monitor.check_soon(self.profile.id)
