"""The access token of the local app and its API."""

import re
import secrets
from pathlib import Path
from typing import Final

from codewalk.errors import StorageError
from codewalk.secret import Secret
from codewalk.settings import FILE_MODE, Settings, write_private

_GOOD: Final = re.compile(r"[\x21-\x7e]{16,1024}")
"""What a token file must hold to count: visible ASCII, too long to guess."""


def token_file(settings: Settings) -> Path:
    """Where the token is kept, unless `CODEWALK_TOKEN` gives it."""
    return settings.data_dir / "token"


def load_token(settings: Settings) -> Secret:
    """The token of `CODEWALK_TOKEN`, else the one kept in the data folder, made on first need.

    A file that others may read is made private; one that holds no token is written anew.
    Raises `StorageError`.
    """
    if settings.token is not None:
        return settings.token
    path = token_file(settings)
    try:
        if (kept := _read(path)) is not None:
            return kept
        settings.make_data_dir()
        write_private(path, secrets.token_urlsafe(32) + "\n")
        # Read back: of two processes that make it at the same moment, the last one's counts.
        made = _read(path)
    except OSError as exc:
        raise _unusable(path, exc.strerror or type(exc).__name__) from exc
    if made is None:
        raise _unusable(path, "it doesn't hold what was written")
    return made


def _read(path: Path) -> Secret | None:
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(FILE_MODE)
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return Secret(text) if _GOOD.fullmatch(text) else None


def _unusable(path: Path, why: str) -> StorageError:
    return StorageError(
        f"The token file {path} can't be used: {why}. Set CODEWALK_TOKEN to a token of your own.",
        value=str(path),
    )
