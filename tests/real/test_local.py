"""The managed local server with the real `opencode`."""

import json
import os
from pathlib import Path
from time import monotonic

import psutil
import pytest

from codewalk.local.server import LocalServer, Phase
from codewalk.opencode.client import OpenCodeClient
from codewalk.opencode.connection import RequestFailed
from codewalk.reason import Reason
from tests.local_status import StatusRecorder, wait_until_ended
from tests.real.servers import CURRENT, executable

pytestmark = pytest.mark.real


@pytest.fixture
def opencode() -> Path:
    program = executable(CURRENT)
    if program is None:
        pytest.skip(f"OpenCode {CURRENT} isn't installed: run `make setup` (it needs npm)")
    return program


async def test_the_real_opencode_is_started_restarted_and_ended(
    opencode: Path, tmp_path: Path
) -> None:
    recorder = StatusRecorder()
    homes = {f"XDG_{name}_HOME": str(tmp_path) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
    environment = {**os.environ, **homes, "HOME": str(tmp_path)}
    async with (
        OpenCodeClient() as client,
        LocalServer(opencode, tmp_path, on_change=recorder, environment=environment),
    ):
        first = await recorder.until(Phase.RUNNING)
        assert first.url is not None
        connection = client.connect(first.url, first.username, first.password)
        health = await connection.get_json("/global/health", timeout=30)
        assert health == {"healthy": True, "version": CURRENT}
        with pytest.raises(RequestFailed) as caught:
            await client.connect(first.url).get_json("/global/health")
        assert caught.value.reason is Reason.AUTH_REQUIRED

        psutil.Process(pid_of(tmp_path)).kill()
        second = await recorder.until(Phase.RUNNING, times=2)
        assert second.url != first.url
        family = psutil.Process(guard_of(tmp_path)).children(recursive=True)
        assert second.password is not None
        text = (tmp_path / "opencode-server.log").read_text() + repr(recorder.statuses)
        texts = [text, *(" ".join(process.cmdline()) for process in family)]
        assert not [text for text in texts if second.password.reveal() in text]
        began = monotonic()
    assert monotonic() - began < 2.5
    for process in family:
        await wait_until_ended(process.pid)
    assert not (tmp_path / "local-server.json").exists()


def pid_of(data: Path) -> int:
    return int(json.loads((data / "local-server.json").read_text())["pid"])


def guard_of(data: Path) -> int:
    return int(json.loads((data / "local-server.json").read_text())["guard_pid"])
