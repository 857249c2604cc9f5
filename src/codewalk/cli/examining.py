"""The checks of `codewalk doctor`. None makes anything that isn't there."""

import asyncio
import os
import platform
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from codewalk import __version__
from codewalk.app.composition import open_app
from codewalk.cli.browser import can_open_browser
from codewalk.cli.instance import find_running
from codewalk.cli.log_file import configure_logging
from codewalk.cli.output import is_terminal
from codewalk.cli.runner import show_spinner
from codewalk.errors import CodeWalkError, StorageError
from codewalk.local.server import find_executable, missing_message
from codewalk.settings import DIRECTORY_MODE, FILE_MODE, Settings, environment_without_secrets
from codewalk.storage.tables import SCHEMA_VERSION
from codewalk.storage.vault_key import KeySource, KeyStore
from codewalk.web.token import token_file

_VERSION_SECONDS: Final = 15.0
"""How long `opencode --version` may take; its first start unpacks itself."""

_NOT_YET: Final = "not made yet; the first command that needs it does"


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorCheck:
    """One thing looked at; `detail` is for a person."""

    name: str
    ok: bool
    detail: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_checks(*, as_json: bool) -> list[DoctorCheck]:
    """Looks at everything."""
    settings = Settings.from_environment()
    configure_logging(settings, to_stderr=not as_json)
    quick = [_python(), _folder(settings), _token(settings), _terminal(), _browser()]
    made = settings.database_url is not None or settings.database_file.exists()
    return [*quick, *asyncio.run(_slower(settings, made=made))]


async def _slower(settings: Settings, *, made: bool) -> list[DoctorCheck]:
    async with show_spinner("looking"):
        return [
            await _store(settings) if made else _no_store(settings),
            await asyncio.to_thread(_key, settings),
            await asyncio.to_thread(_opencode, settings),
            await asyncio.to_thread(_running, settings),
        ]


def _python() -> DoctorCheck:
    detail = (
        f"CodeWalk {__version__} on Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.machine()}"
    )
    return DoctorCheck(name="python", ok=sys.version_info >= (3, 11), detail=detail)


def _folder(settings: Settings) -> DoctorCheck:
    path = settings.data_dir
    if not path.exists():
        return DoctorCheck(name="data folder", ok=True, detail=f"{path}: {_NOT_YET}")
    open_to_others = [
        *_wrong_modes((path,), DIRECTORY_MODE),
        *_wrong_modes(_files(path), FILE_MODE),
    ]
    if open_to_others:
        names = ", ".join(open_to_others[:5])
        detail = f"{path}: others may read {names}; take it away with `chmod go= …`"
        return DoctorCheck(name="data folder", ok=False, detail=detail)
    if not os.access(path, os.W_OK | os.X_OK):
        detail = f"{path}: can't be written to; check who owns it"
        return DoctorCheck(name="data folder", ok=False, detail=detail)
    return DoctorCheck(name="data folder", ok=True, detail=f"{path}: private")


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


def _wrong_modes(paths: Iterable[Path], mode: int) -> list[str]:
    if os.name != "posix":
        return []  # elsewhere the folder's place in the user's profile is what protects it
    return [
        f"{path.name} ({stat.S_IMODE(path.stat().st_mode):04o})"
        for path in paths
        if stat.S_IMODE(path.stat().st_mode) & ~mode
    ]


def _no_store(settings: Settings) -> DoctorCheck:
    return DoctorCheck(name="store", ok=True, detail=f"{settings.database_file}: {_NOT_YET}")


async def _store(settings: Settings) -> DoctorCheck:
    try:
        async with open_app(settings) as app:
            servers = app.servers()
            sealed = [server.profile for server in servers if server.profile.basic_auth_password]
            for profile in sealed:
                # A password under another key shows here.
                await app.unlock()
                if profile.basic_auth_password:
                    profile.basic_auth_password.reveal()
    except CodeWalkError as exc:
        return DoctorCheck(name="store", ok=False, detail=exc.message)
    where = settings.database_file if settings.database_url is None else "CODEWALK_DATABASE_URL's"
    counted = f"servers: {len(servers)}, passwords: {len(sealed)}, all readable"
    return DoctorCheck(name="store", ok=True, detail=f"{where}, schema {SCHEMA_VERSION}, {counted}")


def _key(settings: Settings) -> DoctorCheck:
    name = "secret key"
    store = KeyStore(settings)
    try:
        key = store.find()
    except StorageError as exc:
        return DoctorCheck(name=name, ok=False, detail=exc.message)
    if key is None:
        detail = "not made yet; the first stored password does"
        return DoctorCheck(name=name, ok=True, detail=detail)
    details = {
        KeySource.ENVIRONMENT: "from CODEWALK_SECRET_KEY",
        KeySource.FILE: f"in {store.path}",
        KeySource.KEYRING: "in this system's keyring",
    }
    return DoctorCheck(name=name, ok=True, detail=details[key.source])


def _opencode(settings: Settings) -> DoctorCheck:
    executable = find_executable(settings)
    if executable is None:
        detail = missing_message(settings)
        return DoctorCheck(name="opencode", ok=not settings.opencode, detail=detail)
    try:
        found = subprocess.run(
            [executable, "--version"],
            capture_output=True,
            check=True,
            env=environment_without_secrets(os.environ),
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_VERSION_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        detail = f"{executable} doesn't tell its version ({type(exc).__name__})"
        return DoctorCheck(name="opencode", ok=False, detail=detail)
    return DoctorCheck(
        name="opencode", ok=True, detail=f"{found.stdout.strip()[:50]} at {executable}"
    )


def _running(settings: Settings) -> DoctorCheck:
    try:
        running = find_running(settings)
    except CodeWalkError as exc:
        return DoctorCheck(name="app", ok=False, detail=exc.message)
    detail = f"runs at {running.url} (pid {running.pid})" if running else "doesn't run"
    return DoctorCheck(name="app", ok=True, detail=detail)


def _token(settings: Settings) -> DoctorCheck:
    path = token_file(settings)
    if settings.token is not None:
        detail = "from CODEWALK_TOKEN"
    else:
        detail = f"in {path}" if path.exists() else "not made yet; the first `codewalk up` does"
    return DoctorCheck(name="token", ok=True, detail=detail)


def _terminal() -> DoctorCheck:
    colour = "without colour (NO_COLOR)" if os.environ.get("NO_COLOR") else "with colour"
    detail = f"yes, {colour}" if is_terminal(sys.stdout) else "no: output is plain text"
    return DoctorCheck(name="terminal", ok=True, detail=f"{detail}, {sys.stdout.encoding}")


def _browser() -> DoctorCheck:
    shown = can_open_browser(os.environ, sys.platform)
    detail = "can be opened" if shown else "none here; open the address that `up` prints elsewhere"
    return DoctorCheck(name="browser", ok=True, detail=detail)
