"""What differs between two rosters, as rows to write."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codewalk.secret import Secret
from codewalk.servers.health_check import DEFAULT_SETTINGS, HealthCheckSettings
from codewalk.servers.profile import NotifySetting, ServerProfile
from codewalk.servers.roster import Roster
from codewalk.storage import tables


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """From `old` to `new`, profile by profile.

    `resealed` are the ids whose password is another object than before: only those are encrypted
    anew. `reordered` is set unless every old profile that stays kept its place among the others
    and every new one stands at the end.
    """

    inserted: tuple[ServerProfile, ...]
    changed: tuple[ServerProfile, ...]
    removed: tuple[str, ...]
    resealed: frozenset[str]
    reordered: bool
    pointers: Mapping[str, str | None]

    @property
    def to_seal(self) -> dict[str, Secret]:
        """The passwords that must be encrypted, by server id."""
        return {
            p.id: p.basic_auth_password
            for p in (*self.inserted, *self.changed)
            if p.id in self.resealed and p.basic_auth_password is not None
        }


def changes(old: Roster, new: Roster) -> Changes:
    """What turns `old` into `new`; unchanged profiles, be they thousands, cost next to nothing."""
    before = {p.id: p for p in old.profiles}
    after = {p.id for p in new.profiles}
    inserted = tuple(p for p in new.profiles if p.id not in before)
    changed = tuple(
        p for p in new.profiles if p.id in before and p is not before[p.id] and p != before[p.id]
    )
    stayed = [p.id for p in old.profiles if p.id in after]
    pointed = pointer_values(old)
    return Changes(
        inserted=inserted,
        changed=changed,
        # In one order for every process: two that remove at once then can't block each other.
        removed=tuple(sorted(before.keys() - after)),
        resealed=frozenset(
            p.id
            for p in (*inserted, *changed)
            if p.id not in before or p.basic_auth_password is not before[p.id].basic_auth_password
        ),
        reordered=[p.id for p in new.profiles] != [*stayed, *(p.id for p in inserted)],
        pointers={k: v for k, v in pointer_values(new).items() if v != pointed[k]},
    )


def pointer_values(roster: Roster) -> dict[str, str | None]:
    """The roster's scalars as the pointers table keeps them."""
    return {
        tables.ACTIVE_SERVER_ID: roster.active_id,
        tables.DEFAULT_SERVER_ID: roster.default_id,
        tables.PREVIOUS_SERVER_ID: roster.previous_id,
        tables.GENERATION: str(roster.generation),
        tables.REVISION: str(roster.revision),
        tables.LEGACY_IMPORTED: "1" if roster.legacy_imported else None,
    }


def profile_row(profile: ServerProfile) -> dict[str, Any]:
    """A row of the servers table but for its password and position."""
    return {
        "id": profile.id,
        "url": profile.url,
        "label": profile.label,
        "label_key": profile.label.casefold() if profile.label else None,
        "basic_auth_enabled": profile.basic_auth_enabled,
        "basic_auth_username": profile.basic_auth_username,
        "managed": profile.managed,
        **_check_columns(profile.health_check),
        "snoozed_until": None
        if profile.snoozed_until is None
        else tables.to_micros(profile.snoozed_until),
        "notify": None if profile.notify is NotifySetting.DEFAULT else profile.notify.value,
        "created_at": tables.to_micros(profile.created_at),
        "updated_at": tables.to_micros(profile.updated_at),
    }


def _check_columns(settings: HealthCheckSettings) -> dict[str, float | None]:
    """NULL for a default: a later default then goes for those who never chose."""
    return {
        f"check_{name}": None if value == getattr(DEFAULT_SETTINGS, name) else value
        for name, value in settings.items()
    }
