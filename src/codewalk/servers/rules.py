"""The rules that change the roster.

They are pure functions from a roster to another one: a change is decided in one place, inside
the store's transaction, from what is stored at that moment.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from codewalk.errors import (
    EditConflict,
    InvalidValue,
    ServerManaged,
)
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.servers.conflict import FIELD_LABELS, EditableValues, conflicting_fields
from codewalk.servers.profile import ServerProfile
from codewalk.servers.references import require_unambiguous_label, require_unique
from codewalk.servers.roster import Roster

StateOf = Callable[[str], State]
"""The health state of the server with this id."""

MAX_SNOOZE: Final = timedelta(days=366)
"""The longest snooze."""


def add(
    roster: Roster, profile: ServerProfile, *, activate: bool = False, default: bool = False
) -> Roster:
    """Add a profile at the end of the list; the first one becomes active.

    Raises:
        DuplicateServer: Another server has its URL or label.
    """
    require_unique(roster, profile)
    roster = replace(roster, profiles=(*roster.profiles, profile))
    if activate or roster.active is None:
        roster = switch(roster, profile.id)
    return set_default(roster, profile.id) if default else roster


def edit(
    roster: Roster,
    server_id: str,
    now: datetime,
    *,
    base: EditableValues | None = None,
    health_check: Mapping[str, float | None] | None = None,
    **changes: Any,
) -> Roster:
    """Change the named fields of a profile, and the named settings of its health check.

    Args:
        roster: The current roster.
        server_id: Whose profile is changed.
        now: The time of the change.
        base: The values that the change was made from; what was changed elsewhere since isn't
            overwritten.
        health_check: Settings of the health check by name, None for the default.
        changes: Fields of the profile by name.

    Raises:
        EditConflict: A change would overwrite one that was made elsewhere since `base` was read.
        ServerNotFound: No server has this id.
        DuplicateServer: Another server has the URL or label.
        InvalidValue: A setting is unknown or out of bounds.
    """
    old = roster.require(server_id)
    new = replace(old, health_check=old.health_check.with_changes(health_check or {}), **changes)
    if new == old:
        return roster
    if conflicts := conflicting_fields(base or {}, old, new):
        fields = ", ".join(FIELD_LABELS[name] for name in conflicts)
        raise EditConflict(
            f"{old.name!r} was changed elsewhere meanwhile ({fields}); nothing is saved.",
            value=server_id,
            fields=conflicts,
        )
    new = replace(new, updated_at=now)
    require_unique(roster, new)
    if new.label != old.label:
        require_unambiguous_label(roster, new)
    return replace(roster, profiles=tuple(new if p.id == server_id else p for p in roster.profiles))


def move(roster: Roster, server_id: str, before: str | None) -> Roster:
    """Move a server right before another in the list, or to its end.

    Raises:
        ServerNotFound: One of the ids is no server's.
    """
    moved = roster.require(server_id)
    if before == server_id:
        return roster
    others = [p for p in roster.profiles if p.id != server_id]
    place = len(others) if before is None else others.index(roster.require(before))
    return replace(roster, profiles=(*others[:place], moved, *others[place:]))


def move_by(roster: Roster, server_id: str, places: int) -> Roster:
    """Move a server by this many places, up where that is negative, and no further than the end.

    Raises:
        ServerNotFound: No server has this id.
    """
    moved = roster.require(server_id)
    others = [p for p in roster.profiles if p.id != server_id]
    place = max(0, roster.profiles.index(moved) + places)
    return replace(roster, profiles=(*others[:place], moved, *others[place:]))


def validate_snooze(until: datetime | None, now: datetime) -> None:
    """Raise `InvalidValue` for a time that has passed or is more than a year ahead."""
    if until is not None and not now < until <= now + MAX_SNOOZE:
        raise InvalidValue(
            "A snooze ends in the future, within a year.",
            value=until.isoformat(),
        )


def remove(roster: Roster, server_id: str, state_of: StateOf) -> Roster:
    """Remove a server. Where it was active, the fallback rule chooses the next one."""
    roster.require(server_id)
    left = replace(
        roster,
        profiles=tuple(p for p in roster.profiles if p.id != server_id),
        default_id=None if roster.default_id == server_id else roster.default_id,
        previous_id=None if roster.previous_id == server_id else roster.previous_id,
    )
    if left.active:
        return left
    successor = fallback(left, state_of)
    return replace(
        left,
        active_id=successor,
        previous_id=None if left.previous_id == successor else left.previous_id,
        generation=roster.generation + 1,
    )


def restore(roster: Roster, server_id: str, before: Roster) -> Roster:
    """Undo a removal; nothing changes where the server is back already.

    It gets its old place among the servers that are left, and is the default or the previous one
    again where no other is. It is active again only if no switch came after the removal.

    Args:
        roster: The roster without the server.
        server_id: The server that was removed.
        before: The roster from which it was removed.

    Raises:
        DuplicateServer: Another server has its URL or label by now.
    """
    if roster.get(server_id):
        return roster
    profile = before.require(server_id)
    require_unique(roster, profile)
    index = _old_index(roster, server_id, before)
    profiles = (*roster.profiles[:index], profile, *roster.profiles[index:])
    restored = replace(roster, profiles=profiles)
    if before.default_id == server_id and roster.get(roster.default_id) is None:
        restored = replace(restored, default_id=server_id)
    if before.previous_id == server_id and roster.get(roster.previous_id) is None:
        restored = replace(restored, previous_id=server_id)
    no_switch_since = restored.generation == before.generation + 1
    if restored.active and not (before.active_id == server_id and no_switch_since):
        return restored
    previous = restored.get(before.previous_id)
    return replace(
        restored,
        active_id=server_id,
        previous_id=previous.id if previous and previous.id != server_id else roster.previous_id,
        generation=restored.generation + 1,
    )


def _old_index(roster: Roster, server_id: str, before: Roster) -> int:
    """Return the index before the first of its old followers, else after its last predecessor."""
    ids = [p.id for p in before.profiles]
    old = ids.index(server_id)
    indexes = {p.id: index for index, p in enumerate(roster.profiles)}
    followers = [indexes[i] for i in ids[old + 1 :] if i in indexes]
    predecessors = [indexes[i] for i in ids[:old] if i in indexes]
    if followers:
        return followers[0]
    return predecessors[-1] + 1 if predecessors else len(indexes)


def fallback(roster: Roster, state_of: StateOf) -> str | None:
    """Return the id of the server that is active after the active one was removed.

    It is the default unless that is unhealthy, else the first healthy server in list order, else
    the first unknown one, else the first, else none.
    """
    # The stored id of the default may be no server's, so that it counts only where one has it.
    default = roster.get(roster.default_id)
    if default and state_of(default.id) is not State.UNHEALTHY:
        return default.id
    order = (State.HEALTHY, State.UNKNOWN, State.UNHEALTHY)
    ranked = sorted(roster.profiles, key=lambda p: order.index(state_of(p.id)))
    return ranked[0].id if ranked else None


def switch(roster: Roster, server_id: str) -> Roster:
    """Make a server active, under a new generation; nothing changes where it is already."""
    roster.require(server_id)
    if roster.active_id == server_id:
        return roster
    return replace(
        roster,
        active_id=server_id,
        previous_id=roster.active.id if roster.active else None,
        generation=roster.generation + 1,
    )


def start(roster: Roster) -> Roster:
    """Make the server active that is so after a start: the default, the last active, the first."""
    profile = roster.get(roster.default_id) or roster.active
    if profile is None and roster.profiles:
        profile = roster.profiles[0]
    return switch(roster, profile.id) if profile else replace(roster, active_id=None)


def set_default(roster: Roster, server_id: str | None) -> Roster:
    """Make a server the default, or none with None. Raises `ServerNotFound`."""
    if server_id is not None:
        roster.require(server_id)
    return replace(roster, default_id=server_id)


def mark_legacy_imported(roster: Roster) -> Roster:
    """Record that the Flutter app's servers were imported, so that it never happens again."""
    return replace(roster, legacy_imported=True)


def upsert_managed(
    roster: Roster, url: str, password: Secret, new: ServerProfile, now: datetime
) -> Roster:
    """Set URL and password of the managed server, or add it.

    Its profile, and so its id, stays the same over restarts, and with it whatever is stored for it.

    Args:
        roster: All servers.
        url: The URL of the running server.
        password: Its password.
        new: The profile to add where there is no managed server.
        now: When it is edited.

    Raises:
        DuplicateServer: Another server has the URL, or the label of `new`.
    """
    if managed := roster.managed:
        return edit(roster, managed.id, now, url=url, basic_auth_password=password)
    return add(roster, new)


def require_unmanaged(profile: ServerProfile, action: str) -> None:
    """Raise `ServerManaged` for the managed server. `action` is a participle: "edited"."""
    if profile.managed:
        raise ServerManaged(
            f"{profile.name!r} is the local server that CodeWalk manages; it can't be {action}. "
            "`codewalk up --no-local` runs without it.",
            value=profile.id,
        )
