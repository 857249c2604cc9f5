"""A notifier and a hook runner at work on an app's store, with hooks that only note."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from codewalk.app.composition import Parts, hook_payload
from codewalk.health.status import HealthStatus
from codewalk.notifications.hook import Hook, new_command
from codewalk.notifications.hook_runner import HookRunner
from codewalk.notifications.notifier import Notifier
from codewalk.reason import Reason, State
from codewalk.servers.profile import ServerProfile
from codewalk.servers.roster import Roster
from codewalk.settings import Settings
from codewalk.storage.database import open_database
from codewalk.storage.hook_outbox import HookOutbox
from codewalk.storage.hooks import HookStore
from codewalk.storage.reports import ReportStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.vault import Vault
from tests.fakes import EPOCH

UP = HealthStatus(state=State.HEALTHY, reason=Reason.OK, since=EPOCH)
DOWN = HealthStatus(
    state=State.UNHEALTHY, reason=Reason.REFUSED, since=EPOCH + timedelta(seconds=1)
)
"""Long ago, so that the notice is due at once."""


class Receiver:
    """Two hooks, and the ids of the servers that each was run for."""

    def __init__(self) -> None:
        self.hooks = [new_command([name], (), EPOCH) for name in "ab"]
        self.received: dict[str, list[str]] = {hook.id: [] for hook in self.hooks}
        self._more = asyncio.Event()

    async def deliver(self, hook: Hook, payload: bytes) -> None:
        self.received[hook.id].append(json.loads(payload)["server"]["id"])
        self._more.set()

    async def wait_for(self, count: int) -> None:
        while any(len(ids) < count for ids in self.received.values()):
            self._more.clear()
            await self._more.wait()


class Statuses:
    """How the servers of an app are, and whether all of them were looked at."""

    def __init__(self, parts: Parts) -> None:
        self._monitor = parts.monitor
        self._waiting = {server.id for server in parts.app.servers()}
        self.all_seen = asyncio.Event()

    def get(self, server_id: str) -> HealthStatus:
        self._waiting.discard(server_id)
        if not self._waiting:
            self.all_seen.set()
        return self._monitor.status(server_id)


async def store(settings: Settings, profiles: list[ServerProfile], hooks: list[Hook]) -> None:
    async with open_database(settings) as database:
        vault = Vault(settings)
        await RosterStore(database, vault).update(
            Roster(), lambda roster: replace(roster, profiles=tuple(profiles))
        )
        for hook in hooks:
            await HookStore(database, vault).add(hook)


@asynccontextmanager
async def run_notifier(parts: Parts, receiver: Receiver) -> AsyncIterator[None]:
    """Run the notifier and the hooks of an app, whose servers were all seen once."""
    statuses = Statuses(parts)
    settings = parts.app.settings
    async with open_database(settings) as database, asyncio.TaskGroup() as group:
        outbox = HookOutbox(database)
        runner = HookRunner(HookStore(database, Vault(settings)), outbox, deliver=receiver.deliver)
        notifier = Notifier(
            parts.app.announcer,
            profiles=lambda: parts.registry.roster.profiles,
            status=statuses.get,
            reports=ReportStore(database, outbox),
            payload=lambda notice: hook_payload(notice, parts.app.get),
            deliver=runner.submit,
        )
        tasks = [
            group.create_task(runner.run(), name="hooks"),
            group.create_task(notifier.run(), name="notifier"),
        ]
        await statuses.all_seen.wait()
        yield
        for task in tasks:
            task.cancel()


def set_all(parts: Parts, status: HealthStatus) -> None:
    """Give every server of an app this status."""
    for server in parts.app.servers():
        parts.monitor.set_status(server.id, status)
