"""What every test stands on: a place of its own, no blocked event loop, no skip in CI."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings as hypothesis_settings

from codewalk.settings import Settings

pytest_plugins = ("tests.no_skips", "tests.postgres", "tests.real.started")

# No deadline: two cores that others use too make a slow example no bug.
hypothesis_settings.register_profile("quick", max_examples=60, deadline=None)
hypothesis_settings.register_profile(
    "ci", parent=hypothesis_settings.get_profile("quick"), derandomize=True, print_blob=True
)
hypothesis_settings.register_profile("thorough", max_examples=3000, deadline=timedelta(seconds=5))


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported: nothing here or in a child process reaches the
    developer's own CodeWalk or keyring."""
    home = Path(tempfile.mkdtemp(prefix="codewalk-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in [name for name in os.environ if name.startswith("CODEWALK_")]:
        if not name.startswith("CODEWALK_TEST_"):
            del os.environ[name]
    os.environ["CODEWALK_DATA_DIR"] = str(home / "data")
    os.environ["CODEWALK_LEGACY_PREFERENCES"] = str(home / "no-preferences.json")
    os.environ["XDG_DATA_HOME"] = str(home / "share")
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    fallback = "ci" if os.environ.get("CI") else "quick"
    hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", fallback))


@pytest.fixture(scope="session", autouse=True)
def nothing_blocks_the_event_loop() -> Iterator[None]:
    """A blocking call that CodeWalk makes on an event loop raises `BlockingError`.

    Only CodeWalk's own calls: a test may read its files as it likes.
    """
    with blockbuster_ctx("codewalk") as detector:
        for function in detector.functions.values():
            # A module is read once, when it is first used, so that a command starts quickly.
            function.can_block_in("<frozen importlib._bootstrap>", "_find_and_load")
            # asyncpg looks for ~/.pgpass and certificates before it connects.
            function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An empty CodeWalk of the test's own: SQLite, no token, nothing to migrate."""
    return Settings(data_dir=tmp_path / "data", legacy_preferences=tmp_path / "no-preferences.json")
