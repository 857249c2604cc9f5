"""The first start takes over the Flutter app's servers, once."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import codewalk
from codewalk.events import Kind
from codewalk.settings import Settings

SINGLE = {
    "flutter.server_host": "devbox",
    "flutter.server_port": 4097,
    "flutter.basic_auth_enabled": True,
    "flutter.basic_auth_username": "me",
    "flutter.basic_auth_password": "pass:word",
}
SEVERAL = {
    "flutter.server_profiles": [
        {"id": "first", "url": "http://one:4096", "label": "One", "createdAt": 1_700_000_000_000},
        {"id": "second", "url": "http://two:4096", "label": "Two"},
        {"id": "broken", "url": "ftp://three"},
    ],
    "flutter.active_server_id": "first",
    "flutter.default_server_id": "second",
}


def write(settings: Settings, preferences: Any) -> Path:
    place = settings.legacy_preferences
    assert place
    place.write_text(preferences if isinstance(preferences, str) else json.dumps(preferences))
    return place


async def test_single_server_becomes_primary_active_and_default(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "codewalk")
    place = write(settings, SINGLE)
    before = place.read_bytes(), place.stat().st_mtime_ns
    async with codewalk.open(settings) as app:
        (server,) = app.servers()
        assert (
            app.import_message
            == f"1 server was taken over from the CodeWalk Flutter app ({place})."
        )
    assert (server.name, server.profile.url) == ("Primary server", "http://devbox:4097")
    assert (server.active, server.default) == (True, True)
    assert server.profile.basic_auth_username == "me"
    assert (place.read_bytes(), place.stat().st_mtime_ns) == before
    assert f"Migration from {place}: servers taken over: 1. " in caplog.messages
    assert "pass:word" not in caplog.text


async def test_several_servers_are_taken_over_without_the_broken_one(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "codewalk")
    place = write(settings, SEVERAL)
    async with codewalk.open(settings) as app:
        names = [(server.name, server.active, server.default) for server in app.servers()]
    assert names == [("One", True, False), ("Two", False, True)]
    (message,) = (message for message in caplog.messages if "Migration" in message)
    assert message.startswith(
        f"Migration from {place}: servers taken over: 2. Server 3 was left out"
    )


async def test_removed_server_does_not_come_back(settings: Settings) -> None:
    write(settings, SINGLE)
    async with codewalk.open(settings) as app:
        await app.remove_server("Primary server")
    async with codewalk.open(settings) as app:
        assert app.servers() == []


async def test_file_that_appears_after_the_first_start_with_servers_is_left_alone(
    settings: Settings,
) -> None:
    async with codewalk.open(settings) as app:
        await app.add_server("mine", check=False)
        await app.remove_server("mine")
    write(settings, SINGLE)
    async with codewalk.open(settings) as app:
        assert app.servers() == []


async def test_store_with_servers_takes_over_nothing(settings: Settings) -> None:
    async with codewalk.open(settings) as app:
        await app.add_server("mine", check=False)
    write(settings, SINGLE)
    async with codewalk.open(settings) as app:
        assert [server.name for server in app.servers()] == ["mine"]


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "\x00", json.dumps({"flutter.x": 1})])
async def test_unusable_file_is_no_failed_start(
    settings: Settings, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "codewalk")
    place = write(settings, content)
    async with codewalk.open(settings) as app:
        assert app.servers() == []
    (message,) = (message for message in caplog.messages if "Migration" in message)
    assert message.startswith(f"Migration from {place}: servers taken over: 0. It ")


async def test_repaired_file_is_taken_over_at_the_next_start(settings: Settings) -> None:
    write(settings, "{")
    async with codewalk.open(settings):
        pass
    write(settings, SINGLE)
    async with codewalk.open(settings) as app:
        assert len(app.servers()) == 1


async def test_no_file_is_no_news(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "codewalk")
    missing = replace(settings, legacy_preferences=settings.data_dir / "none.json")
    async with codewalk.open(missing):
        pass
    assert [message for message in caplog.messages if "Migration" in message] == []


async def test_the_message_lists_what_was_imported_and_what_not_until_it_is_dismissed(
    settings: Settings,
) -> None:
    place = write(settings, SEVERAL)
    async with codewalk.open(settings) as app:
        message = app.import_message or ""
        assert message.startswith(
            f"2 servers were taken over from the CodeWalk Flutter app ({place}). Server 3 was left "
        )
        with app.announcer.listen() as events:
            app.dismiss_import_message()
            assert events.get_nowait().kind is Kind.SERVERS
        assert app.import_message is None
    async with codewalk.open(settings) as app:
        assert app.import_message is None


async def test_the_message_says_why_nothing_was_imported(settings: Settings) -> None:
    write(settings, "{")
    async with codewalk.open(settings) as app:
        assert app.import_message
        assert app.import_message.startswith("No server was taken over from")
        assert app.import_message.endswith(". It can't be read: it isn't JSON (line 1).")


async def test_many_warnings_are_left_to_the_log(settings: Settings) -> None:
    broken = [{"id": f"{number}", "url": "ftp://x"} for number in range(5)]
    write(settings, {"flutter.server_profiles": [*SEVERAL["flutter.server_profiles"], *broken]})
    async with codewalk.open(settings) as app:
        assert app.import_message
        assert app.import_message.count("was left out") == 3
        assert app.import_message.endswith("The log has 3 more such notes.")


async def test_file_without_servers_is_no_news_for_the_user(settings: Settings) -> None:
    write(settings, {"flutter.x": 1})
    async with codewalk.open(settings) as app:
        assert app.import_message is None
