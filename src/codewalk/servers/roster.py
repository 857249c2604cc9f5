"""The set of servers as one value, and the rules that change it.

Pure: every rule takes a roster and returns another, so that a change is decided in one place,
inside the store's transaction, from what is really there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from codewalk.errors import (
    AmbiguousReference,
    DuplicateServer,
    InvalidURL,
    InvalidValue,
    ServerManaged,
    ServerNotFound,
)
from codewalk.reason import State
from codewalk.secret import Secret
from codewalk.servers.profile import PREVIOUS_REFERENCE, ServerProfile, parse_url, redact_url

MAX_SNOOZE: Final = timedelta(days=366)

StateOf = Callable[[str], State]
"""The health state of the server with this id."""

Rule = Callable[["Roster"], "Roster"]
"""A pure change of the roster; it raises where it refuses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Roster:
    """All servers in list order, and which one is what.

    `generation` counts the switches, `revision` the changes of any kind; both only grow.
    `legacy_imported` tells that the Flutter app's servers were taken over once.
    """

    profiles: tuple[ServerProfile, ...] = ()
    active_id: str | None = None
    default_id: str | None = None
    previous_id: str | None = None
    generation: int = 0
    revision: int = 0
    legacy_imported: bool = False

    def get(self, server_id: str | None) -> ServerProfile | None:
        return next((p for p in self.profiles if p.id == server_id), None)

    def require(self, server_id: str) -> ServerProfile:
        """The profile with this id. Raises `ServerNotFound`."""
        profile = self.get(server_id)
        if profile is None:
            raise ServerNotFound(f"No server has the id {server_id!r}.", value=server_id)
        return profile

    @property
    def active(self) -> ServerProfile | None:
        return self.get(self.active_id)

    @property
    def managed(self) -> ServerProfile | None:
        return next((p for p in self.profiles if p.managed), None)


def find(roster: Roster, reference: str) -> ServerProfile:
    """The server that `reference` names: an id, a label (any case), a URL, a unique id prefix, or
    `-` for the previously active one.

    Raises `ServerNotFound` or `AmbiguousReference`.
    """
    text = reference.strip()
    if text == PREVIOUS_REFERENCE:
        if previous := roster.get(roster.previous_id):
            return previous
        raise ServerNotFound("There is no previously active server.", value=text)
    shown = redact_url(text)
    folded = text.casefold()
    for matches in (
        [p for p in roster.profiles if p.id == text.lower()],
        _named(roster, text),
        [p for p in roster.profiles if folded and p.id.startswith(folded)],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            names = ", ".join(f"{p.name} ({p.id[:8]})" for p in matches[:5])
            raise AmbiguousReference(
                f"{shown!r} fits {len(matches)} servers: {names}. Use more of the id.",
                value=shown,
            )
    raise ServerNotFound(
        f"No server is called {shown!r}; `codewalk server list` shows all.", value=shown
    )


def add(
    roster: Roster, profile: ServerProfile, *, activate: bool = False, default: bool = False
) -> Roster:
    """With `profile` at the end of the list; the first one added becomes active.

    Raises `DuplicateServer`.
    """
    _refuse_duplicate(roster, profile)
    grown = replace(roster, profiles=(*roster.profiles, profile))
    if activate or grown.active is None:
        grown = switch(grown, profile.id)
    return set_default(grown, profile.id) if default else grown


def edit(
    roster: Roster,
    server_id: str,
    now: datetime,
    *,
    health_check: Mapping[str, float | None] | None = None,
    **changes: Any,
) -> Roster:
    """With the named fields of one profile changed, and the named settings of its health check.

    Raises `DuplicateServer`, `ServerNotFound`, and `InvalidValue` for a setting out of bounds.
    """
    old = roster.require(server_id)
    new = replace(old, health_check=old.health_check.with_changes(health_check or {}), **changes)
    if new == old:
        return roster
    new = replace(new, updated_at=now)
    _refuse_duplicate(roster, new)
    if new.label != old.label:
        require_unambiguous_label(roster, new)
    return replace(roster, profiles=tuple(new if p.id == server_id else p for p in roster.profiles))


def move(roster: Roster, server_id: str, before: str | None) -> Roster:
    """With this server right before another in the list, or at its end.

    Raises `ServerNotFound` for either.
    """
    moved = roster.require(server_id)
    if before == server_id:
        return roster
    others = [p for p in roster.profiles if p.id != server_id]
    place = len(others) if before is None else others.index(roster.require(before))
    return replace(roster, profiles=(*others[:place], moved, *others[place:]))


def validate_snooze(until: datetime | None, now: datetime) -> None:
    """Raises `InvalidValue` for a moment that has passed or is far off: then it is a mistake."""
    if until is not None and not now < until <= now + MAX_SNOOZE:
        raise InvalidValue(
            "A server is snoozed until a moment from now on, within a year.",
            value=until.isoformat(),
        )


def remove(roster: Roster, server_id: str, state_of: StateOf) -> Roster:
    """Without this server. When it was active, the fallback rule picks the next one."""
    roster.require(server_id)
    left = replace(
        roster,
        profiles=tuple(p for p in roster.profiles if p.id != server_id),
        default_id=None if roster.default_id == server_id else roster.default_id,
        previous_id=None if roster.previous_id == server_id else roster.previous_id,
    )
    if roster.active_id != server_id:
        return left
    successor = fallback(left, state_of)
    return replace(
        left,
        active_id=successor,
        previous_id=None if left.previous_id == successor else left.previous_id,
        generation=roster.generation + 1,
    )


def restore(roster: Roster, server_id: str, before: Roster) -> Roster:
    """With a server back that was removed from `before`: in its place among those that are left,
    and with the marks that nobody else has taken since.

    It is active again only if no switch came after its removal. One that is back already changes
    nothing. Raises `DuplicateServer` where its URL or label was taken meanwhile.
    """
    if roster.get(server_id):
        return roster
    profile = before.require(server_id)
    _refuse_duplicate(roster, profile)
    place = _old_place(roster, server_id, before)
    back = replace(roster, profiles=(*roster.profiles[:place], profile, *roster.profiles[place:]))
    if before.default_id == server_id and back.default_id is None:
        back = replace(back, default_id=server_id)
    if before.previous_id == server_id and back.previous_id is None:
        back = replace(back, previous_id=server_id)
    undisturbed = before.active_id == server_id and back.generation == before.generation + 1
    if not undisturbed and back.active:
        return back
    former = back.get(before.previous_id)
    return replace(
        back,
        active_id=server_id,
        previous_id=former.id if former and former.id != server_id else roster.previous_id,
        generation=back.generation + 1,
    )


def _old_place(roster: Roster, server_id: str, before: Roster) -> int:
    """Before the first of those that followed it, without any after the last that it followed."""
    ids = [p.id for p in before.profiles]
    at = ids.index(server_id)
    now = {p.id: place for place, p in enumerate(roster.profiles)}
    followers = [now[i] for i in ids[at + 1 :] if i in now]
    leaders = [now[i] + 1 for i in ids[:at] if i in now]
    return followers[0] if followers else leaders[-1] if leaders else len(now)


def fallback(roster: Roster, state_of: StateOf) -> str | None:
    """Which server follows when the active one goes: the default if it isn't unhealthy, else the
    first healthy one in list order, else the first unknown, else the first, else none."""
    if roster.default_id and state_of(roster.default_id) is not State.UNHEALTHY:
        return roster.default_id
    order = (State.HEALTHY, State.UNKNOWN, State.UNHEALTHY)
    ranked = sorted(roster.profiles, key=lambda p: order.index(state_of(p.id)))
    return ranked[0].id if ranked else None


def switch(roster: Roster, server_id: str) -> Roster:
    """With this server active, under a new generation. The same one again changes nothing."""
    roster.require(server_id)
    if roster.active_id == server_id:
        return roster
    return replace(
        roster,
        active_id=server_id,
        previous_id=roster.active_id,
        generation=roster.generation + 1,
    )


def start(roster: Roster) -> Roster:
    """As the app starts: the default is active; without one the last active, else the first."""
    chosen = roster.get(roster.default_id) or roster.active
    if chosen is None and roster.profiles:
        chosen = roster.profiles[0]
    return switch(roster, chosen.id) if chosen else replace(roster, active_id=None)


def set_default(roster: Roster, server_id: str | None) -> Roster:
    """With this server as the default, or with none."""
    if server_id is not None:
        roster.require(server_id)
    return replace(roster, default_id=server_id)


def mark_legacy_imported(roster: Roster) -> Roster:
    """With the Flutter app's servers taken over, so that it never happens again."""
    return replace(roster, legacy_imported=True)


def upsert_managed(
    roster: Roster, url: str, password: Secret, new: ServerProfile, now: datetime
) -> Roster:
    """With the managed local server at this URL: the one that is kept, else `new`.

    Keeping its profile, and so its id, keeps what belongs to it over restarts. Raises
    `DuplicateServer`.
    """
    if kept := roster.managed:
        return edit(roster, kept.id, now, url=url, basic_auth_password=password)
    return add(roster, new)


def require_unmanaged(profile: ServerProfile, action: str) -> None:
    """Raises `ServerManaged` where CodeWalk itself keeps the profile."""
    if profile.managed:
        raise ServerManaged(
            f"{profile.name!r} is the local server that CodeWalk manages; it can't be {action}. "
            "`codewalk up --no-local` runs without it.",
            value=profile.id,
        )


def _named(roster: Roster, text: str) -> list[ServerProfile]:
    """Those with this label or URL: two, where a label reads like another server's URL. Which one
    was meant isn't guessed: it may be about to be removed."""
    folded = text.casefold()
    try:
        url = parse_url(text).url
    except InvalidURL:
        url = None
    return [
        p
        for p in roster.profiles
        if p.url == url or (p.label is not None and p.label.casefold() == folded)
    ]


def require_unused_url(roster: Roster, url: str, *, except_id: str | None = None) -> None:
    """Raises `DuplicateServer` where a server has this URL, `besides` the one with that id."""
    for other in roster.profiles:
        if other.url == url and other.id != except_id:
            raise DuplicateServer(f"{url} is already kept as {other.name!r}.", value=url)


def _refuse_duplicate(roster: Roster, profile: ServerProfile) -> None:
    require_unused_url(roster, profile.url, except_id=profile.id)
    for other in roster.profiles:
        if other.id == profile.id:
            continue
        if profile.label and other.label and other.label.casefold() == profile.label.casefold():
            raise _label_taken(profile.label, other)


def require_unambiguous_label(roster: Roster, profile: ServerProfile) -> None:
    """Raises `DuplicateServer` where the label that a user gives reads like another server's URL.

    For labels that are given now: one that came from elsewhere, or is kept for long, is no reason
    to refuse its server, whose other fields are changed too.
    """
    for other in _named(roster, profile.label) if profile.label else ():
        if other.id != profile.id:
            raise _label_taken(profile.label or "", other)


def _label_taken(label: str, other: ServerProfile) -> DuplicateServer:
    return DuplicateServer(f"The label {label!r} already names {other.url}.", value=label)
