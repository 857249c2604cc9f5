"""Plugin that makes a skipped test fail in CI: a test that didn't run proves nothing.

Elsewhere a skip is shown with its reason: `pyproject.toml` passes `-ra` to pytest.
"""

import os
from collections.abc import Generator

import pytest

_EXPLANATION = "SKIPPED IN CI, where no test may be: install what it needs. The reason given: "


def pytest_report_header() -> str | None:
    return "skips are failures (CI)" if _in_ci() else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # An expected failure did run; pytest reports it as skipped too.
    if _in_ci() and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = _EXPLANATION + _reason(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if _in_ci() and report.skipped:
        report.outcome = "failed"
        report.longrepr = _EXPLANATION + _reason(report)
    return report


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    match report.longrepr:
        case (str(path), int(line), str(reason)):
            return f"{reason} ({path}:{line})"
        case other:
            return str(other)
