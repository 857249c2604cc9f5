"""One running app for each data folder."""

import os
import stat

import pytest

from codewalk.cli.instance import RunningApp, find_running, single_instance
from codewalk.errors import AlreadyRunning
from codewalk.settings import Settings

URL = "http://127.0.0.1:4090/"


def test_a_second_one_is_told_where_the_first_runs(settings: Settings) -> None:
    with single_instance(settings) as instance:
        instance.record_url(URL)
        with pytest.raises(AlreadyRunning) as caught, single_instance(settings):
            pass
        assert caught.value.message.startswith(
            f"CodeWalk already runs at {URL} (pid {os.getpid()})"
        )


def test_one_that_has_no_address_yet_is_running_too(settings: Settings) -> None:
    with (
        single_instance(settings),
        pytest.raises(AlreadyRunning, match="about to serve"),
        single_instance(settings),
    ):
        pass


def test_looking_finds_it_and_disturbs_nothing(settings: Settings) -> None:
    assert find_running(settings) is None
    assert not settings.data_dir.exists()
    with single_instance(settings) as instance:
        instance.record_url(URL)
        assert find_running(settings) == RunningApp(pid=os.getpid(), url=URL)
        assert find_running(settings) == RunningApp(pid=os.getpid(), url=URL)
    assert find_running(settings) is None


@pytest.mark.parametrize("left", ["", "{", "[]", '{"pid": "x", "url": 1}', '{"pid": 1}'])
def test_a_record_left_by_a_killed_one_means_nothing(settings: Settings, left: str) -> None:
    settings.make_data_dir()
    record = settings.data_dir / "running.json"
    record.write_text(left)
    with single_instance(settings):
        assert not record.exists()


def test_its_files_are_private_and_the_record_goes_with_it(settings: Settings) -> None:
    with single_instance(settings) as instance:
        instance.record_url(URL)
        files = list(settings.data_dir.iterdir())
        assert {path.name for path in files} == {"codewalk.lock", "running.json"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not (settings.data_dir / "running.json").exists()
