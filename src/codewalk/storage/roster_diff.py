"""The difference between two rosters, as values to write."""

from collections.abc import Mapping
from dataclasses import dataclass

from codewalk.secret import Secret
from codewalk.servers.profile import ServerProfile
from codewalk.servers.roster import Roster
from codewalk.storage import tables


@dataclass(frozen=True, kw_only=True, slots=True)
class RosterDiff:
    """The rows to write so that one roster becomes another.

    Attributes:
        inserted: New profiles, in list order.
        changed: Profiles that differ, as they are wanted.
        moved: Ids of those whose URL a user changed: another server may be there.
        removed: Ids of profiles to delete.
        resealed: Ids whose password is another object than before: only those are sealed anew.
        reordered: Whether the order changes by more than removals and additions at the end.
        pointers: Rows of the pointers table that differ.
    """

    inserted: tuple[ServerProfile, ...]
    changed: tuple[ServerProfile, ...]
    moved: tuple[str, ...]
    removed: tuple[str, ...]
    resealed: frozenset[str]
    reordered: bool
    pointers: Mapping[str, str | None]

    @property
    def to_seal(self) -> dict[str, Secret]:
        """The passwords to seal, by server id."""
        return {
            p.id: p.basic_auth_password
            for p in (*self.inserted, *self.changed)
            if p.id in self.resealed and p.basic_auth_password is not None
        }


def diff_rosters(old: Roster, new: Roster) -> RosterDiff:
    """Return the difference from `old` to `new`.

    Unchanged profiles, be they thousands, cost next to nothing.
    """
    before = {p.id: p for p in old.profiles}
    after = {p.id for p in new.profiles}
    inserted = tuple(p for p in new.profiles if p.id not in before)
    changed = tuple(
        p for p in new.profiles if p.id in before and p is not before[p.id] and p != before[p.id]
    )
    stayed = [p.id for p in old.profiles if p.id in after]
    old_pointers = pointer_values(old)
    return RosterDiff(
        inserted=inserted,
        changed=changed,
        moved=tuple(p.id for p in changed if p.url != before[p.id].url and not p.managed),
        # In one order for every process: two that remove at once then can't block each other.
        removed=tuple(sorted(before.keys() - after)),
        resealed=frozenset(
            p.id
            for p in (*inserted, *changed)
            if p.id not in before or p.basic_auth_password is not before[p.id].basic_auth_password
        ),
        reordered=[p.id for p in new.profiles] != [*stayed, *(p.id for p in inserted)],
        pointers={k: v for k, v in pointer_values(new).items() if v != old_pointers[k]},
    )


def pointer_values(roster: Roster) -> dict[str, str | None]:
    """Return the rows of the pointers table that hold the roster's scalars."""
    return {
        tables.ACTIVE_SERVER_ID: roster.active_id,
        tables.DEFAULT_SERVER_ID: roster.default_id,
        tables.PREVIOUS_SERVER_ID: roster.previous_id,
        tables.GENERATION: str(roster.generation),
        tables.REVISION: str(roster.revision),
        tables.LEGACY_IMPORTED: "1" if roster.legacy_imported else None,
    }
