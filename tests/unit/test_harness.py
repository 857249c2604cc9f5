"""The tests' own tools work as documented."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from blockbuster import BlockingError

from codewalk.settings import Settings, write_private
from tests.fake_time import elapsed, fake_time

REPOSITORY = Path(__file__).parents[2]


async def test_blocking_call_of_codewalk_on_the_event_loop_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BlockingError):
        write_private(tmp_path / "token", "text")


async def test_blocking_call_in_a_thread_is_allowed(tmp_path: Path) -> None:
    await asyncio.to_thread(write_private, tmp_path / "token", "text")


@fake_time
async def test_fake_time_skips_waiting_and_keeps_the_order_of_timers() -> None:
    order: list[str] = []

    async def record(name: str, after: float) -> None:
        await asyncio.sleep(after)
        order.append(f"{name} {elapsed():g}")

    async with asyncio.TaskGroup() as group:
        group.create_task(record("late", 3600), name="late")
        group.create_task(record("early", 0.25), name="early")
    assert order == ["early 0.25", "late 3600"]


def test_fake_time_fails_instead_of_hanging() -> None:
    @fake_time
    async def hangs() -> None:
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="will never happen"):
        hangs()


def test_developers_own_servers_and_keyring_are_out_of_reach() -> None:
    settings = Settings.from_environment()
    assert "codewalk-tests-" in str(settings.data_dir)
    assert settings.legacy_preferences is not None
    assert not settings.legacy_preferences.exists()
    assert os.environ["PYTHON_KEYRING_BACKEND"] == "keyring.backends.null.Keyring"


SKIPPING = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="no chromium")
def test_marked(): pass

def test_skips_itself(): pytest.skip("no database")

@pytest.fixture
def database(): pytest.skip("no socket")

def test_its_fixture_skips(database): pass

@pytest.mark.xfail(reason="known", strict=True)
def test_fails_as_expected(): assert False
"""


def run_pytest(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: text for name, text in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.no_skips", "-p", "no:cacheprovider",
         "-p", "no:schemathesis", "-p", "no:hypothesispytest", "-q", str(folder)],
        env=env | {"PYTHONPATH": str(REPOSITORY)} | environment,
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_every_skip_in_ci_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(SKIPPING)
    run = run_pytest(tmp_path, CI="true")
    assert run.returncode != 0
    for reason in ("no chromium", "no database", "no socket"):
        assert reason in run.stdout
    assert run.stdout.count("SKIPPED IN CI") >= 3
    assert "skipped" not in run.stdout.splitlines()[-1]


def test_module_that_skips_itself_in_ci_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('no_such')\n")
    run = run_pytest(tmp_path, CI="true")
    assert run.returncode != 0
    assert "SKIPPED IN CI" in run.stdout
    assert "no_such" in run.stdout


def test_skip_outside_ci_stays_a_skip(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(SKIPPING)
    run = run_pytest(tmp_path)
    assert run.returncode == 0, run.stdout
    assert "1 passed, 3 skipped, 1 xfailed" in run.stdout
