"""Edits of a profile that overlap with what was changed elsewhere meanwhile.

An edit is made from values that were read earlier, by a form minutes ago. Fields that only one side
changed are merged; where both sides changed the same thing, nothing is saved and a person decides.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from codewalk.servers.profile import ServerProfile

EditableValues = Mapping[str, str | float | None]
"""The fields of a profile that an edit can change, by name; a password is its fingerprint."""

FIELD_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "url": "URL",
        "label": "label",
        "username": "user name",
        "password": "password",
        "notify": "notifications",
        "interval": "seconds between checks",
        "timeout": "seconds for a check",
        "rise": "good checks until healthy",
        "fall": "failed checks until unhealthy",
    }
)
"""The name of each field of `EditableValues` in messages, and of the settings in the form."""

_CONNECTION: Final = ("url", "username", "password")
"""Fields that belong together: credentials are sent to the URL that stands beside them."""


def editable_values(profile: ServerProfile) -> dict[str, str | float | None]:
    """Return the fields of a profile that an edit can change."""
    password = profile.basic_auth_password
    return {
        "url": profile.url,
        "label": profile.label,
        "username": profile.basic_auth_username,
        "password": None if password is None else password.fingerprint,
        "notify": profile.notify.value,
        **dict(profile.health_check.items()),
    }


def connection_values(profile: ServerProfile) -> dict[str, str | float | None]:
    """Return those of its `editable_values` that decide how a server is reached."""
    values = editable_values(profile)
    return {name: values[name] for name in _CONNECTION}


def conflicting_fields(
    base: EditableValues, current: ServerProfile, edited: ServerProfile
) -> list[str]:
    """Return the fields whose change elsewhere an edit would undo or hasn't taken into account.

    Args:
        base: The values that the edit was made from; fields that are absent aren't compared.
        current: The profile as it is now.
        edited: The profile as the edit would leave it.
    """
    now, then = editable_values(current), editable_values(edited)
    here = {name for name in now if then[name] != now[name]}
    elsewhere = {name for name in now if name in base and base[name] != now[name]}
    conflicts = here & elsewhere
    if not here.isdisjoint(_CONNECTION):
        conflicts |= elsewhere.intersection(_CONNECTION)
    return [name for name in FIELD_LABELS if name in conflicts]
