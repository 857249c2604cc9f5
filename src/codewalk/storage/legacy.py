"""The servers of the CodeWalk Flutter app, read from its preferences, which are never written.

The app stored one server in single keys, later several as a JSON list. Flutter puts `flutter.`
before every key; on Linux and Windows the preferences are a JSON file, on macOS a property list.
"""

import json
import os
import plistlib
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from xml.parsers.expat import ExpatError

from codewalk.servers.profile import ServerProfile
from codewalk.settings import Settings
from codewalk.storage.legacy_entries import LegacyServers, read_list, read_single

MAX_BYTES: Final = 2**20
"""Size of the preferences above which they are not read."""

_PARSE_ERRORS: Final = (
    # The parser of property lists fails on some files in ways that it doesn't document.
    plistlib.InvalidFileException,
    ExpatError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)

_APP: Final = "com.verseles.codewalk"
_PREFIX: Final = "flutter."


@dataclass(frozen=True, kw_only=True, slots=True)
class LegacyImport:
    """The servers that were read.

    Attributes:
        profiles: Have different URLs, labels and ids.
        active_id: The id of one of them, if one was active.
        default_id: The id of one of them, if one was the default.
        warnings: What was left out and why, one sentence each, without passwords.
        source: The file that was read.
    """

    profiles: tuple[ServerProfile, ...] = ()
    active_id: str | None = None
    default_id: str | None = None
    warnings: tuple[str, ...] = ()
    source: Path


class _UnreadableFile(Exception):
    """The file can't be used; the text says why."""


def read_legacy(settings: Settings, now: datetime) -> LegacyImport | None:
    """Read the Flutter app's servers. Blocks; the file's bytes and times stay as they are.

    Args:
        settings: May name the file.
        now: Stands for times that are missing.

    Returns:
        What was read, with a warning for all that can't be; None where there is no file.
    """
    source = settings.legacy_preferences or _default_path()
    try:
        preferences = _load(source)
    except FileNotFoundError:
        return None
    except (OSError, _UnreadableFile) as exc:
        problem = exc.strerror if isinstance(exc, OSError) else exc
        return LegacyImport(source=source, warnings=(f"It can't be read: {problem}.",))
    servers = _read(preferences, now)
    return LegacyImport(
        source=source,
        profiles=tuple(servers.profiles),
        active_id=servers.active_id,
        default_id=servers.default_id,
        warnings=tuple(servers.warnings),
    )


def _read(preferences: Mapping[str, Any], now: datetime) -> LegacyServers:
    """Read the list of servers, where there is one; else the single server of older releases."""
    servers = read_list(preferences, now)
    if servers is None:
        return read_single(preferences, now)
    if servers.profiles or not servers.warnings:
        # An empty list counts too: the single keys may name a server that was removed long ago.
        return servers
    single = read_single(preferences, now)
    return LegacyServers(
        profiles=single.profiles,
        active_id=single.active_id,
        default_id=single.default_id,
        warnings=[*servers.warnings, *single.warnings],
    )


def _default_path() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Preferences" / f"{_APP}.plist"
    # Imported here: it isn't needed where the file is named, and slows down each start.
    from platformdirs import user_data_dir

    return Path(user_data_dir(_APP, appauthor=False, roaming=True)) / "shared_preferences.json"


def _load(path: Path) -> dict[str, Any]:
    """Return the values under the file's `flutter.` keys, by key without that prefix.

    Raises:
        OSError: The file can't be read.
        _UnreadableFile: It has no preferences.
    """
    data = _read_bytes(path)
    try:
        if data.startswith((b"bplist00", b"<?xml")):
            content = plistlib.loads(data)
        else:
            content = json.loads(data)
    except RecursionError:
        raise _UnreadableFile("it is nested too deep") from None
    except json.JSONDecodeError as exc:
        raise _UnreadableFile(f"it isn't JSON (line {exc.lineno})") from exc
    except _PARSE_ERRORS as exc:
        raise _UnreadableFile("it is neither JSON nor a property list") from exc
    if not isinstance(content, dict):
        raise _UnreadableFile("it has no preferences")
    return {
        key.removeprefix(_PREFIX): value
        for key, value in content.items()
        if isinstance(key, str) and key.startswith(_PREFIX)
    }


def _read_bytes(path: Path) -> bytes:
    info = path.stat()
    # Before it is opened: opening a pipe or a device can hang, or have an effect.
    if not stat.S_ISREG(info.st_mode):
        raise _UnreadableFile("it isn't a regular file")
    with os.fdopen(_open_untraced(path), "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _UnreadableFile(f"it is larger than {MAX_BYTES // 2**20} MiB")
    return data


def _open_untraced(path: Path) -> int:
    """Open for reading, where possible without changing the file's time of last access."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        return os.open(path, flags)
