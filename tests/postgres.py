"""A PostgreSQL server for the tests.

It is started from the system's packages, unless `CODEWALK_TEST_POSTGRES` names one: the URL of a
user who may create databases.
"""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

VARIABLE = "CODEWALK_TEST_POSTGRES"

START_TIMEOUT = 60
"""Seconds that a server may take to start or stop on a busy machine."""


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A running server; `url` names a database from which others can be created."""

    url: str

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """Create an empty database for a block, and return its URL."""
        name = f"codewalk_test_{uuid4().hex}"
        self._execute(f'CREATE DATABASE "{name}"')
        try:
            yield self.database_url(name)
        finally:
            self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def database_url(self, name: str) -> str:
        """Return the URL of another database of this server."""
        base, mark, query = self.url.partition("?")
        return f"{base.rpartition('/')[0]}/{name}{mark}{query}"

    def _execute(self, statement: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        _in_own_loop(run)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server for the whole test run."""
    url = os.environ.get(VARIABLE)
    if url:
        yield PostgresServer(url=url)
        return
    binaries = _binaries()
    if binaries is None:
        pytest.skip(
            "NO POSTGRESQL: half of the store's tests did not run. Install the package "
            f"`postgresql`, or set {VARIABLE} to the URL of a server."
        )
    folder = Path(tempfile.mkdtemp(prefix="codewalk-pg-"))
    try:
        with _running(binaries, folder) as own_url:
            yield PostgresServer(url=own_url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database for one test."""
    with postgres_server.new_database() as url:
        yield url


def _binaries() -> Path | None:
    """Return the folder of the newest server in Debian's packages, or of the one on the PATH."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3])
    )
    if debian:
        return debian[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextmanager
def _running(binaries: Path, folder: Path) -> Iterator[str]:
    data, port = folder / "data", _free_port()
    prefix = _unprivileged(folder)
    control = [*prefix, f"{binaries}/pg_ctl", "-D", f"{data}", "-w", "-t", f"{START_TIMEOUT}"]
    _run([*prefix, f"{binaries}/initdb", "-D", f"{data}", *_INITDB], folder)
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = {value}\n" for name, value in _settings(folder, port).items())
    _run([*control, "-l", f"{folder}/server.log", "start"], folder)
    try:
        # Any password is accepted. With one, the driver doesn't look for a password file.
        yield f"postgresql://postgres:any@127.0.0.1:{port}/postgres"
    finally:
        # It stops the process whose id is in this folder, and no other.
        _run([*control, "-m", "immediate", "stop"], folder)


_INITDB = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]


def _settings(folder: Path, port: int) -> dict[str, str]:
    return {
        "listen_addresses": "'127.0.0.1'",
        "port": f"{port}",
        "unix_socket_directories": f"'{folder}'",
        # The tests are about CodeWalk, not about what PostgreSQL survives.
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "shared_buffers": "32MB",
        "max_connections": "60",
        "autovacuum": "off",
    }


def _unprivileged(folder: Path) -> list[str]:
    """Return the prefix that runs a command as PostgreSQL's user: it refuses to run as root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["runuser", "-u", "postgres", "--"]


def _run(command: list[str], folder: Path) -> None:
    # Not through pipes: the server would inherit them, and reading would never end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=output,
            stderr=output,
            timeout=2 * START_TIMEOUT,
            check=False,
        )
        if done.returncode:
            output.seek(0)
            raise RuntimeError(f"{command} failed: {output.read().decode(errors='replace')}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _in_own_loop(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `job` from a synchronous fixture, although the test's loop may be set up."""
    with asyncio.Runner() as runner:
        runner.run(job())
