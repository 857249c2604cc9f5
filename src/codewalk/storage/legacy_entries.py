"""Parses the servers in the Flutter app's preferences, whose keys come without `flutter.`."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv6Address
from typing import Any, Final
from uuid import uuid4

from codewalk.errors import CodeWalkError, InvalidCredentials, InvalidValue
from codewalk.opencode.defaults import DEFAULT_PORT, DEFAULT_USERNAME
from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile, check_credentials, clean_label
from codewalk.servers.url import parse_url

_DEFAULT_HOST: Final = "127.0.0.1"
_SINGLE_SERVER_LABEL: Final = "Primary server"

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_URL_PARTS: Final = re.compile(r"([a-z][a-z0-9+.-]*://)?([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_EXPLICIT_PORT: Final = re.compile(r":[^\]]*$")


@dataclass(kw_only=True, slots=True)
class LegacyServers:
    """The servers that have been read so far, and what was left out."""

    profiles: list[ServerProfile] = field(default_factory=list)
    active_id: str | None = None
    default_id: str | None = None
    warnings: list[str] = field(default_factory=list)


def read_single(preferences: Mapping[str, Any], now: datetime) -> LegacyServers:
    """Read the one server of the first releases, which is active and default, if there is one."""
    servers = LegacyServers()
    host, port = _host(preferences, servers), _port(preferences, servers)
    if host is None and port is None:
        return servers
    entry = {
        "url": _url(host or _DEFAULT_HOST, port),
        "label": _SINGLE_SERVER_LABEL,
        "basicAuthEnabled": preferences.get("basic_auth_enabled"),
        "basicAuthUsername": preferences.get("basic_auth_username"),
        "basicAuthPassword": preferences.get("basic_auth_password"),
    }
    _add(servers, "The server", entry, now)
    if servers.profiles:
        servers.active_id = servers.default_id = servers.profiles[0].id
    return servers


def read_list(preferences: Mapping[str, Any], now: datetime) -> LegacyServers | None:
    """Read the servers of later releases; None where there is no list of them."""
    if "server_profiles" not in preferences:
        return None
    servers = LegacyServers()
    entries = _decode(preferences["server_profiles"])
    if not isinstance(entries, list):
        servers.warnings.append("Its list of servers can't be read.")
        return servers
    # Their ids may be any text; here they are UUIDs, so references to them are mapped.
    ids: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        added = _add(servers, f"Server {number}", _decode(entry), now)
        if added:
            ids.setdefault(added[0], added[1])
    servers.active_id = _pointer(preferences, "active_server_id", ids, servers)
    servers.default_id = _pointer(preferences, "default_server_id", ids, servers)
    return servers


def _decode(value: object) -> Any:
    """Return the value, parsed where it is a JSON text: Flutter stores structures so."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _pointer(
    preferences: Mapping[str, Any], key: str, ids: Mapping[str, str], servers: LegacyServers
) -> str | None:
    value = preferences.get(key)
    if value in (None, ""):
        return None
    if isinstance(value, str) and value in ids:
        return ids[value]
    servers.warnings.append(f"Its {key} names no server that was imported.")
    return None


def _add(servers: LegacyServers, name: str, entry: object, now: datetime) -> tuple[str, str] | None:
    """Add the entry's profile; return its old and new id, or None where it is left out."""
    if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
        servers.warnings.append(f"{name} was left out: it has no URL.")
        return None
    try:
        parsed = parse_url(entry["url"])
    except CodeWalkError as exc:
        servers.warnings.append(f"{name} was left out: {exc.message}")
        return None
    if any(p.url == parsed.url for p in servers.profiles):
        servers.warnings.append(f"{name} was left out: another server has the URL {parsed.url}.")
        return None
    old_id = str(entry.get("id") or "")
    profile = ServerProfile(
        id=_new_id(old_id, servers),
        url=parsed.url,
        label=_label(entry.get("label"), name, servers),
        created_at=_parse_time(entry.get("createdAt"), now),
        updated_at=_parse_time(entry.get("updatedAt"), now),
    )
    profile = _with_auth(profile, entry, name, servers)
    if parsed.password and profile.basic_auth_password is None:
        profile = _with_credentials(
            profile, True, parsed.username or DEFAULT_USERNAME, parsed.password, name, servers
        )
    servers.profiles.append(profile)
    return old_id, profile.id


def _new_id(old_id: str, servers: LegacyServers) -> str:
    plain = old_id.strip().lower()
    if _UUID.fullmatch(plain) and all(p.id != plain for p in servers.profiles):
        return plain
    return str(uuid4())


def _label(value: object, name: str, servers: LegacyServers) -> str | None:
    if value is None:
        return None
    try:
        label = clean_label(value if isinstance(value, str) else "\0")
    except InvalidValue:
        servers.warnings.append(f"{name} was imported without its label, which can't be used.")
        return None
    if label and any((p.label or "").casefold() == label.casefold() for p in servers.profiles):
        servers.warnings.append(
            f"{name} was imported without its label: another server has the label {label!r}."
        )
        return None
    return label


def _with_auth(
    profile: ServerProfile, entry: Mapping[str, Any], name: str, servers: LegacyServers
) -> ServerProfile:
    enabled, username, password = (
        entry.get(key) for key in ("basicAuthEnabled", "basicAuthUsername", "basicAuthPassword")
    )
    if not (
        isinstance(enabled, bool | None)
        and isinstance(username, str | None)
        and isinstance(password, str | None)
    ):
        servers.warnings.append(
            f"{name} was imported without its credentials, which can't be used."
        )
        return profile
    secret = Secret(password) if password else None
    return _with_credentials(
        profile, bool(enabled), username or DEFAULT_USERNAME, secret, name, servers
    )


def _with_credentials(
    profile: ServerProfile,
    enabled: bool,
    username: str,
    password: Secret | None,
    name: str,
    servers: LegacyServers,
) -> ServerProfile:
    try:
        check_credentials(username, password)
    except InvalidCredentials as exc:
        servers.warnings.append(f"{name} was imported without its credentials: {exc.message}")
        return profile
    return replace(
        profile,
        basic_auth_enabled=enabled,
        basic_auth_username=username,
        basic_auth_password=password,
    )


def _parse_time(value: object, now: datetime) -> datetime:
    """Return the time for milliseconds since 1970; `now` for 0, the app's unknown, and no time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return now
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return now


def _host(preferences: Mapping[str, Any], servers: LegacyServers) -> str | None:
    value = preferences.get("server_host")
    if value is None:
        return None
    if not isinstance(value, str):
        servers.warnings.append("Its server_host isn't text.")
        return None
    return value.strip() or None


def _port(preferences: Mapping[str, Any], servers: LegacyServers) -> int | None:
    value = preferences.get("server_port")
    if value is None:
        return None
    text = str(value).strip() if isinstance(value, int | str) else ""
    if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) and 1 <= int(text) <= 65535:
        return int(text)
    servers.warnings.append("Its server_port isn't a port.")
    return None


def _url(host: str, port: int | None) -> str:
    """Return the URL for host and port. The host may have a port, or be a whole URL, which wins.

    Without any port it is OpenCode's own, except behind TLS, where nobody uses that.
    """
    with suppress(AddressValueError):
        host = f"[{IPv6Address(host)}]"
    # Not by the library's parser: it would repair what has to be refused.
    parts = _URL_PARTS.fullmatch(host)
    scheme, authority, rest = parts.groups("") if parts else ("", host, "")
    scheme = scheme.lower() or "http://"
    has_port = _EXPLICIT_PORT.search(authority.rpartition("@")[2])
    if has_port or (port is None and scheme == "https://"):
        return f"{scheme}{authority}{rest}"
    return f"{scheme}{authority}:{port or DEFAULT_PORT}{rest}"
