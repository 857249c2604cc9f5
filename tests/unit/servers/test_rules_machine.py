"""Any sequence of changes to the servers, as a machine that hypothesis drives.

What must hold after each step stands in the invariants; what a step must do beyond that stands in
the step, in the words of the rules rather than of the code.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from codewalk.errors import AmbiguousReference, DuplicateServer, ServerNotFound
from codewalk.reason import State
from codewalk.servers import references, rules
from codewalk.servers.profile import PREVIOUS_REFERENCE, ServerProfile
from codewalk.servers.roster import Roster
from tests.fakes import EPOCH, profile

URLS = st.integers(1, 6).map(lambda number: f"http://server{number}:4096")
ID_PREFIX = "00000000"
"""The start of every id here."""

LABELS = st.sampled_from([None, "Dev", "dev", "DEV", "Straße", "STRASSE", "box", "-", ID_PREFIX])
STATES = st.sampled_from(State)


class RosterMachine(RuleBasedStateMachine):
    """Servers come, change and go while their health changes at random."""

    ids = Bundle("ids")
    removed = Bundle("removed")

    @initialize()
    def empty(self) -> None:
        self.roster = Roster()
        self.before = self.roster
        self.health: dict[str, State] = {}
        self.made = 0
        self.removals: dict[str, tuple[Roster, Roster]] = {}

    def state_of(self, server_id: str) -> State:
        return self.health[server_id]

    def becomes(self, roster: Roster) -> None:
        self.before, self.roster = self.roster, roster

    def taken(self, url: str, label: str | None, *, by_other_than: str = "") -> bool:
        others = [p for p in self.roster.profiles if p.id != by_other_than]
        folded = {p.label.casefold() for p in others if p.label}
        return url in {p.url for p in others} or bool(label and label.casefold() in folded)

    @rule(target=ids, url=URLS, label=LABELS, activate=st.booleans(), default=st.booleans())
    def add(self, url: str, label: str | None, activate: bool, default: bool) -> object:
        self.made += 1
        new = profile(self.made, url=url, label=label)
        if self.taken(url, label):
            with pytest.raises(DuplicateServer):
                rules.add(self.roster, new, activate=activate, default=default)
            return multiple()
        self.health[new.id] = State.UNKNOWN
        empty = not self.roster.profiles
        self.becomes(rules.add(self.roster, new, activate=activate, default=default))
        assert self.roster.profiles == (*self.before.profiles, new)
        assert self.roster.active_id == (new.id if activate or empty else self.before.active_id)
        assert self.roster.default_id == (new.id if default else self.before.default_id)
        return new.id

    @rule(target=removed, server_id=consumes(ids))
    def remove(self, server_id: str) -> str:
        self.becomes(rules.remove(self.roster, server_id, self.state_of))
        old = self.before
        left = [p for p in old.profiles if p.id != server_id]
        assert list(self.roster.profiles) == left
        default = None if old.default_id == server_id else old.default_id
        assert self.roster.default_id == default
        expected = old.active_id
        if old.active_id == server_id:
            expected = self.successor(left, default)
        assert self.roster.active_id == expected
        self.removals[server_id] = old, self.roster
        return server_id

    @rule(target=ids, server_id=consumes(removed))
    def restore(self, server_id: str) -> object:
        before, after = self.removals[server_id]
        lost = before.require(server_id)
        if self.taken(lost.url, lost.label):
            with pytest.raises(DuplicateServer):
                rules.restore(self.roster, server_id, before)
            return multiple()
        now = self.roster
        self.becomes(rules.restore(now, server_id, before))
        assert rules.restore(self.roster, server_id, before) is self.roster
        assert self.roster.require(server_id) is lost
        assert [p for p in self.roster.profiles if p.id != server_id] == list(now.profiles)
        if now == after:
            assert replace(self.roster, generation=before.generation) == before
        # What somebody else has by now stays theirs.
        was_default = before.default_id == server_id and now.default_id is None
        assert self.roster.default_id == (server_id if was_default else now.default_id)
        undisturbed = before.active_id == server_id and now.generation == after.generation
        activated = undisturbed or not now.profiles
        assert self.roster.active_id == (server_id if activated else now.active_id)
        if not activated:
            was_previous = before.previous_id == server_id and now.previous_id is None
            assert self.roster.previous_id == (server_id if was_previous else now.previous_id)
        return server_id

    def successor(self, left: list[ServerProfile], default: str | None) -> str | None:
        # The default if it isn't unhealthy, else the first healthy one in list order, else the
        # first unknown, else the first, else none.
        if default and self.health[default] is not State.UNHEALTHY:
            return default
        for state in (State.HEALTHY, State.UNKNOWN):
            for server in left:
                if self.health[server.id] is state:
                    return server.id
        return left[0].id if left else None

    @rule(server_id=ids, url=URLS, label=LABELS)
    def edit(self, server_id: str, url: str, label: str | None) -> None:
        later = EPOCH + timedelta(hours=1)
        if self.taken(url, label, by_other_than=server_id):
            with pytest.raises(DuplicateServer):
                rules.edit(self.roster, server_id, later, url=url, label=label)
            return
        self.becomes(rules.edit(self.roster, server_id, later, url=url, label=label))
        edited = self.roster.require(server_id)
        assert (edited.id, edited.url, edited.label) == (server_id, url, label)
        assert replace(self.roster, profiles=()) == replace(self.before, profiles=())
        assert [p.id for p in self.roster.profiles] == [p.id for p in self.before.profiles]

    @rule(server_id=ids, before=st.none() | ids)
    def move(self, server_id: str, before: str | None) -> None:
        self.becomes(rules.move(self.roster, server_id, before))
        order = [p.id for p in self.roster.profiles]
        others = [p for p in self.before.profiles if p.id != server_id]
        assert [p for p in self.roster.profiles if p.id != server_id] == others
        if before == server_id:
            assert self.roster == self.before
        else:
            place = order.index(server_id) + 1
            assert order[place : place + 1] == ([] if before is None else [before])
        assert self.roster == replace(self.before, profiles=self.roster.profiles)

    @rule(server_id=ids)
    def switch(self, server_id: str) -> None:
        self.becomes(rules.switch(self.roster, server_id))
        assert self.roster.active_id == server_id
        if self.before.active_id != server_id:
            assert self.roster.previous_id == self.before.active_id

    @precondition(lambda self: self.roster.previous_id is not None)
    @rule()
    def switch_back(self) -> None:
        previous = references.find(self.roster, "-")
        self.becomes(rules.switch(self.roster, previous.id))
        assert self.roster.previous_id == self.before.active_id

    @rule(server_id=ids)
    def make_default(self, server_id: str) -> None:
        self.becomes(rules.set_default(self.roster, server_id))
        assert self.roster == replace(self.before, default_id=server_id)

    @rule()
    def clear_default(self) -> None:
        self.becomes(rules.set_default(self.roster, None))
        assert self.roster == replace(self.before, default_id=None)

    @rule()
    def start(self) -> None:
        self.becomes(rules.start(self.roster))
        assert self.roster.active_id == (self.before.default_id or self.before.active_id)
        assert rules.start(self.roster) == self.roster

    @rule(server_id=ids, state=STATES)
    def health_changes(self, server_id: str, state: State) -> None:
        self.health[server_id] = state

    @invariant()
    def one_is_active_exactly_if_there_is_any(self) -> None:
        ids = {p.id for p in self.roster.profiles}
        assert (self.roster.active_id in ids) == bool(ids)
        assert (self.roster.active_id is None) == (not ids)

    @invariant()
    def default_and_previous_are_servers_in_the_list(self) -> None:
        ids = {p.id for p in self.roster.profiles}
        assert self.roster.default_id in ids | {None}
        assert self.roster.previous_id in ids | {None}
        assert self.roster.previous_id is None or self.roster.previous_id != self.roster.active_id

    @invariant()
    def the_generation_grows_by_one_exactly_when_the_active_server_changes(self) -> None:
        switched = self.roster.active_id != self.before.active_id
        assert self.roster.generation - self.before.generation == int(switched)
        self.before = self.roster  # a refused step must leave it so

    @invariant()
    def no_two_servers_have_one_id_url_or_label(self) -> None:
        for values in (
            [p.id for p in self.roster.profiles],
            [p.url for p in self.roster.profiles],
            [p.label.casefold() for p in self.roster.profiles if p.label],
        ):
            assert len(values) == len(set(values))

    @invariant()
    def each_server_is_found_by_what_names_it(self) -> None:
        for server in self.roster.profiles:
            assert references.find(self.roster, server.id) is server
            assert references.find(self.roster, server.url.upper()) is server
            if server.label and server.label not in (PREVIOUS_REFERENCE, ID_PREFIX):
                assert references.find(self.roster, f" {server.label.swapcase()} ") is server

    @invariant()
    def a_prefix_finds_the_one_server_that_has_it(self) -> None:
        for server in self.roster.profiles:
            assert server.id.startswith(ID_PREFIX)
            if len(self.roster.profiles) == 1:
                assert references.find(self.roster, ID_PREFIX) is server
            else:
                # Whether one of them has it for a label, too, or none.
                with pytest.raises(AmbiguousReference):
                    references.find(self.roster, ID_PREFIX)
        with pytest.raises(ServerNotFound):
            references.find(self.roster, "ffffffff")


RosterMachine.TestCase.settings = settings(stateful_step_count=30)
TestRoster = RosterMachine.TestCase
