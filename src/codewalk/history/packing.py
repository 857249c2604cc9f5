"""Packs the minutes of an hour, small enough to store a month of them.

A row for each would be 3.4 MB a server. In columns, which hold similar numbers, and compressed, an
hour takes some 250 bytes.
"""

import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import orjson

from codewalk.history.period import MINUTE, Period

_TENTH_US: Final = 100
"""Microseconds of a tenth of a millisecond, to which latencies are rounded in JSON and here."""

_MAX_BYTES: Final = 64 * 1024
"""Bytes of an unpacked hour; a store may be damaged."""


def pack_minutes(minutes: Iterable[Period]) -> bytes:
    """Pack the minutes of one hour, at least one.

    Of the monitored time only `down_ms` is packed, for the chart: uptime comes from the hours.
    """
    rows = [
        (
            minute.begins.minute,
            minute.checks,
            minute.failures,
            minute.answers,
            minute.down_ms,
            _tenths(minute.latency_min_us or 0, 1),
            _tenths(minute.latency_sum_us, minute.answers),
            _tenths(minute.latency_p95_sum_us, minute.answers),
        )
        for minute in minutes
    ]
    return zlib.compress(orjson.dumps(list(zip(*rows, strict=True))))


def unpack_minutes(packed: bytes, hour: datetime) -> list[Period]:
    """Return the minutes that were packed, in that order; none if `packed` is damaged."""
    try:
        columns = orjson.loads(zlib.decompressobj().decompress(packed, _MAX_BYTES))
        if any(type(value) is not int for column in columns for value in column):
            return []
        return [
            Period(
                begins=hour + minute * MINUTE,
                checks=checks,
                failures=failures,
                answers=answers,
                down_ms=down,
                latency_min_us=lowest * _TENTH_US if answers else None,
                latency_sum_us=mean * answers * _TENTH_US,
                latency_p95_sum_us=p95 * answers * _TENTH_US,
            )
            for minute, checks, failures, answers, down, lowest, mean, p95 in zip(
                *columns, strict=True
            )
        ]
    except (zlib.error, ValueError, TypeError, OverflowError):
        return []


def _tenths(total_us: int, parts: int) -> int:
    return round(total_us / parts / _TENTH_US) if parts else 0
