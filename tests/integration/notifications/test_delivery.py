"""Real programs and real HTTP requests, as hooks run and make them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from codewalk.errors import HookFailed
from codewalk.notifications.delivery import Delivery
from codewalk.notifications.hook import Hook, new_command, new_webhook
from codewalk.opencode.client import OpenCodeClient
from codewalk.opencode.connection import Connection
from codewalk.secret import Secret
from tests.fakes import EPOCH
from tests.mock_behaviours import json_reply, never, redirect, reply
from tests.mock_opencode import MockOpenCode

PAYLOAD = json.dumps({"event": "test"}).encode() + b"\n"
START_TIMEOUT = 20.0
"""Seconds that a program here may take to start, on a machine that others use too."""


@pytest.fixture
async def delivery() -> AsyncIterator[Delivery]:
    async with OpenCodeClient() as client:
        yield make_delivery(client)


def make_delivery(
    client: OpenCodeClient,
    timeout: float = START_TIMEOUT,
    environment: Mapping[str, str] = os.environ,
) -> Delivery:
    async def connect(url: str, username: str | None, password: Secret | None) -> Connection:
        return client.connect(url, username, password, always_sign_in=True)

    return Delivery(connect, timeout=timeout, environment=environment)


def python(code: str, *arguments: str) -> Hook:
    return new_command([sys.executable, "-c", code, *arguments], [], EPOCH)


async def test_a_program_receives_the_payload_on_its_standard_input(
    delivery: Delivery, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
    await delivery.deliver(python(code, str(out)), PAYLOAD)
    assert out.read_bytes() == PAYLOAD


async def test_no_shell_interprets_the_arguments(delivery: Delivery, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    await delivery.deliver(python(code, str(out), "$HOME; echo `id` > x"), PAYLOAD)
    assert out.read_text() == "$HOME; echo `id` > x"


async def test_a_program_does_not_inherit_secrets(tmp_path: Path) -> None:
    environment_here = {**os.environ, "CODEWALK_TOKEN": "s3cret"}
    out = tmp_path / "out"
    code = "import os, sys, json; open(sys.argv[1], 'w').write(json.dumps(dict(os.environ)))"
    async with OpenCodeClient() as client:
        delivery = make_delivery(client, environment=environment_here)
        await delivery.deliver(python(code, str(out)), PAYLOAD)
    environment = json.loads(out.read_text())
    assert "PATH" in environment
    assert [name for name in environment if name.startswith("CODEWALK_")] == []


async def test_the_error_of_a_failed_program_has_its_standard_error(delivery: Delivery) -> None:
    code = "import sys; sys.stderr.write('no display\\n' + 'x' * 100_000); sys.exit(3)"
    with pytest.raises(HookFailed) as failed:
        await delivery.deliver(python(code), PAYLOAD)
    assert "ended with status 3: no display" in failed.value.message
    assert len(failed.value.message) < 600


async def test_a_program_may_read_nothing_and_write_much(
    delivery: Delivery,
) -> None:
    code = "import sys; sys.stdout.write('x' * 1_000_000); sys.stderr.write('y' * 1_000_000)"
    await delivery.deliver(python(code), PAYLOAD)


@pytest.mark.parametrize("program", ["/nonexistent/program", "no-such-program", "."])
async def test_a_missing_program_is_a_failure(delivery: Delivery, program: str) -> None:
    with pytest.raises(HookFailed, match="can't be run"):
        await delivery.deliver(new_command([program], [], EPOCH), PAYLOAD)


async def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "import subprocess, sys, os, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}');"
        "os.rename(sys.argv[1], sys.argv[1] + '.done');"
        "time.sleep(60)"
    )
    async with OpenCodeClient() as client:
        with pytest.raises(HookFailed, match="didn't end within 3 s"):
            await make_delivery(client, timeout=3).deliver(python(code, str(pids)), PAYLOAD)
    for pid in (tmp_path / "pids.done").read_text().split():
        await asyncio.to_thread(_wait_for_end, int(pid))


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for_end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(START_TIMEOUT)


async def test_a_child_that_a_program_leaves_running_is_not_waited_for(
    delivery: Delivery, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    code = (
        "import subprocess, sys;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open(sys.argv[1], 'w').write(str(child.pid))"
    )
    try:
        await asyncio.wait_for(delivery.deliver(python(code, str(pid)), PAYLOAD), START_TIMEOUT)
        assert _runs(int(pid.read_text()))
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_a_cancelled_delivery_leaves_no_program(delivery: Delivery, tmp_path: Path) -> None:
    # As when the app ends.
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(delivery.deliver(python(code, str(ready)), PAYLOAD), name="hook")
        pid = int(await asyncio.to_thread(ready.read_text))
        task.cancel()
    await asyncio.to_thread(_wait_for_end, pid)


async def test_a_webhook_is_called_once_with_the_payload(delivery: Delivery) -> None:
    async with MockOpenCode(username="me", password="p:w") as server:
        server.script("/T0/x", reply(b"ok", content_type="text/plain"))
        place = server.url.replace("://", "://me:p%3Aw@")
        await delivery.deliver(new_webhook(f"{place}/T0/x?key=1", [], EPOCH), PAYLOAD)
        (seen,) = server.requests
    assert (seen.method, seen.raw_path, seen.body) == ("POST", "/T0/x?key=1", PAYLOAD)
    assert seen.headers["Content-Type"] == "application/json"


async def test_a_redirect_of_a_webhook_is_not_followed(delivery: Delivery) -> None:
    async with MockOpenCode() as server, MockOpenCode() as other:
        server.script("/hook", redirect(f"{other.url}/steal"), redirect(f"{server.url}/again"))
        for _ in range(2):
            with pytest.raises(HookFailed, match="answered 302"):
                await delivery.deliver(new_webhook(f"{server.url}/hook", [], EPOCH), PAYLOAD)
        assert other.requests == []
        assert server.count("/again") == 0


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_an_error_status_of_a_webhook_is_a_failure(delivery: Delivery, status: int) -> None:
    async with MockOpenCode() as server:
        server.script("/hook", json_reply({"secret": "x"}, status=status))
        with pytest.raises(HookFailed, match=f"answered {status}") as failed:
            await delivery.deliver(new_webhook(f"{server.url}/hook?key=k3y", [], EPOCH), PAYLOAD)
    assert "k3y" not in failed.value.message


async def test_a_webhook_that_hangs_or_is_down_is_a_failure() -> None:
    async with OpenCodeClient() as client, MockOpenCode() as server:
        server.script("/hook", never())
        quick = make_delivery(client, timeout=0.2)
        with pytest.raises(HookFailed, match=r"within 0\.2 s"):
            await quick.deliver(new_webhook(f"{server.url}/hook", [], EPOCH), PAYLOAD)
        await server.stop()
        with pytest.raises(HookFailed, match="refused"):
            await quick.deliver(new_webhook(f"{server.url}/hook", [], EPOCH), PAYLOAD)
