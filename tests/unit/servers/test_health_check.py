"""The settings of a server's checks."""

import math
from dataclasses import fields
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codewalk.errors import InvalidValue
from codewalk.servers.health_check import DEFAULT_SETTINGS, SETTING_BOUNDS, HealthCheckSettings


def test_the_defaults_are_those_of_the_design() -> None:
    assert DEFAULT_SETTINGS.to_json() == {
        "interval_s": 10.0,
        "timeout_s": 3.0,
        "rise": 1,
        "fall": 2,
    }


def test_every_setting_has_bounds() -> None:
    assert [field.name for field in fields(HealthCheckSettings)] == list(SETTING_BOUNDS)


@pytest.mark.parametrize("name", SETTING_BOUNDS)
def test_values_up_to_the_bounds_are_allowed_and_others_are_not(name: str) -> None:
    least, most = SETTING_BOUNDS[name]
    for value in (least, most):
        assert dict(DEFAULT_SETTINGS.with_changes({name: value}).items())[name] == value
    for value in (least - 0.01, most + 0.01, -1, math.inf, math.nan):
        with pytest.raises(InvalidValue, match=f"from {least:g} to {most:g}"):
            DEFAULT_SETTINGS.with_changes({name: value})


def test_an_error_names_the_bad_value_and_the_bounds() -> None:
    with pytest.raises(InvalidValue) as raised:
        HealthCheckSettings(interval=0.5)
    assert raised.value.message == (
        "The time between two checks is from 1 to 3600 seconds, not 0.5."
    )
    assert raised.value.value == "0.5"


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(InvalidValue, match="'retries'"):
        DEFAULT_SETTINGS.with_changes({"retries": 3})


@given(
    st.fixed_dictionaries(
        {}, optional={name: st.none() | st.integers(1, 10) for name in SETTING_BOUNDS}
    )
)
def test_named_settings_change_and_the_others_stay(changes: dict[str, float | None]) -> None:
    before = HealthCheckSettings(interval=30, timeout=5, rise=2, fall=3)
    after = dict(before.with_changes(changes).items())
    for name, value in before.items():
        if name not in changes:
            assert after[name] == value
        elif changes[name] is None:
            assert after[name] == getattr(DEFAULT_SETTINGS, name)
        else:
            assert after[name] == changes[name]


def test_a_status_is_not_stale_before_three_intervals() -> None:
    assert DEFAULT_SETTINGS.stale_after == timedelta(minutes=3)
    assert HealthCheckSettings(interval=600).stale_after == timedelta(minutes=30)
