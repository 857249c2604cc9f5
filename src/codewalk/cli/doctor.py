"""`codewalk doctor`: checks the installation, and changes nothing.

Each function imports what takes time to load: `codewalk --help` loads this module.
"""

import os
import platform
import stat
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from codewalk import __version__
from codewalk.cli.browser import can_open_browser
from codewalk.cli.errors import EXIT_FAILED
from codewalk.cli.instance import find_running
from codewalk.cli.log_file import configure_logging
from codewalk.cli.options import BuildOptions, Json, build_command
from codewalk.cli.output import is_terminal, print_result
from codewalk.cli.runner import show_spinner
from codewalk.cli.tables import doctor_table
from codewalk.errors import CodeWalkError, StorageError
from codewalk.health.proxies import proxy_variables
from codewalk.settings import DIRECTORY_MODE, FILE_MODE, Settings, environment_without_secrets

if TYPE_CHECKING:
    from codewalk.storage.keyring import Keyring

OPENCODE_TIMEOUT: Final = 15.0
"""Seconds that `opencode --version` may take; at its first start it unpacks itself."""

STORE_TIMEOUT: Final = 20.0
"""Seconds that reading the store and unlocking its passwords may take."""

_NOT_CREATED: Final = "not created yet; the first command that needs it creates it"


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorCheck:
    """The result of one check; `detail` is a sentence for a person."""

    name: str
    ok: bool
    detail: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def command(build_options: BuildOptions) -> Any:
    """Return the Click command."""
    return build_command(build_options, "doctor", _doctor, example="codewalk doctor")


def _doctor(as_json: Json = False) -> None:
    """Check what is installed, where data is stored, and what is wrong. Changes nothing."""
    import asyncio

    settings = Settings.from_environment()
    configure_logging(settings, to_stderr=not as_json)
    checks = asyncio.run(_run_with_spinner(settings))
    document = {"checks": [check.to_json() for check in checks]}
    rows = [(check.name, check.ok, check.detail) for check in checks]
    print_result(document, as_json=as_json, text=lambda: doctor_table(rows))
    if not all(check.ok for check in checks):
        raise typer.Exit(EXIT_FAILED)


async def _run_with_spinner(settings: Settings) -> list[DoctorCheck]:
    async with show_spinner("checking the installation"):
        return await run_checks(settings)


async def run_checks(settings: Settings, *, keyring: "Keyring | None" = None) -> list[DoctorCheck]:
    """Run all checks, the slow ones at the same time.

    Args:
        settings: The settings to check.
        keyring: The keyring to use; by default the system's.
    """
    import asyncio

    quick = (_check_python, _check_terminal, _check_browser, _check_proxies)
    return [
        *(check() for check in quick),
        *await asyncio.gather(
            asyncio.to_thread(_check_data_folder, settings),
            asyncio.to_thread(_check_token, settings),
            _check_store(settings, keyring),
            asyncio.to_thread(_check_backups, settings),
            asyncio.to_thread(_check_key, settings, keyring),
            asyncio.to_thread(_check_opencode, settings),
            asyncio.to_thread(_check_app, settings),
        ),
    ]


def _check_python() -> DoctorCheck:
    import sqlite3

    detail = (
        f"CodeWalk {__version__} on Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.machine()}"
    )
    return DoctorCheck(name="python", ok=sys.version_info >= (3, 11), detail=detail)


def _check_terminal() -> DoctorCheck:
    colour = "without colour (NO_COLOR)" if os.environ.get("NO_COLOR") else "with colour"
    detail = f"yes, {colour}" if is_terminal(sys.stdout) else "no: output is plain text"
    return DoctorCheck(name="terminal", ok=True, detail=f"{detail}, {sys.stdout.encoding}")


def _check_browser() -> DoctorCheck:
    can_open = can_open_browser(os.environ, sys.platform)
    detail = "can be opened" if can_open else "none; open the address that `up` prints elsewhere"
    return DoctorCheck(name="browser", ok=True, detail=detail)


def _check_proxies() -> DoctorCheck:
    names = ", ".join(proxy_variables(os.environ))
    detail = f"not used, though set: {names}" if names else "none set; CodeWalk uses none"
    return DoctorCheck(name="proxy", ok=True, detail=f"{detail}; servers are reached directly")


def _check_data_folder(settings: Settings) -> DoctorCheck:
    name, path = "data folder", settings.data_dir
    if not path.exists():
        return DoctorCheck(name=name, ok=True, detail=f"{path}: {_NOT_CREATED}")
    from codewalk.storage.backups import BACKUP_FOLDER

    backups = path / BACKUP_FOLDER
    readable_by_others = [
        *_wrong_modes((path,), DIRECTORY_MODE),
        *_wrong_modes(_files(path), FILE_MODE),
        *_wrong_modes([backups] if backups.is_dir() else [], DIRECTORY_MODE),
        *_wrong_modes(_files(backups), FILE_MODE),
    ]
    if readable_by_others:
        names = ", ".join(readable_by_others[:5])
        detail = f"{path}: other users may read {names}; make it private with `chmod go= …`"
        return DoctorCheck(name=name, ok=False, detail=detail)
    if not os.access(path, os.W_OK | os.X_OK):
        detail = f"{path}: not writable; check its owner"
        return DoctorCheck(name=name, ok=False, detail=detail)
    return DoctorCheck(name=name, ok=True, detail=f"{path}: private")


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []


def _wrong_modes(paths: Iterable[Path], mode: int) -> list[str]:
    if os.name != "posix":
        return []  # elsewhere the folder is protected by its place in the user's profile
    return [
        f"{path.name} ({stat.S_IMODE(path.stat().st_mode):04o})"
        for path in paths
        if stat.S_IMODE(path.stat().st_mode) & ~mode
    ]


def _check_token(settings: Settings) -> DoctorCheck:
    from codewalk.web.token import token_file

    path = token_file(settings)
    if settings.token is not None:
        detail = "from CODEWALK_TOKEN"
    elif path.exists():
        detail = f"in {path}"
    else:
        detail = "not created yet; the first `codewalk up` creates it"
    return DoctorCheck(name="token", ok=True, detail=detail)


async def _check_store(settings: Settings, keyring: "Keyring | None") -> DoctorCheck:
    import asyncio

    name = "store"
    try:
        async with asyncio.timeout(STORE_TIMEOUT):
            return DoctorCheck(name=name, ok=True, detail=await _describe_store(settings, keyring))
    except TimeoutError:
        detail = f"no answer within {STORE_TIMEOUT:g} s"
        return DoctorCheck(name=name, ok=False, detail=detail)
    except CodeWalkError as exc:
        return DoctorCheck(name=name, ok=False, detail=exc.message)


async def _describe_store(settings: Settings, keyring: "Keyring | None") -> str:
    """Open the store and all its passwords, and return what is in it."""
    from codewalk.storage.inspection import inspect_schema_version, open_unchanged
    from codewalk.storage.roster import RosterStore
    from codewalk.storage.tables import SCHEMA_VERSION
    from codewalk.storage.vault import Vault

    where = "CODEWALK_DATABASE_URL" if settings.database_url else str(settings.database_file)
    version = await inspect_schema_version(settings)
    if version is None:
        return f"{where}: {_NOT_CREATED}"
    if version != SCHEMA_VERSION:
        return f"{where}, schema {version}; the next command upgrades it to {SCHEMA_VERSION}"
    async with open_unchanged(settings) as database:
        vault = Vault(settings, keyring=keyring, read_only=True)
        profiles = (await RosterStore(database, vault).load()).profiles
        passwords = [p.basic_auth_password for p in profiles if p.basic_auth_password]
        if passwords:
            await vault.unlock()
        for password in passwords:
            password.reveal()  # raises StorageError for one that was sealed with another key
    counts = f"servers: {len(profiles)}, passwords: {len(passwords)}, all readable"
    return f"{where}, schema {version}, {counts}"


def _check_backups(settings: Settings) -> DoctorCheck:
    from codewalk.storage.backups import list_backups
    from codewalk.storage.location import SqliteFile, locate

    name = "backups"
    try:
        location = locate(settings)
    except StorageError as exc:
        return DoctorCheck(name=name, ok=False, detail=exc.message)
    if not isinstance(location, SqliteFile):
        return DoctorCheck(name=name, ok=True, detail="none: PostgreSQL has its own")
    folder, backups = location.backup_folder, list_backups(location.backup_folder, location.path)
    if not backups:
        detail = f"none in {folder} yet; each start of `codewalk up` makes one"
        return DoctorCheck(name=name, ok=True, detail=detail)
    names = ", ".join(f"{b.path.name} ({b.at:%Y-%m-%d %H:%M} UTC)" for b in backups)
    return DoctorCheck(name=name, ok=True, detail=f"in {folder}: {names}")


def _check_key(settings: Settings, keyring: "Keyring | None") -> DoctorCheck:
    from codewalk.storage.vault_key import KeySource, KeyStore

    name = "secret key"
    store = KeyStore(settings, keyring=keyring)
    try:
        key = store.find()
    except StorageError as exc:
        return DoctorCheck(name=name, ok=False, detail=exc.message)
    if key is None:
        detail = "not created yet; the first stored password creates it"
        return DoctorCheck(name=name, ok=True, detail=detail)
    details = {
        KeySource.ENVIRONMENT: "from CODEWALK_SECRET_KEY",
        KeySource.FILE: f"in {store.path}",
        KeySource.KEYRING: "in the system keyring",
    }
    return DoctorCheck(name=name, ok=True, detail=details[key.source])


def _check_opencode(settings: Settings) -> DoctorCheck:
    from codewalk.local.server import find_executable, missing_message

    name = "opencode"
    executable = find_executable(settings)
    if executable is None:
        # It is optional, unless the user has named one.
        detail = missing_message(settings)
        return DoctorCheck(name=name, ok=not settings.opencode, detail=detail)
    try:
        done = subprocess.run(
            [executable, "--version"],
            capture_output=True,
            check=True,
            env=environment_without_secrets(os.environ),
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=OPENCODE_TIMEOUT,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        detail = f"`{executable} --version` failed ({type(exc).__name__})"
        return DoctorCheck(name=name, ok=False, detail=detail)
    detail = f"{done.stdout.strip()[:50]} at {executable}"
    return DoctorCheck(name=name, ok=True, detail=detail)


def _check_app(settings: Settings) -> DoctorCheck:
    name = "app"
    try:
        running = find_running(settings)
    except CodeWalkError as exc:
        return DoctorCheck(name=name, ok=False, detail=exc.message)
    detail = f"running at {running.url} (pid {running.pid})" if running else "not running"
    if running and running.store and running.store.is_lost:
        detail += (
            f", but {running.store.path} isn't the file that it has open any more: it was deleted "
            "or replaced. Nothing can be saved; its pages say what helps"
        )
        return DoctorCheck(name=name, ok=False, detail=detail)
    return DoctorCheck(name=name, ok=True, detail=detail)
