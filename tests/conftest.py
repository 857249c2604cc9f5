"""Fixtures for all tests: an empty data folder, and no blocking call on the event loop."""

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

# No deadline: on two cores that others use too, a slow example is no bug.
hypothesis_settings.register_profile("quick", max_examples=60, deadline=None)
hypothesis_settings.register_profile(
    "ci", parent=hypothesis_settings.get_profile("quick"), derandomize=True, print_blob=True
)
hypothesis_settings.register_profile("thorough", max_examples=3000, deadline=timedelta(seconds=5))


def pytest_configure(config: pytest.Config) -> None:
    """Keep the developer's own CodeWalk and keyring out of reach, for child processes too.

    It runs before any test module is imported.
    """
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
    """Raise `BlockingError` for a blocking call that CodeWalk makes on an event loop.

    A test's own calls are allowed.
    """
    with blockbuster_ctx("codewalk") as detector:
        for function in detector.functions.values():
            # Modules are imported where they are first used, so that commands start quickly.
            function.can_block_in("<frozen importlib._bootstrap>", "_find_and_load")
            # asyncpg looks for ~/.pgpass and certificates before it connects.
            function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings for an empty data folder: SQLite, no token, no Flutter app to import from."""
    return Settings(data_dir=tmp_path / "data", legacy_preferences=tmp_path / "no-preferences.json")
