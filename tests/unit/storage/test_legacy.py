"""The import of the Flutter app's settings: usable parts are read, the file is unchanged."""

import json
import os
import plistlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.servers.profile import ServerProfile
from codewalk.settings import Settings
from codewalk.storage.legacy import LegacyImport, read_legacy

NOW = datetime(2026, 2, 9, 20, 51, 50, tzinfo=UTC)
ONE = "018f6f0e-0000-7000-8000-000000000001"
TWO = "018f6f0e-0000-7000-8000-000000000002"


class Preferences:
    """A preferences file, and what is read from it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, **values: object) -> LegacyImport:
        """Import a file with these keys."""
        return self.read_bytes(
            json.dumps({f"flutter.{key}": value for key, value in values.items()}).encode()
        )

    def read_bytes(self, data: bytes) -> LegacyImport:
        self.path.write_bytes(data)
        os.utime(self.path, ns=(1, 2_000_000_000))
        found = read_legacy(
            Settings(data_dir=self.path.parent / "data", legacy_preferences=self.path), NOW
        )
        assert found is not None
        assert found.source == self.path
        assert (self.path.read_bytes(), self.path.stat().st_mtime_ns) == (data, 2_000_000_000)
        assert [p.name for p in self.path.parent.iterdir()] == [self.path.name]
        return found


@pytest.fixture
def preferences(tmp_path: Path) -> Preferences:
    return Preferences(tmp_path / "shared_preferences.json")


def only(found: LegacyImport) -> ServerProfile:
    assert found.warnings == ()
    assert len(found.profiles) == 1
    return found.profiles[0]


def password(profile: ServerProfile) -> str | None:
    secret = profile.basic_auth_password
    return None if secret is None else secret.reveal()


def entry(number: int = 1, **fields: object) -> dict[str, Any]:
    """A server as the later app writes it."""
    return {
        "id": f"018f6f0e-0000-7000-8000-{number:012}",
        "url": f"http://box{number}:4096",
        "label": None,
        "basicAuthEnabled": False,
        "basicAuthUsername": "",
        "basicAuthPassword": "",
        "createdAt": 1770670310489,
        "updatedAt": 1770670310490,
        **fields,
    }


# ---------------------------------------------------------------- where it is


def test_without_a_file_nothing_is_imported(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, legacy_preferences=tmp_path / "none.json")
    assert read_legacy(settings, NOW) is None


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname != "Linux", reason="Linux's place")
def test_the_default_path_is_the_apps_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    place = tmp_path / "com.verseles.codewalk" / "shared_preferences.json"
    assert read_legacy(Settings(data_dir=tmp_path / "data"), NOW) is None
    place.parent.mkdir()
    place.write_text('{"flutter.server_host": "devbox"}')
    found = read_legacy(Settings(data_dir=tmp_path / "data"), NOW)
    assert found is not None
    assert found.source == place
    assert only(found).url == "http://devbox:4096"


def test_a_property_list_is_read_too(preferences: Preferences) -> None:
    values = {
        "flutter.server_profiles": json.dumps([entry(1), entry(2)]),
        "flutter.active_server_id": TWO,
        "NSWindow Frame": "0 0 1 1",
    }
    for style in (plistlib.FMT_BINARY, plistlib.FMT_XML):
        found = preferences.read_bytes(plistlib.dumps(values, fmt=style))
        assert [p.id for p in found.profiles] == [ONE, TWO]
        assert found.active_id == TWO


# ---------------------------------------------------------------- one server


def test_the_single_server_gets_the_label_primary_server(preferences: Preferences) -> None:
    found = preferences.read(
        server_host="192.168.1.5",
        server_port=5000,
        basic_auth_enabled=True,
        basic_auth_username="usér",
        basic_auth_password="pä:ss",
    )
    profile = only(found)
    assert (profile.url, profile.label) == ("http://192.168.1.5:5000", "Primary server")
    assert profile.basic_auth_enabled
    assert (profile.basic_auth_username, password(profile)) == ("usér", "pä:ss")
    assert (profile.created_at, profile.updated_at) == (NOW, NOW)
    assert found.active_id == found.default_id == profile.id
    assert not profile.managed


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"server_host": "devbox"}, "http://devbox:4096"),
        ({"server_port": 5000}, "http://127.0.0.1:5000"),
        ({"server_host": "", "server_port": "5000"}, "http://127.0.0.1:5000"),
        ({"server_host": " DevBox ", "server_port": 80}, "http://devbox"),
        ({"server_host": "devbox:5001", "server_port": 5000}, "http://devbox:5001"),
        ({"server_host": "http://devbox", "server_port": 5000}, "http://devbox:5000"),
        ({"server_host": "http://devbox/"}, "http://devbox:4096"),
        ({"server_host": "https://devbox"}, "https://devbox"),
        ({"server_host": "https://devbox", "server_port": 8443}, "https://devbox:8443"),
        ({"server_host": "https://devbox:443/code", "server_port": 4096}, "https://devbox/code"),
        ({"server_host": "devbox/code", "server_port": 5000}, "http://devbox:5000/code"),
        ({"server_host": "::1", "server_port": 5000}, "http://[::1]:5000"),
        ({"server_host": "[::1]"}, "http://[::1]:4096"),
        ({"server_host": "bücher.example"}, "http://xn--bcher-kva.example:4096"),
    ],
)
def test_host_and_port_become_a_url(preferences: Preferences, values: Any, url: str) -> None:
    assert only(preferences.read(**values)).url == url


def test_credentials_in_the_host_become_basic_auth(preferences: Preferences) -> None:
    profile = only(preferences.read(server_host="http://me:p%40ss@devbox"))
    assert profile.url == "http://devbox:4096"
    assert profile.basic_auth_enabled
    assert (profile.basic_auth_username, password(profile)) == ("me", "p@ss")


@pytest.mark.parametrize("port", [0, 65536, -1, "x", "", 4096.5, True, [1], "٤٠٩٦"])
def test_a_bad_port_is_ignored_with_a_warning(preferences: Preferences, port: object) -> None:
    found = preferences.read(server_host="devbox", server_port=port)
    assert [p.url for p in found.profiles] == ["http://devbox:4096"]
    assert len(found.warnings) == 1
    assert preferences.read(server_port=port).profiles == ()


@pytest.mark.parametrize(
    "host", ["dev box", "http://[::1", "ftp://devbox", "a?b", "dev\nbox", "http://", "a:b:c", 5]
)
def test_a_bad_host_gives_a_warning(preferences: Preferences, host: object) -> None:
    found = preferences.read(server_host=host)
    assert (found.profiles, found.active_id, found.default_id) == ((), None, None)
    assert len(found.warnings) == 1


def test_preferences_without_a_server_give_no_warning(preferences: Preferences) -> None:
    found = preferences.read(theme_mode="dark")
    assert (found.profiles, found.warnings) == ((), ())


# ---------------------------------------------------------------- several servers


@pytest.mark.parametrize(
    "encode", [lambda entries: entries, json.dumps, lambda e: [*map(json.dumps, e)]]
)
def test_all_servers_of_the_list_are_imported(preferences: Preferences, encode: Any) -> None:
    second = entry(
        2,
        label=" Box ",
        basicAuthEnabled=True,
        basicAuthUsername="me",
        basicAuthPassword="pw",
    )
    found = preferences.read(
        server_profiles=encode([entry(1), second]),
        active_server_id=TWO,
        default_server_id=ONE,
        server_host="ignored",
    )
    assert found.warnings == ()
    assert (found.active_id, found.default_id) == (TWO, ONE)
    first, box = found.profiles
    assert (first.id, first.url, first.label) == (ONE, "http://box1:4096", None)
    assert (first.basic_auth_enabled, first.basic_auth_username) == (False, "opencode")
    assert first.basic_auth_password is None
    assert first.created_at == datetime(2026, 2, 9, 20, 51, 50, 489000, tzinfo=UTC)
    assert first.updated_at == datetime(2026, 2, 9, 20, 51, 50, 490000, tzinfo=UTC)
    assert (box.label, box.basic_auth_enabled, box.basic_auth_username) == ("Box", True, "me")
    assert password(box) == "pw"


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        "text",
        [],
        {},
        entry(2, url=None),
        entry(2, url=""),
        entry(2, url="ftp://x"),
        entry(2, url="http://me:hunter2@box2/?q"),
    ],
)
def test_a_malformed_entry_is_left_out_alone(preferences: Preferences, bad: object) -> None:
    found = preferences.read(server_profiles=[entry(1), bad, entry(3)])
    assert [p.url for p in found.profiles] == ["http://box1:4096", "http://box3:4096"]
    assert len(found.warnings) == 1
    assert "Server 2" in found.warnings[0]
    assert "hunter2" not in found.warnings[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"label": "x" * 101},
        {"label": "a\tb"},
        {"label": 5},
        {"basicAuthEnabled": "yes"},
        {"basicAuthUsername": "a:b", "basicAuthPassword": "hunter2"},
        {"basicAuthPassword": ["hunter2"]},
        {"basicAuthPassword": "hunter2\n"},
    ],
)
def test_a_server_is_imported_without_the_parts_that_are_unusable(
    preferences: Preferences, fields: Any
) -> None:
    found = preferences.read(server_profiles=[entry(1, **fields)])
    (profile,) = found.profiles
    assert (profile.label, profile.basic_auth_enabled) == (None, False)
    assert profile.basic_auth_password is None
    assert len(found.warnings) == 1
    assert "hunter2" not in found.warnings[0]


def test_ids_that_are_not_uuids_are_replaced_and_references_mapped(
    preferences: Preferences,
) -> None:
    found = preferences.read(
        server_profiles=[entry(1, id="srv_1"), entry(2, id=ONE.upper()), entry(3, id=None)],
        active_server_id="srv_1",
        default_server_id=ONE.upper(),
    )
    assert found.warnings == ()
    ids = [p.id for p in found.profiles]
    assert len(set(ids)) == 3
    assert all(len(i) == 36 for i in ids)
    assert ids[1] == ONE
    assert (found.active_id, found.default_id) == (ids[0], ONE)


def test_of_two_servers_with_one_url_the_first_is_imported(preferences: Preferences) -> None:
    found = preferences.read(
        server_profiles=[
            entry(1, label="Box"),
            entry(2, url="HTTP://Box1:4096/", label="Again"),
            entry(3, label="BOX"),
            entry(4, id=ONE),
        ],
        active_server_id=TWO,
        default_server_id="nowhere",
    )
    assert [(p.url, p.label) for p in found.profiles] == [
        ("http://box1:4096", "Box"),
        ("http://box3:4096", None),
        ("http://box4:4096", None),
    ]
    assert len({p.id for p in found.profiles}) == 3
    assert (found.active_id, found.default_id) == (None, None)
    # Two entries, and the two pointers to servers that aren't there.
    assert len(found.warnings) == 4


@pytest.mark.parametrize("time", [None, 0, -5, "2026", True, 1e300, 10**30, float("nan")])
def test_a_missing_or_bad_time_becomes_now(preferences: Preferences, time: object) -> None:
    profile = only(preferences.read(server_profiles=[entry(1, createdAt=time, updatedAt=time)]))
    assert (profile.created_at, profile.updated_at) == (NOW, NOW)


def test_an_empty_list_wins_over_the_single_server(preferences: Preferences) -> None:
    found = preferences.read(server_profiles="[]", server_host="removed-long-ago")
    assert (found.profiles, found.warnings) == ((), ())


@pytest.mark.parametrize("broken", ["[{", 5, {"a": 1}, [5], None])
def test_an_unusable_list_falls_back_to_the_single_server(
    preferences: Preferences, broken: object
) -> None:
    found = preferences.read(server_profiles=broken, server_host="devbox")
    assert [p.url for p in found.profiles] == ["http://devbox:4096"]
    assert found.active_id == found.profiles[0].id
    assert len(found.warnings) == 1


# ---------------------------------------------------------------- broken files


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        b"bplist00garbage",
        b"<?xml version='1.0'?><plist><dict><key>a</key><date>bad</date></dict></plist>",
        b"<?xml version='1.0'?><plist><integer>x</integer></plist>",
        b'{"flutter.server_host": "devbox"}' + b" " * 2**20,
    ],
)
def test_a_broken_file_gives_a_warning(preferences: Preferences, data: bytes) -> None:
    found = preferences.read_bytes(data)
    assert (found.profiles, found.active_id, found.default_id) == ((), None, None)
    assert len(found.warnings) == 1
    assert "can't be read" in found.warnings[0]


def test_a_path_that_is_not_a_regular_file_gives_a_warning(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        found = read_legacy(Settings(data_dir=tmp_path, legacy_preferences=place), NOW)
        assert found is not None
        assert found.warnings == ("It can't be read: it isn't a regular file.",)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = (
    *("server_host", "server_port", "server_profiles", "active_server_id", "default_server_id"),
    *("basic_auth_enabled", "basic_auth_username", "basic_auth_password"),
)
entries = st.dictionaries(st.sampled_from(list(entry())), json_values)


@given(
    st.fixed_dictionaries(
        {}, optional={key: json_values | st.lists(entries, max_size=4) for key in KEYS}
    )
)
def test_any_content_is_read_without_an_error(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    preferences = Preferences(tmp_path_factory.mktemp("legacy") / "shared_preferences.json")
    found = preferences.read(**values)
    ids = {p.id for p in found.profiles}
    assert len(ids) == len({p.url for p in found.profiles}) == len(found.profiles)
    assert {found.active_id, found.default_id} <= ids | {None}
