"""The log file: private, bounded, and never a reason to fail."""

import logging
import stat

from codewalk.cli.log_file import MAX_LOG_BYTES, LogFileHandler
from codewalk.settings import Settings


def a_record(text: str) -> logging.LogRecord:
    return logging.LogRecord("codewalk", logging.INFO, __file__, 1, text, None, None)


def test_it_is_made_private_with_its_first_line(settings: Settings) -> None:
    journal = LogFileHandler(settings)
    assert not settings.data_dir.exists()
    journal.emit(a_record("took over 1 of 1 servers"))
    journal.close()
    path = settings.data_dir / "codewalk.log"
    assert path.read_text().endswith("INFO codewalk: took over 1 of 1 servers\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_long_one_is_put_aside(settings: Settings) -> None:
    journal = LogFileHandler(settings)
    for text in ("a" * MAX_LOG_BYTES, "b" * MAX_LOG_BYTES, "c"):
        journal.emit(a_record(text))
    journal.close()
    log, aside = settings.data_dir / "codewalk.log", settings.data_dir / "codewalk.log.1"
    assert log.read_text().endswith(" c\n")
    assert log.stat().st_size + aside.stat().st_size < 2.1 * MAX_LOG_BYTES
    assert stat.S_IMODE(log.stat().st_mode) == stat.S_IMODE(aside.stat().st_mode) == 0o600


def test_where_it_can_t_be_written_nothing_happens(settings: Settings) -> None:
    settings.data_dir.write_text("a file where the folder should be")
    LogFileHandler(settings).emit(a_record("lost"))
