"""The header of a SQLite file, read beside the connections that have it open."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from codewalk.storage.file_header import FileHeader, FileId, parse_header, read_header_bytes


def make(path: Path, *, page_size: int = 4096) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute("CREATE TABLE x (y)")
        connection.execute("PRAGMA user_version = 12345")


@pytest.mark.parametrize("page_size", [512, 4096, 65_536])
def test_header_has_the_size_of_the_file_and_its_number(tmp_path: Path, page_size: int) -> None:
    path = tmp_path / "store.db"
    make(path, page_size=page_size)
    header = parse_header(path.read_bytes())
    assert header == FileHeader(size=path.stat().st_size, user_version=12345)


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\0", b"x" * 200])
def test_other_data_has_no_header(data: bytes) -> None:
    assert parse_header(data) is None


def test_header_is_read_through_a_descriptor_that_sqlite_has_open(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    make(path)
    expected, file_id = path.read_bytes()[:100], FileId.of(path)
    assert file_id is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        descriptors = len(os.listdir("/dev/fd")) if os.name == "posix" else 0  # noqa: PTH208
        assert read_header_bytes(path, file_id) == expected
        if descriptors:
            assert len(os.listdir("/dev/fd")) == descriptors  # noqa: PTH208


@pytest.mark.skipif(os.name != "posix", reason="Windows reads the file by its name")
def test_file_that_the_process_has_not_open_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    make(path)
    file_id = FileId.of(path)
    assert file_id is not None
    assert read_header_bytes(path, file_id) is None
