"""The end of the local server when the app can't stop it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import psutil
import pytest

from codewalk.local import guard as guard_program
from codewalk.local.server import LocalServer, Phase
from tests.fake_opencode import write_fake
from tests.local_status import StatusRecorder, wait_until_ended

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake is a Unix script")

PROGRAM = Path(__file__).with_name("run_local.py")

DEAF = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("opencode server listening on http://127.0.0.1:1", flush=True)
signal.pause()
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@asynccontextmanager
async def program(tmp_path: Path, data: Path, mode: str) -> AsyncIterator[psutil.Process]:
    """The program, once its server runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        str(write_fake(tmp_path)),
        str(data),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "FAKE_OPENCODE": mode},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"running\n"
        yield psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize(
    ("number", "mode"),
    [
        (signal.SIGKILL, "serve"),
        (signal.SIGKILL, "stubborn"),
        (signal.SIGKILL, "launcher"),
        (signal.SIGTERM, "serve"),
        (signal.SIGHUP, "serve"),
    ],
)
async def test_the_server_ends_when_the_app_is_killed(
    tmp_path: Path, data: Path, number: signal.Signals, mode: str
) -> None:
    async with program(tmp_path, data, mode) as app:
        family = app.children(recursive=True)
        assert len(family) >= 2
        app.send_signal(number)
        for process in family:
            await wait_until_ended(process.pid)


def test_a_guard_that_gets_many_signals_ends(tmp_path: Path) -> None:
    # Raced: a second signal came while the first one's handler held a lock that it needs too. Of
    # thousands that are sent while the command takes its time to end, some come just then.
    with subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", guard_program.__file__, str(os.getpid())),
            *(str(tmp_path / "log"), sys.executable, "-I", "-S", "-c", DEAF),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as guard:
        try:
            assert guard.stdout is not None
            assert [guard.stdout.readline()[:4] for _ in range(2)] == [b"pid ", b"url "]
            last = monotonic() + guard_program.KILL_DELAY + 10
            while guard.poll() is None and monotonic() < last:
                guard.send_signal(signal.SIGTERM)
            # It saw the command through to its end.
            assert guard.returncode == 128 + signal.SIGKILL
        finally:
            guard.kill()


async def test_an_orphaned_server_is_ended_at_the_next_start(tmp_path: Path, data: Path) -> None:
    async with program(tmp_path, data, "launcher") as app:
        family = app.children(recursive=True)
        note = json.loads((data / "local-server.json").read_text())
        # The guard can't do its work, nor the app notice, and the launcher's child has no tie
        # to either.
        app.suspend()
        psutil.Process(note["guard_pid"]).kill()
        app.kill()
        await wait_until_ended(note["pid"])
        left = [process for process in family if process.is_running()]
        left = [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
        assert len(left) == 1
        recorder = StatusRecorder()
        environment = {**os.environ, "FAKE_OPENCODE": "serve"}
        async with LocalServer(
            tmp_path / "opencode", data, on_change=recorder, environment=environment
        ):
            await recorder.until(Phase.RUNNING)
            await wait_until_ended(left[0].pid)


async def test_a_ctrl_c_in_the_terminal_doesnt_reach_the_server(tmp_path: Path, data: Path) -> None:
    async with program(tmp_path, data, "serve") as app:
        groups = {os.getpgid(process.pid) for process in app.children(recursive=True)}
        assert os.getpgid(app.pid) not in groups
