"""The Flutter app's servers as values, from its preferences without the `flutter.` of the keys."""

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

DEFAULT_HOST: Final = "127.0.0.1"
PRIMARY: Final = "Primary server"

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_PARTS: Final = re.compile(r"([a-z][a-z0-9+.-]*://)?([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_EXPLICIT_PORT: Final = re.compile(r":[^\]]*$")


@dataclass(kw_only=True, slots=True)
class LegacyServers:
    """What has been read so far."""

    profiles: list[ServerProfile] = field(default_factory=list)
    active_id: str | None = None
    default_id: str | None = None
    warnings: list[str] = field(default_factory=list)


def read_single(preferences: Mapping[str, Any], now: datetime) -> LegacyServers:
    """The one server of the first releases, active and default; nothing where no key names one."""
    found = LegacyServers()
    host, port = _host(preferences, found), _port(preferences, found)
    if host is None and port is None:
        return found
    entry = {
        "url": _url(host or DEFAULT_HOST, port),
        "label": PRIMARY,
        "basicAuthEnabled": preferences.get("basic_auth_enabled"),
        "basicAuthUsername": preferences.get("basic_auth_username"),
        "basicAuthPassword": preferences.get("basic_auth_password"),
    }
    _add(found, "The server", entry, now)
    if found.profiles:
        found.active_id = found.default_id = found.profiles[0].id
    return found


def read_list(preferences: Mapping[str, Any], now: datetime) -> LegacyServers | None:
    """The servers of later releases; None where there is no list of them."""
    if "server_profiles" not in preferences:
        return None
    found = LegacyServers()
    entries = _decoded(preferences["server_profiles"])
    if not isinstance(entries, list):
        found.warnings.append("Its list of servers can't be read.")
        return found
    # Their ids may be any text; here they are UUIDs, so what points to them is mapped over.
    ids: dict[str, str] = {}
    for number, entry in enumerate(entries, 1):
        added = _add(found, f"Server {number}", _decoded(entry), now)
        if added:
            ids.setdefault(added[0], added[1])
    found.active_id = _pointer(preferences, "active_server_id", ids, found)
    found.default_id = _pointer(preferences, "default_server_id", ids, found)
    return found


def _decoded(value: object) -> Any:
    """The value itself, or what it says where it is a text of JSON, as Flutter keeps structures."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _pointer(
    preferences: Mapping[str, Any], key: str, ids: Mapping[str, str], found: LegacyServers
) -> str | None:
    value = preferences.get(key)
    if value in (None, ""):
        return None
    if isinstance(value, str) and value in ids:
        return ids[value]
    found.warnings.append(f"Its {key} names no server that was taken over.")
    return None


def _add(found: LegacyServers, name: str, entry: object, now: datetime) -> tuple[str, str] | None:
    """Adds the entry's profile; its id there and here, or None where it is left out."""
    if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
        found.warnings.append(f"{name} was left out: it has no URL.")
        return None
    try:
        parsed = parse_url(entry["url"])
    except CodeWalkError as exc:
        found.warnings.append(f"{name} was left out: {exc.message}")
        return None
    if any(p.url == parsed.url for p in found.profiles):
        found.warnings.append(f"{name} was left out: {parsed.url} is there already.")
        return None
    known = str(entry.get("id") or "")
    profile = ServerProfile(
        id=_new_id(known, found),
        url=parsed.url,
        label=_label(entry.get("label"), name, found),
        created_at=_moment(entry.get("createdAt"), now),
        updated_at=_moment(entry.get("updatedAt"), now),
    )
    profile = _with_auth(profile, entry, name, found)
    if parsed.password and profile.basic_auth_password is None:
        profile = _with_credentials(
            profile, True, parsed.username or DEFAULT_USERNAME, parsed.password, name, found
        )
    found.profiles.append(profile)
    return known, profile.id


def _new_id(known: str, found: LegacyServers) -> str:
    plain = known.strip().lower()
    if _UUID.fullmatch(plain) and all(p.id != plain for p in found.profiles):
        return plain
    return str(uuid4())


def _label(value: object, name: str, found: LegacyServers) -> str | None:
    if value is None:
        return None
    try:
        label = clean_label(value if isinstance(value, str) else "\0")
    except InvalidValue:
        found.warnings.append(f"{name} came without its label, which can't be used.")
        return None
    if label and any((p.label or "").casefold() == label.casefold() for p in found.profiles):
        found.warnings.append(f"{name} came without its label: {label!r} is there already.")
        return None
    return label


def _with_auth(
    profile: ServerProfile, entry: Mapping[str, Any], name: str, found: LegacyServers
) -> ServerProfile:
    enabled, username, password = (
        entry.get(key) for key in ("basicAuthEnabled", "basicAuthUsername", "basicAuthPassword")
    )
    if not (
        isinstance(enabled, bool | None)
        and isinstance(username, str | None)
        and isinstance(password, str | None)
    ):
        found.warnings.append(f"{name} came without its credentials, which can't be used.")
        return profile
    secret = Secret(password) if password else None
    return _with_credentials(
        profile, bool(enabled), username or DEFAULT_USERNAME, secret, name, found
    )


def _with_credentials(
    profile: ServerProfile,
    enabled: bool,
    username: str,
    password: Secret | None,
    name: str,
    found: LegacyServers,
) -> ServerProfile:
    try:
        check_credentials(username, password)
    except InvalidCredentials as exc:
        found.warnings.append(f"{name} came without its credentials: {exc.message}")
        return profile
    return replace(
        profile,
        basic_auth_enabled=enabled,
        basic_auth_username=username,
        basic_auth_password=password,
    )


def _moment(value: object, now: datetime) -> datetime:
    """Milliseconds since 1970 as a time; `now` for 0, which the app wrote for unknown, and for
    what is no such time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return now
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return now


def _host(preferences: Mapping[str, Any], found: LegacyServers) -> str | None:
    value = preferences.get("server_host")
    if value is None:
        return None
    if not isinstance(value, str):
        found.warnings.append("Its server_host is no text.")
        return None
    return value.strip() or None


def _port(preferences: Mapping[str, Any], found: LegacyServers) -> int | None:
    value = preferences.get("server_port")
    if value is None:
        return None
    text = str(value).strip() if isinstance(value, int | str) else ""
    if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) and 1 <= int(text) <= 65535:
        return int(text)
    found.warnings.append("Its server_port is no port.")
    return None


def _url(host: str, port: int | None) -> str:
    """The URL that host and port mean. The host may hold a port, or be a whole URL, which wins.

    Without any port it is OpenCode's own, except behind TLS: nobody serves that there.
    """
    with suppress(AddressValueError):
        host = f"[{IPv6Address(host)}]"
    # Taken apart by hand: the library's parser would tidy up what has to be refused.
    parts = _PARTS.fullmatch(host)
    scheme, place, rest = parts.groups("") if parts else ("", host, "")
    scheme = scheme.lower() or "http://"
    has_port = _EXPLICIT_PORT.search(place.rpartition("@")[2])
    if has_port or (port is None and scheme == "https://"):
        return f"{scheme}{place}{rest}"
    return f"{scheme}{place}:{port or DEFAULT_PORT}{rest}"
