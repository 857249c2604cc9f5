"""References to servers, by example."""

from dataclasses import replace
from datetime import timedelta

import pytest

from codewalk.errors import AmbiguousReference, DuplicateServer, ServerNotFound
from codewalk.servers.references import find, find_same_loopback, require_unambiguous_label
from codewalk.servers.roster import Roster
from codewalk.servers.rules import add, edit
from tests.fakes import EPOCH, profile

A, B, C = (
    profile(number, label=label) for number, label in ((1, "Able"), (2, "Baker"), (3, "Çöl"))
)
LATER = EPOCH + timedelta(hours=1)


def roster() -> Roster:
    return Roster(profiles=(A, B, C), active_id=A.id, generation=5, revision=9)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (A.id, A),
        (A.id.upper(), A),
        ("Baker", B),
        ("  bAKER ", B),
        ("çÖL", C),
        ("http://server2:4096", B),
        ("HTTP://Server2:4096/", B),
        ("server2:4096", B),
        ("user:password@server2:4096", B),
        ("-", C),
    ],
)
def test_a_server_is_found_by_id_label_url_or_as_the_previous_one(
    reference: str, expected: object
) -> None:
    assert find(replace(roster(), previous_id=C.id), reference) == expected


def test_a_server_is_found_by_the_start_of_its_id_where_only_one_has_it() -> None:
    other = replace(profile(4), id="018F6F0E-0000-4000-8000-000000000000".lower())
    both = add(roster(), other)
    assert find(both, "018f") == other
    assert find(both, "018F6F") == other
    with pytest.raises(AmbiguousReference) as refused:
        find(both, "0")
    assert "4 servers" in refused.value.message
    assert refused.value.code == "ambiguous_reference"


OTHER = replace(profile(4, label="Other"), id="cafe6f0e-0000-4000-8000-000000000000")


@pytest.mark.parametrize("reference", ["cafe", "CAFE", " Cafe6F0E "])
def test_a_label_that_is_the_start_of_anothers_id_names_neither(reference: str) -> None:
    label = reference.strip().lower()
    both = edit(add(roster(), OTHER), A.id, LATER, label=label)
    with pytest.raises(AmbiguousReference) as refused:
        find(both, reference)
    assert refused.value.message == (
        f"{reference.strip()!r} fits 2 servers: {label} (00000000), Other (cafe6f0e). "
        "Use more of the id."
    )
    assert find(both, "cafe6f0e-") is both.require(OTHER.id)
    assert find(both, A.url) is both.require(A.id)


def test_a_host_name_that_is_the_start_of_anothers_id_names_neither() -> None:
    both = edit(add(roster(), OTHER), A.id, LATER, url="http://cafe")
    with pytest.raises(AmbiguousReference):
        find(both, "cafe")
    assert find(both, "http://cafe") is both.require(A.id)


def test_a_label_that_is_the_start_of_its_own_id_names_its_server() -> None:
    both = edit(add(roster(), OTHER), OTHER.id, LATER, label="cafe")
    assert find(both, "cafe") is both.require(OTHER.id)


@pytest.mark.parametrize("label", ["c", "CA", "caf"])
def test_a_short_label_is_not_hidden_by_ids_that_start_with_it_by_chance(label: str) -> None:
    """One in sixteen ids starts with `c`: the label would be of no use."""
    assert find(add(roster(), OTHER), label) == OTHER
    both = edit(add(roster(), OTHER), A.id, LATER, label=label)
    assert find(both, label) is both.require(A.id)


def test_an_id_names_its_server_whatever_the_labels_are() -> None:
    with pytest.raises(DuplicateServer):
        edit(add(roster(), OTHER), A.id, LATER, label=OTHER.id.upper())
    imported = add(add(roster(), OTHER), profile(5, label=OTHER.id))
    assert find(imported, OTHER.id) == OTHER


@pytest.mark.parametrize("label", ["server2:4096", "HTTP://SERVER2:4096/"])
def test_a_label_never_hides_anothers_url(label: str) -> None:
    """`remove URL` would take away the server with the label."""
    misleading = profile(4, label=label)
    with pytest.raises(DuplicateServer, match="already names http://server2:4096"):
        require_unambiguous_label(roster(), misleading)
    with pytest.raises(DuplicateServer, match="already names http://server2:4096"):
        edit(roster(), A.id, LATER, label=label)
    # One that came with the label, from the Flutter app or years ago, isn't guessed to be meant,
    # and is edited like any other.
    imported = add(roster(), misleading)
    with pytest.raises(AmbiguousReference):
        find(imported, label)
    moved = edit(imported, misleading.id, LATER, url="http://server9:4096")
    assert moved.require(misleading.id).label == label
    # Its own URL may be anybody's label.
    assert find(edit(roster(), B.id, LATER, label=label), label).id == B.id


@pytest.mark.parametrize("reference", ["", "  ", "nobody", "http://server9", "ftp://x", "-", "\0"])
def test_an_unknown_reference_is_refused(reference: str) -> None:
    with pytest.raises(ServerNotFound):
        find(roster(), reference)


def test_an_unknown_url_is_quoted_without_its_password() -> None:
    with pytest.raises(ServerNotFound) as refused:
        find(roster(), "http://user:s3cr3t@server9")
    assert "s3cr3t" not in f"{refused.value} {refused.value.value}"


@pytest.mark.parametrize(
    ("url", "saved", "same"),
    [
        ("http://localhost:4096", "http://127.0.0.1:4096", True),
        ("http://[::1]:4096", "http://localhost:4096", True),
        ("https://localhost/up", "http://127.0.0.1:443/up", True),
        ("http://localhost:4096", "http://127.0.0.1:4097", False),
        ("http://localhost:4096/up", "http://127.0.0.1:4096", False),
        ("http://localhost:4096", "http://devbox:4096", False),
        ("http://devbox:4096", "http://devbox:4096", False),
        ("http://localhost:4096", "http://localhost:4096", False),
        ("http://127.0.0.2:4096", "http://127.0.0.1:4096", False),
    ],
)
def test_two_names_of_this_machine_may_be_one_server(url: str, saved: str, same: bool) -> None:
    other = profile(1, url=saved)
    roster = Roster(profiles=(other,))
    assert find_same_loopback(roster, url) == (other if same else None)
    assert find_same_loopback(roster, url, except_id=other.id) is None
