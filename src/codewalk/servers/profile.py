"""A server profile, and the rules for its label and credentials."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from codewalk.errors import InvalidCredentials, InvalidValue
from codewalk.opencode.defaults import DEFAULT_USERNAME
from codewalk.secret import Secret
from codewalk.servers.health_check import DEFAULT_SETTINGS, HealthCheckSettings
from codewalk.servers.url import is_valid_unicode

PREVIOUS_REFERENCE: Final = "-"
"""The reference to the previously active server, as in `cd -`; no label may be the same."""

MAX_LABEL: Final = 100
"""Characters of a label."""

MAX_CREDENTIAL: Final = 1024
"""Characters of a user name or a password."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CREDENTIAL_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class NotifySetting(StrEnum):
    """The setting for notifications about a server, and for its live link."""

    ON = "on"
    """Notify; hold a link, however long the list is."""
    OFF = "off"
    """Don't notify; hold a link only while the server is active."""
    DEFAULT = "default"
    """Notify; hold a link while the server is among the first ones of the list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerProfile:
    """One OpenCode server as the user set it up.

    `id` is a UUID that never changes: a server's identity isn't its URL. `url` is normalised by
    `parse_url`. `basic_auth_password` is unsealed when it is revealed. Notifications are muted
    until `snoozed_until`.
    """

    id: str
    url: str
    label: str | None = None
    basic_auth_enabled: bool = False
    basic_auth_username: str = DEFAULT_USERNAME
    basic_auth_password: Secret | None = None
    managed: bool = False
    health_check: HealthCheckSettings = DEFAULT_SETTINGS
    snoozed_until: datetime | None = None
    notify: NotifySetting = NotifySetting.DEFAULT
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        """The label; without one the URL without its scheme."""
        return self.label or self.url.partition("://")[2]


def connects_differently(old: ServerProfile, new: ServerProfile) -> bool:
    """Return whether an edit changes the URL or the credentials: then older checks don't count."""
    if old is new:
        return False
    fields = ("url", "basic_auth_enabled", "basic_auth_username", "basic_auth_password")
    return any(getattr(old, field) != getattr(new, field) for field in fields)


def clean_label(text: str | None) -> str | None:
    """Return a label without surrounding white space, None for an empty one.

    Raises:
        InvalidValue: It is too long, has control characters, or is `-`.
    """
    label = (text or "").strip()
    if _CONTROL.search(label) or not is_valid_unicode(label):
        raise InvalidValue(
            "The label has a control character or invalid Unicode; use plain text.",
            value=label.encode(errors="replace").decode(),
        )
    if label == PREVIOUS_REFERENCE:
        raise InvalidValue(
            f"{PREVIOUS_REFERENCE!r} means the previously active server; give another label.",
            value=label,
        )
    if len(label) > MAX_LABEL:
        raise InvalidValue(
            f"The label has {len(label)} characters; at most {MAX_LABEL} are allowed.", value=label
        )
    return label or None


def check_credentials(username: str, password: Secret | None) -> None:
    """Raise `InvalidCredentials` for what Basic authentication can't carry (RFC 7617).

    Neither may have control characters, and the user name no colon.
    """
    if not username:
        raise InvalidCredentials("The user name is empty; an OpenCode server's is `opencode`.")
    if ":" in username:
        raise InvalidCredentials(
            "The user name has a colon, which Basic authentication can't carry."
        )
    secret = password.reveal() if password else ""
    for field, text in (("user name", username), ("password", secret)):
        if _CREDENTIAL_CONTROL.search(text) or not is_valid_unicode(text):
            raise InvalidCredentials(f"The {field} has a control character or invalid Unicode.")
        if len(text) > MAX_CREDENTIAL:
            raise InvalidCredentials(f"The {field} is over {MAX_CREDENTIAL:,} characters long.")
