"""Which releases deserve a warning."""

import pytest

from codewalk.health.advice import advice


@pytest.mark.parametrize("version", ["0.9.9", "1.0.0", "1.0.215", "1.0.99", "1.0.216-beta.1"])
def test_a_release_that_any_web_site_can_command_has_a_warning_with_its_reason(
    version: str,
) -> None:
    warning = advice(version)
    assert warning is not None
    assert f"OpenCode {version} " in warning
    assert "CVE-2026-22812" in warning


@pytest.mark.parametrize(
    "version", ["1.0.216", "1.0.1000", "1.1.0", "1.18.33", "2.0.0", "1.1.0-beta"]
)
def test_later_releases_have_none(version: str) -> None:
    assert advice(version) is None


@pytest.mark.parametrize("version", [None, "", "local", "1.0", "٣.0.0", "1" * 50])
def test_what_isnt_a_version_says_nothing(version: str | None) -> None:
    assert advice(version) is None
