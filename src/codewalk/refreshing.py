"""The active server's session list, fetched when there is a reason to."""

import asyncio
import logging
from typing import Final

from codewalk.app import App
from codewalk.errors import CodeWalkError
from codewalk.events import Kind
from codewalk.health.status import State

SETTLE: Final = 0.3
"""Seconds after the first of several changes until the list is fetched once for all of them."""

log = logging.getLogger(__name__)


class Refresher:
    """Fetches the sessions when a server becomes active or healthy, and when its live link says
    that they changed."""

    def __init__(self) -> None:
        self._stale: set[str] = set()
        self._news = asyncio.Event()
        # One list after the other: an older one must not be kept over a newer one.
        self._fetching = asyncio.Lock()

    def stale(self, server_id: str) -> None:
        """Tells that this server's sessions may have changed."""
        self._stale.add(server_id)
        self._news.set()

    async def run(self, app: App) -> None:
        """Refreshes until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_app(app), name="sessions of the active server")
            group.create_task(self._follow_links(app), name="sessions that changed")

    async def _follow_app(self, app: App) -> None:
        with app.announcer.listen() as events:
            await self._fetch(app)
            while True:
                event = await events.get()
                active = app.active()
                if active is None:
                    continue
                switched = event.kind in (Kind.ACTIVE, Kind.LOST)
                news = event.kind is Kind.HEALTH and event.server_id == active.id
                if switched or (news and active.health.state is State.HEALTHY):
                    await self._fetch(app)

    async def _follow_links(self, app: App) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(SETTLE)
            self._news.clear()
            stale, self._stale = self._stale, set()
            active = app.active()
            if active and active.id in stale:
                await self._fetch(app)

    async def _fetch(self, app: App) -> None:
        async with self._fetching:
            try:
                await app.sessions()
            except CodeWalkError as exc:
                log.debug("Sessions not fetched: %s", exc.message)
