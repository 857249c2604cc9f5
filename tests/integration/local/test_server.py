"""The managed local server: started, watched, restarted, ended; `opencode` is a fake here."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from time import monotonic

import psutil
import pytest

from codewalk.local.guard import MAX_LOG
from codewalk.local.orphans import MARKER_VARIABLE
from codewalk.local.server import LocalServer, LocalStatus, Phase, Timing, find_executable
from codewalk.opencode.client import OpenCodeClient
from codewalk.opencode.connection import RequestFailed
from codewalk.reason import Reason
from codewalk.settings import Settings
from tests.fake_opencode import write_fake
from tests.local_status import StatusRecorder, wait_until_ended

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the fake is a Unix script")

QUICK = Timing(min_backoff=0.01, max_backoff=0.04)

Start = Callable[..., AbstractAsyncContextManager[tuple[LocalServer, StatusRecorder]]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
async def client() -> AsyncIterator[OpenCodeClient]:
    async with OpenCodeClient() as opened:
        yield opened


@pytest.fixture
def start(tmp_path: Path, data: Path) -> Start:
    @asynccontextmanager
    async def opened(
        mode: str = "serve", *, executable: Path | None = None, timing: Timing = QUICK
    ) -> AsyncIterator[tuple[LocalServer, StatusRecorder]]:
        recorder = StatusRecorder()
        environment = {
            **os.environ,
            "FAKE_OPENCODE": mode,
            "FAKE_OPENCODE_PIPE": str(tmp_path / "pipe"),
            "CODEWALK_TOKEN": "not for opencode",
        }
        executable = executable or write_fake(tmp_path)
        async with LocalServer(
            executable, data, on_change=recorder, environment=environment, timing=timing
        ) as local:
            yield local, recorder

    return opened


def record(data: Path) -> dict[str, int | str]:
    read: dict[str, int | str] = json.loads((data / "local-server.json").read_text())
    return read


def pid_of(data: Path) -> int:
    return int(record(data)["pid"])


async def crash(local: LocalServer, client: OpenCodeClient) -> None:
    connection = client.connect(
        local.status.url or "", local.status.username, local.status.password
    )
    with pytest.raises(RequestFailed):
        await connection.get("/crash")


async def test_it_runs_again_after_an_unforeseen_error_in_its_callback(
    tmp_path: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder, faults = StatusRecorder(), [KeyError("unforeseen")]

    async def on_change(status: LocalStatus) -> None:
        if status.phase is Phase.RUNNING and faults:
            raise faults.pop()
        await recorder(status)

    async with LocalServer(write_fake(tmp_path), data, on_change=on_change, timing=QUICK) as local:
        await recorder.until(Phase.RUNNING)
        assert local.status.phase is Phase.RUNNING
        pid = pid_of(data)
    await wait_until_ended(pid)
    [fault] = [entry for entry in caplog.records if entry.exc_info]
    assert fault.getMessage() == "The background job 'local server' failed; it is started again."
    assert [status.phase for status in recorder.statuses] == [
        *[Phase.STARTING] * 2,
        Phase.RUNNING,
        Phase.STOPPED,
    ]


async def test_it_serves_on_loopback_with_a_password_of_its_own(
    start: Start, client: OpenCodeClient
) -> None:
    async with start() as (local, recorder):
        status = await recorder.until(Phase.RUNNING)
        assert status == local.status
        assert status.url is not None
        assert status.url.startswith("http://127.0.0.1:")
        connection = client.connect(status.url, status.username, status.password)
        assert (await connection.get_json("/global/health"))["healthy"] is True
        with pytest.raises(RequestFailed) as caught:
            await client.connect(status.url).get_json("/global/health")
        assert caught.value.reason is Reason.AUTH_REQUIRED
    phases = [status.phase for status in recorder.statuses]
    assert phases == [Phase.STARTING, Phase.RUNNING, Phase.STOPPED]
    assert local.status.phase is Phase.STOPPED


async def test_it_ends_with_the_app_and_leaves_no_record(start: Start, data: Path) -> None:
    async with start() as (_, recorder):
        await recorder.until(Phase.RUNNING)
        pid = pid_of(data)
    assert not psutil.pid_exists(pid)
    assert not (data / "local-server.json").exists()


def guards() -> set[psutil.Process]:
    """Of this process: a run of all tests has other children, and servers that all tests share."""
    children = psutil.Process().children()
    return {child for child in children if any(p.endswith("guard.py") for p in child.cmdline())}


@pytest.mark.parametrize("mode", ["stubborn", "launcher", "silent"])
async def test_it_ends_in_time_in_every_mode(start: Start, mode: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    others = guards()
    async with start(mode) as (_, recorder):
        if mode == "silent":
            await asyncio.to_thread((tmp_path / "pipe").read_bytes)
        else:
            await recorder.until(Phase.RUNNING)
        (guard,) = guards() - others
        family = [guard, *guard.children(recursive=True)]
        began = monotonic()
    assert monotonic() - began < 2.5
    for process in family:
        await wait_until_ended(process.pid)


async def test_it_is_restarted_elsewhere_and_with_another_password(
    start: Start, data: Path, client: OpenCodeClient
) -> None:
    async with start() as (local, recorder):
        first = await recorder.until(Phase.RUNNING)
        await crash(local, client)
        failed = await recorder.until(Phase.FAILED)
        second = await recorder.until(Phase.RUNNING, times=2)
        assert failed.detail is not None
        assert "status 3" in failed.detail
        assert first.url != second.url
        assert first.password is not None
        assert second.password is not None
        assert first.password.reveal() != second.password.reveal()


async def test_the_wait_before_a_restart_doubles_up_to_a_limit(start: Start) -> None:
    async with start("refuse") as (_, recorder):
        await recorder.until(Phase.FAILED, times=4)
    waits = [status.retry_in for status in recorder.statuses if status.phase is Phase.FAILED]
    assert waits[:4] == [0.01, 0.02, 0.04, 0.04]


async def test_a_server_that_ran_for_long_has_the_short_wait_again(start: Start) -> None:
    async with start("refuse", timing=Timing(min_backoff=0.01, stable_after=0.0)) as (_, recorder):
        await recorder.until(Phase.FAILED, times=3)
    waits = {status.retry_in for status in recorder.statuses if status.phase is Phase.FAILED}
    assert waits == {0.01}


async def test_a_server_that_never_gets_ready_fails(start: Start) -> None:
    async with start("silent", timing=Timing(ready_timeout=0.3)) as (_, recorder):
        failed = await recorder.until(Phase.FAILED)
    assert failed.detail == "The local OpenCode server wasn't ready within 0.3 s."


async def test_a_server_that_doesnt_listen_on_loopback_fails(start: Start) -> None:
    async with start("public") as (_, recorder):
        failed = await recorder.until(Phase.FAILED)
    assert failed.detail is not None
    assert "loopback" in failed.detail


@pytest.mark.parametrize("content", [None, "not a program"])
async def test_an_executable_that_can_t_run_is_a_failure_that_says_so(
    start: Start, tmp_path: Path, content: str | None
) -> None:
    executable = tmp_path / "broken"
    if content is not None:
        executable.write_text(content)
        executable.chmod(0o755)
    async with start(executable=executable) as (_, recorder):
        failed = await recorder.until(Phase.FAILED)
    assert failed.detail is not None
    assert "can't be started" in failed.detail


async def test_the_password_is_written_nowhere(start: Start, data: Path) -> None:
    async with start("leak") as (_, recorder):
        status = await recorder.until(Phase.RUNNING)
        assert status.password is not None
        password = status.password.reveal()
        family = psutil.Process().children(recursive=True)
        texts = [
            *(" ".join(process.cmdline()) for process in family),
            *(file.read_text() for file in data.iterdir()),
            repr(recorder.statuses),
        ]
        assert len(family) >= 2
        assert (data / "opencode-server.log").read_text().startswith("the password is ***\n")
        assert not [text for text in texts if password in text]


async def test_its_environment_has_none_of_codewalks_variables(start: Start, data: Path) -> None:
    async with start() as (_, recorder):
        await recorder.until(Phase.RUNNING)
        environment = psutil.Process(pid_of(data)).environ()
    assert [name for name in environment if name.startswith("CODEWALK_")] == [MARKER_VARIABLE]


async def test_its_files_are_private_and_its_log_is_bounded(start: Start, data: Path) -> None:
    async with start("loud") as (_, recorder):
        await recorder.until(Phase.RUNNING)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in data.iterdir()}
        names = {file.name for file in data.iterdir()}
    logs = sum(file.stat().st_size for file in data.glob("opencode-server.log*"))
    assert modes == {0o600}
    assert names == {"local-server.json", "opencode-server.log", "opencode-server.log.1"}
    assert MAX_LOG < logs < 2.1 * MAX_LOG


async def test_a_killed_guard_ends_the_server_and_both_are_started_again(
    start: Start, data: Path
) -> None:
    async with start("launcher") as (_, recorder):
        await recorder.until(Phase.RUNNING)
        guard = psutil.Process(int(record(data)["guard_pid"]))
        family = guard.children(recursive=True)
        guard.kill()
        await recorder.until(Phase.RUNNING, times=2)
        for process in family:
            await wait_until_ended(process.pid)


async def test_a_damaged_record_is_ignored(start: Start, data: Path) -> None:
    (data / "local-server.json").write_text('{"pid": "all of them"}')
    async with start() as (_, recorder):
        await recorder.until(Phase.RUNNING)


async def test_a_record_with_the_number_of_another_process_ends_nothing(
    start: Start, data: Path
) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    created = psutil.Process(bystander.pid).create_time()
    note = {"pid": bystander.pid, "created": created, "guard_pid": bystander.pid}
    text = json.dumps({**note, "command": "sleep", "marker": "of a server long gone"})
    (data / "local-server.json").write_text(text)
    try:
        async with start() as (_, recorder):
            await recorder.until(Phase.RUNNING)
            assert bystander.returncode is None
            assert psutil.pid_exists(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()


def test_the_executable_is_the_one_that_the_settings_name(tmp_path: Path) -> None:
    fake = write_fake(tmp_path)
    assert find_executable(Settings(data_dir=tmp_path, opencode=str(fake))) == fake
    missing = Settings(data_dir=tmp_path, opencode=str(tmp_path / "missing"))
    assert find_executable(missing) is None
