"""One running app for each data folder."""

import os
import stat

import pytest

from codewalk.cli.instance import RunningApp, find_running, single_instance
from codewalk.errors import AlreadyRunning
from codewalk.settings import Settings

URL = "http://127.0.0.1:4090/"


def test_second_app_is_refused_with_the_address_of_the_first(settings: Settings) -> None:
    with single_instance(settings) as instance:
        instance.record_url(URL)
        with pytest.raises(AlreadyRunning) as caught, single_instance(settings):
            pass
        assert caught.value.message.startswith(
            f"CodeWalk already runs at {URL} (pid {os.getpid()})"
        )


def test_app_without_an_address_counts_as_running(settings: Settings) -> None:
    with (
        single_instance(settings),
        pytest.raises(AlreadyRunning, match="about to serve"),
        single_instance(settings),
    ):
        pass


def test_running_app_is_found_without_disturbing_it(settings: Settings) -> None:
    assert find_running(settings) is None
    assert not settings.data_dir.exists()
    with single_instance(settings) as instance:
        instance.record_url(URL)
        assert find_running(settings) == RunningApp(pid=os.getpid(), url=URL)
        assert find_running(settings) == RunningApp(pid=os.getpid(), url=URL)
    assert find_running(settings) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "url": 1}', '{"pid": 1}'])
def test_record_of_a_killed_app_is_removed_at_the_next_start(settings: Settings, text: str) -> None:
    settings.make_data_dir()
    record = settings.data_dir / "running.json"
    record.write_text(text)
    with single_instance(settings):
        assert not record.exists()


def test_looking_for_an_app_that_was_killed_changes_nothing(settings: Settings) -> None:
    with single_instance(settings):
        pass
    record = settings.data_dir / "running.json"
    record.write_text('{"pid": 1, "url": "http://127.0.0.1:4090/"}')
    settings.data_dir.chmod(0o755)
    assert find_running(settings) is None
    assert record.exists()
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o755


def test_files_are_private_and_the_record_is_removed_at_the_end(settings: Settings) -> None:
    with single_instance(settings) as instance:
        instance.record_url(URL)
        files = list(settings.data_dir.iterdir())
        assert {path.name for path in files} == {"codewalk.lock", "running.json"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not (settings.data_dir / "running.json").exists()
