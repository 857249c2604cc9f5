"""The servers of the CodeWalk Flutter app, read from its preferences and never written there.

The app kept one server in single keys, later several as a JSON list. Flutter puts `flutter.` before
every key; on Linux and Windows the preferences are a JSON file, on macOS a property list.
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

_MALFORMED: Final = (
    # The property list reader lets its own slips through, besides what it means to raise.
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
    """What was found in `source`.

    `profiles` have different URLs, labels and ids; `active_id` and `default_id` are among them.
    `warnings` say what was left out and why, one sentence each; no password is in them.
    """

    profiles: tuple[ServerProfile, ...] = ()
    active_id: str | None = None
    default_id: str | None = None
    warnings: tuple[str, ...] = ()
    source: Path


class _Unreadable(Exception):
    """The file can't be used; the text says why."""


def read_legacy(settings: Settings, now: datetime) -> LegacyImport | None:
    """The Flutter app's servers; None where it left no file. Blocks; never raises for bad content.

    `now` stands in for times that are missing. The file's bytes and times stay as they are.
    """
    source = settings.legacy_preferences or _own_place()
    try:
        preferences = _load(source)
    except FileNotFoundError:
        return None
    except (OSError, _Unreadable) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        return LegacyImport(source=source, warnings=(f"It can't be read: {why}.",))
    found = _read(preferences, now)
    return LegacyImport(
        source=source,
        profiles=tuple(found.profiles),
        active_id=found.active_id,
        default_id=found.default_id,
        warnings=tuple(found.warnings),
    )


def _read(preferences: Mapping[str, Any], now: datetime) -> LegacyServers:
    """The list of servers, where there is one; else the single server that came before it."""
    found = read_list(preferences, now)
    if found is None:
        return read_single(preferences, now)
    if found.profiles or not found.warnings:
        # An empty list is an answer too: the single keys may name a server long removed.
        return found
    single = read_single(preferences, now)
    return LegacyServers(
        profiles=single.profiles,
        active_id=single.active_id,
        default_id=single.default_id,
        warnings=[*found.warnings, *single.warnings],
    )


def _own_place() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Preferences" / f"{_APP}.plist"
    # Imported here: a named file has no need of it, and start-up time is felt.
    from platformdirs import user_data_dir

    return Path(user_data_dir(_APP, appauthor=False, roaming=True)) / "shared_preferences.json"


def _load(path: Path) -> dict[str, Any]:
    """The file's `flutter.` keys, without that. Raises `OSError` and `_Unreadable`."""
    data = _bytes(path)
    try:
        if data.startswith((b"bplist00", b"<?xml")):
            content = plistlib.loads(data)
        else:
            content = json.loads(data)
    except RecursionError:
        raise _Unreadable("it is nested too deep") from None
    except json.JSONDecodeError as exc:
        raise _Unreadable(f"it is no JSON (line {exc.lineno})") from exc
    except _MALFORMED as exc:
        raise _Unreadable("it is neither JSON nor a property list") from exc
    if not isinstance(content, dict):
        raise _Unreadable("it holds no preferences")
    return {
        key.removeprefix(_PREFIX): value
        for key, value in content.items()
        if isinstance(key, str) and key.startswith(_PREFIX)
    }


def _bytes(path: Path) -> bytes:
    info = path.stat()
    # Looked at before it is opened: opening a pipe or a device can hang, or do something.
    if not stat.S_ISREG(info.st_mode):
        raise _Unreadable("it is no regular file")
    with os.fdopen(_open_quietly(path), "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _Unreadable(f"it is over {MAX_BYTES // 2**20} MiB")
    return data


def _open_quietly(path: Path) -> int:
    """For reading; where the system can, without a trace in the time of last access."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        return os.open(path, flags)
