"""Every kind of error becomes an exit status and a message."""

import asyncio
import json
import stat

import pytest
import typer

from codewalk import errors
from codewalk.cli.errors import UsageMistake, report_error
from codewalk.errors import CodeWalkError, RequestFailed
from codewalk.reason import Reason
from codewalk.settings import Settings


def subclasses(cls: type[CodeWalkError]) -> list[type[CodeWalkError]]:
    return [cls, *(sub for child in cls.__subclasses__() for sub in subclasses(child))]


def every_error() -> list[CodeWalkError]:
    classes = set(subclasses(CodeWalkError)) - {RequestFailed, UsageMistake}
    failed = RequestFailed(Reason.REFUSED, "Broken.")
    return [failed, *(cls("Broken.") for cls in sorted(classes, key=lambda cls: cls.__name__))]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_error_is_one_line_and_status_1(
    error: CodeWalkError, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_error(error, as_json=False) == 1
    assert capsys.readouterr() == ("", "error: Broken.\n")


def test_error_in_json_has_its_code_and_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.DuplicateServer("The label 'é\ud83d\x9b' is taken.")
    assert report_error(error, as_json=True) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {"error": {"code": "duplicate_server", "message": error.message}}
    assert err.isascii()


@pytest.mark.parametrize("error", [UsageMistake("Broken."), typer.BadParameter("Broken.")])
def test_wrong_usage_is_status_2(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_error(error, as_json=True) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


def test_ctrl_c_is_status_130_and_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_error(KeyboardInterrupt(), as_json=False) == 130
    assert capsys.readouterr() == ("", "")


def test_closed_pipe_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_error(BrokenPipeError(), as_json=False) == 1
    assert capsys.readouterr() == ("", "")


def test_group_is_reported_by_its_error_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    inner = BaseExceptionGroup("inner", [asyncio.CancelledError(), errors.StorageError("Full.")])
    group = BaseExceptionGroup("outer", [ValueError("x"), inner])
    assert report_error(group, as_json=False) == 1
    assert capsys.readouterr().err == "error: Full.\n"


def test_unexpected_error_is_a_line_and_its_traceback_goes_to_the_private_log(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        raise ZeroDivisionError("what it said")
    assert report_error(caught.value, as_json=False, settings=settings) == 1
    log = settings.data_dir / "codewalk.log"
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "ZeroDivisionError" in err
    assert str(log) in err
    assert "what it said" not in err
    assert "Traceback" in log.read_text()
    assert "what it said" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_unexpected_error_is_reported_where_no_log_can_be_written(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.data_dir.write_text("a file where the folder should be")
    assert report_error(ValueError("x"), as_json=True, settings=settings) == 1
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "internal"
    assert "ValueError" in error["message"]
