"""Which stamps a store's file can have, and when a new one is due."""

import pytest

from codewalk.storage.file_stamp import FileStamp, is_overwritten, next_stamp

FIRST = FileStamp(number=1, tag=11, previous=0)
SECOND = FileStamp(number=2, tag=12, previous=11)
THIRD = FileStamp(number=3, tag=13, previous=12)


@pytest.mark.parametrize(
    ("tag_in_file", "stored", "known"),
    [
        pytest.param(0, None, None, id="a store without a stamp"),
        pytest.param(0, FIRST, None, id="the first stamp, before a checkpoint"),
        pytest.param(11, FIRST, FIRST, id="after a checkpoint"),
        pytest.param(11, SECOND, FIRST, id="a stamp that another process stored"),
        pytest.param(11, SECOND, SECOND, id="before a checkpoint"),
        pytest.param(12, THIRD, FIRST, id="two stamps that other processes stored"),
    ],
)
def test_states_of_the_store_are_not_taken_for_another_file(
    tag_in_file: int, stored: FileStamp | None, known: FileStamp | None
) -> None:
    assert not is_overwritten(tag_in_file, stored, known)


@pytest.mark.parametrize(
    ("tag_in_file", "stored", "known"),
    [
        pytest.param(11, THIRD, THIRD, id="an older copy"),
        pytest.param(0, SECOND, SECOND, id="a copy without a stamp"),
        pytest.param(11, FIRST, SECOND, id="an older copy, with the stored stamp gone"),
        pytest.param(0, None, SECOND, id="a copy without a stamp, with the stored one gone"),
        pytest.param(
            99,
            FileStamp(number=2, tag=99, previous=11),
            SECOND,
            id="another store with as many stamps",
        ),
    ],
)
def test_other_files_are_recognised(
    tag_in_file: int, stored: FileStamp | None, known: FileStamp | None
) -> None:
    assert is_overwritten(tag_in_file, stored, known)


def test_a_new_stamp_is_due_once_the_file_has_the_stored_one() -> None:
    first = next_stamp(0, None)
    assert first is not None
    assert (first.number, first.previous) == (1, 0)
    assert next_stamp(0, first) is None
    second = next_stamp(first.tag, first)
    assert second is not None
    assert (second.number, second.previous) == (2, first.tag)
    assert second.tag != first.tag


@pytest.mark.parametrize("stamp", [FIRST, SECOND])
def test_a_stored_stamp_is_read_again(stamp: FileStamp) -> None:
    assert FileStamp.decode(stamp.encode()) == stamp


@pytest.mark.parametrize("text", [None, "", "1", "x y z", "1 2 z", "1 2 3 4"])
def test_what_is_no_stamp_is_read_as_none(text: str | None) -> None:
    assert FileStamp.decode(text) is None
