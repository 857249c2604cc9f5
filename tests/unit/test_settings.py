"""Settings from the environment, and the folders that they result in."""

import os
import stat
from pathlib import Path

import pytest
from platformdirs import user_data_dir

from codewalk.errors import StorageError
from codewalk.settings import Settings, environment_without_secrets, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_variable_of_the_interface_is_read() -> None:
    settings = Settings.from_environment(
        {
            "CODEWALK_DATA_DIR": "/data",
            "CODEWALK_DATABASE_URL": "postgresql://u:p@h/db",
            "CODEWALK_SECRET_KEY": "key",
            "CODEWALK_TOKEN": "token",
            "CODEWALK_ALLOWED_HOSTS": "codewalk.example, walk.example:8443,,",
            "CODEWALK_LEGACY_PREFERENCES": "/old.json",
            "CODEWALK_OPENCODE": "/bin/opencode",
        }
    )
    assert settings.data_dir == Path("/data")
    assert settings.database_file == Path("/data/codewalk.db")
    assert settings.legacy_preferences == Path("/old.json")
    assert settings.allowed_hosts == ("codewalk.example", "walk.example:8443")
    assert settings.opencode == "/bin/opencode"
    assert settings.database_url
    assert settings.database_url.reveal() == "postgresql://u:p@h/db"
    assert settings.secret_key
    assert settings.secret_key.reveal() == "key"
    assert settings.token
    assert settings.token.reveal() == "token"


def test_other_programs_get_every_variable_but_codewalks_own() -> None:
    environment = {"PATH": "/bin", "CODEWALK_TOKEN": "s3cr3t", "CODEWALK_OPENCODE": "/bin/opencode"}
    assert environment_without_secrets(environment) == {"PATH": "/bin"}


def test_settings_show_no_secret() -> None:
    settings = Settings.from_environment(
        {
            "CODEWALK_DATABASE_URL": "postgresql://u:s3cr3t@h/db",
            "CODEWALK_SECRET_KEY": "s3cr3t",
            "CODEWALK_TOKEN": "s3cr3t",
        }
    )
    assert "s3cr3t" not in repr(settings)


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_unset_or_empty_has_its_default(value: str | None) -> None:
    names = (
        "CODEWALK_DATA_DIR",
        "CODEWALK_DATABASE_URL",
        "CODEWALK_SECRET_KEY",
        "CODEWALK_TOKEN",
        "CODEWALK_LEGACY_PREFERENCES",
        "CODEWALK_OPENCODE",
    )
    given = {} if value is None else dict.fromkeys(names, value)
    assert Settings.from_environment(given) == Settings(
        data_dir=Path(user_data_dir("codewalk", appauthor=False))
    )


def test_a_tilde_is_the_home_folder() -> None:
    settings = Settings.from_environment({"CODEWALK_DATA_DIR": "~/walk"})
    assert settings.data_dir == Path.home() / "walk"


def test_the_data_folder_is_made_with_its_parents_and_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "a" / "b")
    settings.make_data_dir()
    settings.make_data_dir()
    assert mode(settings.data_dir) == 0o700


def test_a_data_folder_that_others_may_read_is_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Settings(data_dir=tmp_path).make_data_dir()
    assert mode(tmp_path) == 0o700


@pytest.mark.parametrize("place", ["file", "file/below", "x" * 300])
def test_the_error_for_a_data_folder_that_cannot_be_created_names_it(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as refused:
        Settings(data_dir=tmp_path / place).make_data_dir()
    assert "CODEWALK_DATA_DIR" in refused.value.message
    assert refused.value.value == str(tmp_path / place)


def test_a_private_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_private(tmp_path / "token", "grüße")
    finally:
        os.umask(old)
    assert mode(tmp_path / "token") == 0o600
    assert (tmp_path / "token").read_text("utf-8") == "grüße"


def test_a_private_file_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("a longer text than the new one")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "half a character: \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_not_written_through_a_link_in_place_of_its_draft(tmp_path: Path) -> None:
    # A draft left by a killed process, or a link to elsewhere, must not be written through.
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (tmp_path / f".token.{os.getpid()}").symlink_to(victim)
    write_private(tmp_path / "token", "text")
    assert victim.read_text() == "untouched"
    assert (tmp_path / "token").read_text() == "text"
    assert not (tmp_path / "token").is_symlink()
