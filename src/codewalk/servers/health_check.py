"""The settings of one server's health check."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from codewalk.errors import InvalidValue

SETTING_BOUNDS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"interval": (1, 3600), "timeout": (0.1, 60), "rise": (1, 10), "fall": (1, 10)}
)
"""The least and the greatest value of each setting; times are in seconds."""

_DESCRIPTIONS: Final = MappingProxyType(
    {
        "interval": "time between two checks",
        "timeout": "time for a check",
        "rise": "number of good checks that make a server healthy",
        "fall": "number of failed checks that make a server unhealthy",
    }
)

_COUNTS: Final = frozenset({"rise", "fall"})

STALE_AFTER: Final = timedelta(minutes=3)
"""Age from which a status says nothing about now, unless a server's interval asks for more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthCheckSettings:
    """The settings of a server's checks.

    Attributes:
        interval: Seconds from the end of a check to the next one.
        timeout: Seconds for a whole check, retries included.
        rise: Good checks in a row that make a server healthy.
        fall: Failed checks in a row that make a healthy server unhealthy.

    Raises:
        InvalidValue: A setting is out of `SETTING_BOUNDS`.
    """

    interval: float = 10.0
    timeout: float = 3.0
    rise: int = 1
    fall: int = 2

    def __post_init__(self) -> None:
        for name, value in self.items():
            _require_within_bounds(name, value)

    @property
    def stale_after(self) -> timedelta:
        """The age from which a status of this server says nothing about now."""
        return max(STALE_AFTER, timedelta(seconds=3 * self.interval))

    def items(self) -> list[tuple[str, float]]:
        """Return each setting by name."""
        return [(name, getattr(self, name)) for name in SETTING_BOUNDS]

    def with_changes(self, changes: Mapping[str, float | None]) -> "HealthCheckSettings":
        """Return the settings with the named ones changed.

        Args:
            changes: New values by name; None is the default.

        Raises:
            InvalidValue: A name is unknown, or a value out of `SETTING_BOUNDS`.
        """
        if not changes:
            return self
        unknown = changes.keys() - SETTING_BOUNDS.keys()
        if unknown:
            raise InvalidValue(f"A health check has no setting {min(unknown)!r}.")
        values: dict[str, Any] = {
            name: getattr(DEFAULT_SETTINGS, name) if value is None else value
            for name, value in changes.items()
        }
        return replace(self, **values)

    def to_json(self) -> dict[str, Any]:
        """Return the `health_check` object of the server JSON."""
        return {
            "interval_s": self.interval,
            "timeout_s": self.timeout,
            "rise": self.rise,
            "fall": self.fall,
        }


def setting_type(name: str) -> str:
    """Return which kind of number a setting is, in words."""
    return "whole number" if name in _COUNTS else "number of seconds"


def parse_setting(name: str, text: str) -> float:
    """Return the number that a user typed, with a decimal point or comma.

    Its bounds are checked where it becomes part of `HealthCheckSettings`.

    Raises:
        InvalidValue: It isn't a number, or for a count not a whole one.
    """
    number = int if name in _COUNTS else float
    try:
        return number(text.replace(",", "."))
    except ValueError as exc:
        message = f"The {_DESCRIPTIONS[name]} is a {setting_type(name)}, not {text!r}."
        raise InvalidValue(message, value=text) from exc


def _require_within_bounds(name: str, value: float) -> None:
    least, greatest = SETTING_BOUNDS[name]
    # Not the other way round: NaN compares as false with everything.
    if not least <= value <= greatest:
        unit = "" if name in _COUNTS else " seconds"
        raise InvalidValue(
            f"The {_DESCRIPTIONS[name]} is from {least:g} to {greatest:g}{unit}, not {value:g}.",
            value=f"{value:g}",
        )


DEFAULT_SETTINGS: Final = HealthCheckSettings()
"""The settings of a server for which none were chosen."""
