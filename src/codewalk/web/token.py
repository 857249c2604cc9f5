"""The access token of the local app and its API."""

import re
import secrets
from pathlib import Path
from typing import Final

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.settings import FILE_MODE, Settings, write_private

_VALID_TOKEN: Final = re.compile(r"[\x21-\x7e]{16,1024}")
"""A token in a file: visible ASCII, and too long to guess."""


def token_file(settings: Settings) -> Path:
    """Return the file that stores the token, unless `CODEWALK_TOKEN` gives it."""
    return settings.data_dir / "token"


def load_token(settings: Settings) -> Secret:
    """Return the token of `CODEWALK_TOKEN`, else that of the token file, which is made if needed.

    A file that other users may read is made private; one without a valid token is replaced.

    Raises:
        StorageError: The file can't be read or written.
    """
    if settings.token is not None:
        return settings.token
    path = token_file(settings)
    try:
        if (stored := _read(path)) is not None:
            return stored
        settings.make_data_dir()
        write_private(path, secrets.token_urlsafe(32) + "\n")
        # Read again: of two processes that write it at the same time, the last one wins.
        token = _read(path)
    except OSError as exc:
        raise _unusable(path, exc.strerror or type(exc).__name__) from exc
    if token is None:
        raise _unusable(path, "it doesn't hold what was written")
    return token


def _read(path: Path) -> Secret | None:
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(FILE_MODE)
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return Secret(text) if _VALID_TOKEN.fullmatch(text) else None


def _unusable(path: Path, reason: str) -> StorageError:
    return StorageError(
        f"The token file {path} can't be used: {reason}. "
        "Set CODEWALK_TOKEN to a token of your own.",
        value=str(path),
    )
