"""From what a person entered to a profile, checked in full before anything is asked or kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from codewalk.errors import InvalidCredentials, InvalidInput, InvalidURL
from codewalk.opencode.defaults import DEFAULT_PORT, DEFAULT_USERNAME
from codewalk.secret import Secret
from codewalk.servers.profile import (
    NotifySetting,
    ServerProfile,
    check_credentials,
    clean_label,
    parse_url,
)

DEFAULT_URL: Final = f"http://127.0.0.1:{DEFAULT_PORT}"
"""Where one that was started by hand on this machine is likely to be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What to change of a profile: None leaves a field as it is.

    An empty `label` removes the label. `no_auth` drops the credentials, and goes with neither a
    user name nor a password. `health_check` has settings of `HealthCheckSettings` by name, None for
    the default. `notify` is as in a profile.
    """

    url: str | None = None
    label: str | None = None
    username: str | None = None
    password: Secret | None = None
    no_auth: bool = False
    health_check: Mapping[str, float | None] = field(default_factory=dict)
    notify: NotifySetting | None = None


def new_profile(
    url: str,
    *,
    label: str | None = None,
    username: str | None = None,
    password: Secret | None = None,
    now: datetime,
) -> ServerProfile:
    """A profile with an id of its own. Credentials in the URL count where none are given beside it.

    Raises `InvalidURL`, `InvalidValue` (the label), `InvalidCredentials`.
    """
    parsed = parse_url(url)
    username = username or parsed.username
    password = password or parsed.password
    profile = ServerProfile(
        id=str(uuid4()),
        url=parsed.url,
        label=clean_label(label),
        basic_auth_enabled=bool(username or password),
        basic_auth_username=username or DEFAULT_USERNAME,
        basic_auth_password=password,
        created_at=now,
        updated_at=now,
    )
    check_credentials(profile.basic_auth_username, password)
    return profile


def changed_fields(change: Change) -> dict[str, Any]:
    """What a change sets, as `roster.edit` takes it, validated as far as it can be here.

    Raises `InvalidURL`, `InvalidValue` (the label), `InvalidCredentials`, and `InvalidInput` for
    `no_auth` beside credentials.
    """
    fields: dict[str, Any] = {}
    if change.health_check:
        fields["health_check"] = change.health_check
    if change.notify is not None:
        fields["notify"] = change.notify
    username, password = change.username, change.password
    if change.url is not None:
        parsed = parse_url(change.url)
        fields["url"] = parsed.url
        username, password = username or parsed.username, password or parsed.password
    if change.username is not None and not change.username.strip():
        raise InvalidCredentials(
            "The user name is empty; to drop the credentials, use `--no-auth`."
        )
    if change.label is not None:
        fields["label"] = clean_label(change.label)
    if change.no_auth and (username or password):
        raise InvalidInput("Removing the credentials and setting them doesn't go together.")
    if change.no_auth:
        fields |= {
            "basic_auth_enabled": False,
            "basic_auth_username": DEFAULT_USERNAME,
            "basic_auth_password": None,
        }
    elif username or password:
        check_credentials(username or DEFAULT_USERNAME, password)
        fields["basic_auth_enabled"] = True
        fields |= {"basic_auth_username": username} if username else {}
        fields |= {"basic_auth_password": password} if password else {}
    return fields


def with_default_port(typed: str) -> str | None:
    """The normalised URL of the same place on OpenCode's usual port, to offer where nothing answers
    on the scheme's own; None where a port was typed, or this is no URL.

    `https` stays `https`, though an OpenCode server alone speaks plain HTTP: what a person meant
    to be encrypted isn't offered in the open. Credentials in the text aren't repeated.
    """
    try:
        parsed = parse_url(typed)
        if parsed.port is not None:
            return None
        parts = urlsplit(parsed.url)
        return parse_url(parts._replace(netloc=f"{parts.netloc}:{DEFAULT_PORT}").geturl()).url
    except InvalidURL:
        return None
