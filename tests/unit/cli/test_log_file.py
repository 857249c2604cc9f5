"""The log file: private, bounded, and never a reason to fail."""

import logging
import stat
from pathlib import Path

import pytest

from codewalk.cli.log_file import MAX_LOG_BYTES, LogFileHandler, write_traceback
from codewalk.settings import Settings


def make_record(text: str) -> logging.LogRecord:
    return logging.LogRecord("codewalk", logging.INFO, __file__, 1, text, None, None)


def write(settings: Settings, *texts: str) -> LogFileHandler:
    handler = LogFileHandler(settings)
    for text in texts:
        handler.handle(make_record(text))
    handler.close()
    return handler


def test_log_file_is_created_private_with_its_first_line(settings: Settings) -> None:
    handler = LogFileHandler(settings)
    assert not settings.data_dir.exists()
    handler.handle(make_record("took over 1 of 1 servers"))
    handler.close()
    path = settings.data_dir / "codewalk.log"
    assert path.read_text().endswith("INFO codewalk: took over 1 of 1 servers\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700


def test_lines_are_appended_to_those_of_earlier_runs(settings: Settings) -> None:
    write(settings, "first run")
    write(settings, "second run")
    lines = (settings.data_dir / "codewalk.log").read_text().splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["first run", "second run"]


def test_long_log_is_renamed(settings: Settings) -> None:
    write(settings, "a" * MAX_LOG_BYTES, "b" * MAX_LOG_BYTES, "c")
    log, older = settings.data_dir / "codewalk.log", settings.data_dir / "codewalk.log.1"
    assert log.read_text().endswith(" c\n")
    assert log.stat().st_size + older.stat().st_size < 2.1 * MAX_LOG_BYTES
    assert stat.S_IMODE(log.stat().st_mode) == stat.S_IMODE(older.stat().st_mode) == 0o600


def test_text_that_is_no_unicode_is_escaped(settings: Settings) -> None:
    write(settings, "half a character: \ud83d")
    assert (settings.data_dir / "codewalk.log").read_text().endswith(r": \ud83d" + "\n")


def test_unwritable_log_file_is_no_error(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.data_dir.write_text("a file where the folder should be")
    assert write(settings, "lost").failed
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_full_disk_is_no_error(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    settings.make_data_dir()
    (settings.data_dir / "codewalk.log").symlink_to("/dev/full")
    assert write(settings, "lost").failed
    assert write_traceback(ValueError("lost"), settings) is None
    assert capsys.readouterr() == ("", "")


def test_lines_are_written_again_once_there_is_space(settings: Settings) -> None:
    settings.data_dir.write_text("a file where the folder should be")
    handler = LogFileHandler(settings)
    handler.handle(make_record("lost"))
    settings.data_dir.unlink()
    handler.handle(make_record("written"))
    handler.close()
    assert (settings.data_dir / "codewalk.log").read_text().endswith(": written\n")


def test_failed_rename_loses_no_later_line(settings: Settings) -> None:
    settings.make_data_dir()
    obstacle = settings.data_dir / "codewalk.log.1"
    (obstacle / "in the way").mkdir(parents=True)
    handler = write(settings, "a" * MAX_LOG_BYTES, "lost")
    assert handler.failed
    (obstacle / "in the way").rmdir()
    obstacle.rmdir()
    handler.handle(make_record("written"))
    handler.close()
    assert (settings.data_dir / "codewalk.log").read_text().endswith(": written\n")


def test_traceback_is_written_to_a_log_that_is_due_to_be_renamed(settings: Settings) -> None:
    write(settings, "a" * MAX_LOG_BYTES)
    path = write_traceback(ZeroDivisionError("what it said"), settings)
    assert path == settings.data_dir / "codewalk.log"
    assert "ZeroDivisionError: what it said" in path.read_text()
    assert path.stat().st_size < MAX_LOG_BYTES
