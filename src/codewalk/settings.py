"""The settings from the environment, and the private files in the data folder."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codewalk.errors import StorageError
from codewalk.secret import Secret

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600

VARIABLE_PREFIX: Final = "CODEWALK_"
"""The beginning of the names of CodeWalk's own environment variables."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of one CodeWalk, from the environment variables that the README lists."""

    data_dir: Path
    database_url: Secret | None = None
    secret_key: Secret | None = None
    token: Secret | None = None
    allowed_hosts: tuple[str, ...] = ()
    legacy_preferences: Path | None = None
    opencode: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the settings; a variable that is empty counts as unset.

        Args:
            environment: The variables; by default the process's.
        """
        variables = os.environ if environment is None else environment
        env = {name: text for name, text in variables.items() if text}
        return cls(
            data_dir=Path(env.get("CODEWALK_DATA_DIR") or _default_data_dir()).expanduser(),
            database_url=_secret(env.get("CODEWALK_DATABASE_URL")),
            secret_key=_secret(env.get("CODEWALK_SECRET_KEY")),
            token=_secret(env.get("CODEWALK_TOKEN")),
            allowed_hosts=_list(env.get("CODEWALK_ALLOWED_HOSTS", "")),
            legacy_preferences=_path(env.get("CODEWALK_LEGACY_PREFERENCES")),
            opencode=env.get("CODEWALK_OPENCODE"),
        )

    @property
    def database_file(self) -> Path:
        """The SQLite store, unless `database_url` names another."""
        return self.data_dir / "codewalk.db"

    def make_data_dir(self) -> None:
        """Create the data folder, for its owner alone.

        Raises:
            StorageError: It can't be created or made private.
        """
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=DIRECTORY_MODE)
            if stat.S_IMODE(self.data_dir.stat().st_mode) != DIRECTORY_MODE:
                self.data_dir.chmod(DIRECTORY_MODE)
        except OSError as exc:
            raise StorageError(
                f"The data folder {self.data_dir} can't be created or made private: "
                f"{exc.strerror}. Set CODEWALK_DATA_DIR to a folder of your own.",
                value=str(self.data_dir),
            ) from exc


def environment_without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for another program: all variables but CodeWalk's own.

    CodeWalk's token and keys may be among its variables; no other program needs any of them.
    """
    return {
        name: value for name, value in environment.items() if not name.startswith(VARIABLE_PREFIX)
    }


def write_private(path: Path, text: str) -> None:
    """Write a small file that only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    # It may be left from a killed process with the same id, or a link that somebody else made.
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _secret(text: str | None) -> Secret | None:
    return Secret(text) if text else None


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


def _default_data_dir() -> str:
    # Imported here: it isn't needed where CODEWALK_DATA_DIR is set, and slows down each start.
    from platformdirs import user_data_dir

    return user_data_dir("codewalk", appauthor=False)
