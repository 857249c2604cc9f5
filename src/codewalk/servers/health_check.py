"""How one server is checked: how often, how patiently, and how much proof a change needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from codewalk.errors import InvalidValue

SETTING_BOUNDS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"interval": (1, 3600), "timeout": (0.1, 60), "rise": (1, 10), "fall": (1, 10)}
)
"""The least and the greatest value of each setting."""

_NAMES: Final = MappingProxyType(
    {
        "interval": "time between two checks",
        "timeout": "time for a check",
        "rise": "number of good checks that make a server healthy",
        "fall": "number of failed checks that make a server unhealthy",
    }
)

_COUNTS: Final = frozenset({"rise", "fall"})

STALE_AFTER: Final = timedelta(minutes=3)
"""A stored status older than this says nothing about now: three times the longest interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheckSettings:
    """The settings of one server's health check.

    `interval` and `timeout` are in seconds: from the end of a check to the next one, and for a
    whole check with its retries. `rise` good checks in a row make a server healthy, `fall` failed
    ones in a row make a healthy one unhealthy. Raises `InvalidValue` for what is out of
    `SETTING_BOUNDS`.
    """

    interval: float = 10.0
    timeout: float = 3.0
    rise: int = 1
    fall: int = 2

    def __post_init__(self) -> None:
        for name, value in self.items():
            _check(name, value)

    @property
    def stale_after(self) -> timedelta:
        """The age at which a status says nothing about now."""
        return max(STALE_AFTER, timedelta(seconds=3 * self.interval))

    def items(self) -> list[tuple[str, float]]:
        """Each setting by name."""
        return [(name, getattr(self, name)) for name in SETTING_BOUNDS]

    def with_changes(self, changes: Mapping[str, float | None]) -> "HealthCheckSettings":
        """With the named settings at these values, None for the default. Raises `InvalidValue`."""
        if not changes:
            return self
        unknown = changes.keys() - SETTING_BOUNDS.keys()
        if unknown:
            raise InvalidValue(f"A health check has no setting {min(unknown)!r}.")
        given: dict[str, Any] = {
            name: getattr(DEFAULT_SETTINGS, name) if value is None else value
            for name, value in changes.items()
        }
        return replace(self, **given)

    def to_json(self) -> dict[str, Any]:
        """The `health_check` object of the server JSON."""
        return {
            "interval_s": self.interval,
            "timeout_s": self.timeout,
            "rise": self.rise,
            "fall": self.fall,
        }


def setting_type(name: str) -> str:
    """What kind of number a setting is, in words."""
    return "whole number" if name in _COUNTS else "number of seconds"


def parse_setting(name: str, text: str) -> float:
    """The number that a person wrote for a setting, whether its point is a comma or not. What is
    out of `SETTING_BOUNDS` is a number, too. Raises `InvalidValue`."""
    number = int if name in _COUNTS else float
    try:
        return number(text.replace(",", "."))
    except ValueError as exc:
        told = f"The {_NAMES[name]} is a {setting_type(name)}, not {text!r}."
        raise InvalidValue(told, value=text) from exc


def _check(name: str, value: float) -> None:
    least, most = SETTING_BOUNDS[name]
    # Not the other way round: NaN compares as false with everything.
    if not least <= value <= most:
        unit = "" if name in _COUNTS else " seconds"
        raise InvalidValue(
            f"The {_NAMES[name]} is from {least:g} to {most:g}{unit}, not {value:g}.",
            value=f"{value:g}",
        )


DEFAULT_SETTINGS: Final = HealthCheckSettings()
"""What holds for a server of which nothing else was said."""
