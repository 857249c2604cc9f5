"""Other processes on the same store: what starts them, and what they run.

A worker says `ready` when its store is open, waits for a line, does its work, and prints a line for
each thing that is done for good.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from sqlalchemy.engine import Connection

from codewalk.notifications.notice import NoticeKind
from codewalk.notifications.outbox import Report
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile
from codewalk.servers.roster import Roster
from codewalk.servers.rules import add, remove
from codewalk.settings import Settings
from codewalk.storage.database import Database, open_database
from codewalk.storage.hook_outbox import HookOutbox
from codewalk.storage.reports import ReportStore
from codewalk.storage.roster import RosterStore
from codewalk.storage.state import StateStore
from codewalk.storage.vault import Vault
from tests.fake_keyring import NoKeyring

ROOT = Path(__file__).parents[3]
PATIENCE = 60


def profile(url: str, **fields: Any) -> ServerProfile:
    """A profile with everything it needs; `fields` replace what matters."""
    now = datetime.now(UTC)
    return ServerProfile(
        **{"id": str(uuid4()), "url": url, "created_at": now, "updated_at": now, **fields}
    )


def unknown(_server_id: str) -> State:
    return State.UNKNOWN


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A started process."""

    process: Process

    async def line(self) -> str:
        """The next line it prints; empty at its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            return (await self.process.stdout.readline()).decode().strip()

    async def ready(self) -> None:
        assert await self.line() == "ready"

    async def go(self) -> None:
        """Lets it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        await self.process.stdin.drain()

    async def finish(self) -> list[str]:
        """Wait for its successful end, and return the rest of its output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            rest = (await self.process.stdout.read()).decode().splitlines()
            assert await self.process.wait() == 0
        return rest


class Workers:
    """Starts processes on one store, and ends those that still run when the test is over."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self, job: str, *arguments: str) -> Worker:
        """Starts a process that runs one of `JOBS`."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([f"{ROOT / 'src'}", f"{ROOT}"]),
            "CODEWALK_DATA_DIR": f"{self._settings.data_dir}",
            "CODEWALK_SECRET_KEY": _text(self._settings.secret_key),
            "CODEWALK_DATABASE_URL": _text(self._settings.database_url),
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.storage.workers", job, *arguments),
            env=environment,
            stdin=PIPE,
            stdout=PIPE,
        )
        self._stack.push_async_callback(_end, process)
        return Worker(process=process)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.communicate()


def _text(secret: Secret | None) -> str:
    return secret.reveal() if secret else ""


async def _vault(settings: Settings) -> Vault:
    """A vault that can seal."""
    vault = Vault(settings, keyring=NoKeyring())
    await vault.unlock_to_seal(())
    return vault


async def _add_and_count(database: Database, settings: Settings, name: str, count: str) -> None:
    """Adds servers one by one, always from the same stale roster."""
    store = RosterStore(database, await _vault(settings))
    stale = Roster()
    for number in range(int(count)):
        new = profile(f"http://{name}-{number}", basic_auth_password=Secret(f"pw-{name}-{number}"))
        roster = await store.update(stale, partial(add, profile=new))
        _say(f"{roster.revision}")


async def _keep_until_killed(database: Database, settings: Settings, server_id: str) -> None:
    """Adds servers and keeps state for one, and says so each time it is on disk."""
    store = RosterStore(database, await _vault(settings))
    state = StateStore(database)
    roster = await store.load()
    number = 0
    while True:
        number += 1
        new = profile(f"http://kept-{number}", basic_auth_password=Secret(f"pw-{number}"))
        roster = await store.update(roster, partial(add, profile=new))
        await state.put(server_id, {f"key-{number}": b"x" * 5000}, datetime.now(UTC))
        _say(f"{number}")


async def _remove(database: Database, settings: Settings, server_id: str) -> None:
    store = RosterStore(database, Vault(settings, keyring=NoKeyring()))
    roster = await store.update(Roster(), lambda roster: remove(roster, server_id, unknown))
    _say(f"{roster.revision}")


async def _fill(database: Database, _settings: Settings, count: str) -> None:
    """Write so much that each few writes are followed by a checkpoint."""
    statement = "INSERT OR REPLACE INTO pointers VALUES (?, ?)"
    for number in range(int(count)):
        row = (f"filling {number % 20}", os.urandom(200_000).hex())

        def write(connection: Connection, row: tuple[str, str] = row) -> None:
            connection.exec_driver_sql(statement, row)

        await database.write(write, durable=False)
    _say("filled")


async def _unlock(_database: Database, settings: Settings) -> None:
    vault = await _vault(settings)
    _say(vault.seal(Secret("found again"), "server"))


async def _claim(database: Database, _settings: Settings, server_id: str) -> None:
    """Claim that a server is down, say so, and wait to be killed."""
    now = datetime.now(UTC)
    report = Report(
        server_id=server_id, kind=NoticeKind.DOWN, at=now, down_since=now, payload=b"payload"
    )
    claimed = await ReportStore(database, HookOutbox(database)).claim([report])
    _say(f"claimed {len(claimed)}")
    await asyncio.Event().wait()


JOBS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "add": _add_and_count,
    "claim": _claim,
    "fill": _fill,
    "keep": _keep_until_killed,
    "remove": _remove,
    "unlock": _unlock,
}


async def _main(job: str, *arguments: str) -> None:
    settings = Settings.from_environment()
    if job == "open":
        # The opening itself is what is tried: it has to begin on the word.
        _say("ready")
        sys.stdin.readline()
        async with open_database(settings) as database:
            _say(f"{(await RosterStore(database, Vault(settings)).load()).revision}")
        return
    async with open_database(settings) as database:
        _say("ready")
        sys.stdin.readline()
        await JOBS[job](database, settings, *arguments)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
