"""New profiles and changes of profiles from what a user typed, validated in full."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from codewalk.errors import InvalidCredentials, InvalidInput, InvalidURL
from codewalk.opencode.defaults import DEFAULT_PORT, DEFAULT_USERNAME
from codewalk.reason import CLOSED_WITHOUT_ANSWER, NO_ANSWER, Reason
from codewalk.secret import Secret
from codewalk.servers.profile import NotifySetting, ServerProfile, check_credentials, clean_label
from codewalk.servers.url import base_url, parse_url

DEFAULT_URL: Final = f"http://127.0.0.1:{DEFAULT_PORT}"
"""The URL of a server that was started by hand on this machine."""


_ANSWERED: Final = frozenset(
    {
        Reason.AUTH_REQUIRED,
        Reason.AUTH_REJECTED,
        Reason.NOT_OPENCODE,
        Reason.SERVER_ERROR,
        Reason.INCOMPATIBLE,
    }
)
"""Failures of a check in which something answers at the port."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """The changes to a profile. None leaves a field as it is.

    Attributes:
        url: The new URL, with or without credentials.
        label: The new label; an empty one removes it.
        username: The new user name.
        password: The new password.
        no_auth: Whether to remove the credentials; not together with new ones.
        health_check: New settings of `HealthCheckSettings` by name; None is the default.
        notify: When to notify about the server.
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
    """Return a profile with a new id.

    Args:
        url: What the user typed. Credentials in it count where none are given beside it.
        label: None or empty for none.
        username: None or empty for OpenCode's default, where there is a password.
        password: None for none.
        now: When the profile is created.

    Raises:
        InvalidURL: The URL is no server's.
        InvalidValue: The label is too long or has control characters.
        InvalidCredentials: Basic authentication can't carry them.
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
    """Return the changed fields of the profile, as `roster.edit` takes them.

    Raises:
        InvalidURL: The URL is no server's.
        InvalidValue: The label is too long or has control characters.
        InvalidCredentials: Basic authentication can't carry them.
        InvalidInput: `no_auth` comes together with credentials.
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
        raise InvalidCredentials("The user name is empty; `--no-auth` removes the credentials.")
    if change.label is not None:
        fields["label"] = clean_label(change.label)
    if change.no_auth and (username or password):
        raise InvalidInput("Credentials can be removed or set, not both at once.")
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
    """Return the same URL on OpenCode's default port, without credentials.

    `https` stays `https`, though OpenCode itself speaks plain HTTP only: whoever wants encryption
    isn't offered anything less.

    Returns:
        None where a port was typed, or where it is no URL.
    """
    try:
        parsed = parse_url(typed)
        if parsed.port is not None:
            return None
        parts = urlsplit(parsed.url)
        return parse_url(parts._replace(netloc=f"{parts.netloc}:{DEFAULT_PORT}").geturl()).url
    except InvalidURL:
        return None


def suggest_url(typed: str, reason: Reason, detail: str | None = None) -> str | None:
    """Return another URL to try after a check that failed, None where there is none.

    Where nothing answers and no port was typed, it is on OpenCode's default port. Where something
    answers, or there too, it is without the path of a web page or of the API. Where the port uses
    TLS, or closes the connection as ports with TLS do, it begins with `https`.

    Args:
        typed: The URL as the user typed it.
        reason: Why the check failed.
        detail: The detail of its result.
    """
    try:
        parsed = parse_url(typed)
    except InvalidURL as exc:
        return exc.suggestion
    base = base_url(parsed.url)
    is_closed = reason is Reason.UNREACHABLE and CLOSED_WITHOUT_ANSWER in (detail or "")
    if reason is Reason.TLS or (is_closed and parsed.port is not None):
        return _with_https(base or parsed.url, parsed.port)
    if reason in NO_ANSWER:
        return with_default_port(typed) and with_default_port(base or typed)
    return base if reason in _ANSWERED else None


def _with_https(url: str, port: int | None) -> str | None:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return None
    netloc = f"{parts.netloc}:{port}" if port and parts.port is None else parts.netloc
    return parse_url(parts._replace(scheme="https", netloc=netloc).geturl()).url


def explain_suggestion(typed: str, suggestion: str) -> str:
    """Return why `suggestion` is offered in place of what was typed: a sentence."""
    try:
        parsed = parse_url(typed)
    except InvalidURL:
        return "This URL is in what was typed."
    if suggestion.startswith("https:") and parsed.url.startswith("http:"):
        return "The port uses TLS, or may do so."
    if parsed.port is None and urlsplit(suggestion).port == DEFAULT_PORT:
        return f"The default port of OpenCode is {DEFAULT_PORT}."
    return "A server's URL has neither the path of a page nor a query."
