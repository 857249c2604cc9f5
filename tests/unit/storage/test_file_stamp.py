"""Which stamps a store's file can have, and when a new one is due."""

import pytest

from codewalk.storage.file_stamp import FileStamp, is_overwritten, next_stamp

FIRST = FileStamp(number=1, tag="a", previous="")
SECOND = FileStamp(number=2, tag="b", previous="a")
THIRD = FileStamp(number=3, tag="c", previous="b")


@pytest.mark.parametrize(
    ("in_file", "stored", "known"),
    [
        pytest.param(None, None, None, id="a store without a stamp"),
        pytest.param(None, FIRST, None, id="the first stamp, before a checkpoint"),
        pytest.param(FIRST, FIRST, FIRST, id="after a checkpoint"),
        pytest.param(FIRST, SECOND, FIRST, id="a stamp that another process stored"),
        pytest.param(FIRST, SECOND, SECOND, id="before a checkpoint"),
        pytest.param(SECOND, THIRD, FIRST, id="two stamps that other processes stored"),
    ],
)
def test_states_of_the_store_are_not_taken_for_another_file(
    in_file: FileStamp | None, stored: FileStamp | None, known: FileStamp | None
) -> None:
    assert not is_overwritten(in_file, stored, known)


@pytest.mark.parametrize(
    ("in_file", "stored", "known"),
    [
        pytest.param(FIRST, THIRD, THIRD, id="an older copy"),
        pytest.param(None, SECOND, SECOND, id="a copy without a stamp"),
        pytest.param(FIRST, FIRST, SECOND, id="an older copy, with the stored stamp gone"),
        pytest.param(None, None, SECOND, id="a copy without a stamp, with the stored one gone"),
        pytest.param(
            FileStamp(number=2, tag="x", previous="a"),
            FileStamp(number=2, tag="x", previous="a"),
            SECOND,
            id="another store with as many stamps",
        ),
    ],
)
def test_other_files_are_recognised(
    in_file: FileStamp | None, stored: FileStamp | None, known: FileStamp | None
) -> None:
    assert is_overwritten(in_file, stored, known)


def test_a_new_stamp_is_due_once_the_file_has_the_stored_one() -> None:
    first = next_stamp(None, None)
    assert first is not None
    assert (first.number, first.previous) == (1, "")
    assert next_stamp(None, first) is None
    second = next_stamp(first, first)
    assert second is not None
    assert (second.number, second.previous) == (2, first.tag)
    assert second.tag != first.tag


@pytest.mark.parametrize("stamp", [FIRST, SECOND])
def test_a_stored_stamp_is_read_again(stamp: FileStamp) -> None:
    assert FileStamp.decode(stamp.encode()) == stamp


@pytest.mark.parametrize("text", [None, "", "1", "x y z", "1 2 3 4"])
def test_what_is_no_stamp_is_read_as_none(text: str | None) -> None:
    assert FileStamp.decode(text) is None
