"""Which part of a history is asked for.

Pure: texts and times go in, times come out.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from codewalk.errors import InvalidValue
from codewalk.history.period import DAY, RETENTION, Window

_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": DAY}
_SPAN: Final = re.compile(r"([0-9]{1,5})([mhd])")
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def parse_since(text: str, now: datetime) -> datetime:
    """The moment that `24h`, `7d`, `30m` or an RFC 3339 time means, as a history may begin then.

    Raises `InvalidValue` for anything else, and for what lies ahead.
    """
    return resolve_start(parse_moment(text, now), now)


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment that `24h`, `7d`, `30m` ago or an RFC 3339 time means.

    Raises `InvalidValue` for anything else.
    """
    if span := _SPAN.fullmatch(text):
        return now - int(span[1]) * _UNITS[span[2]]
    try:
        # Python alone would take a day without an hour, or a time that is nobody's.
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    raise InvalidValue(
        f"{shown!r} says no time; give a span as `24h` or `7d`, "
        "or a moment as `2026-02-09T20:51:50Z`.",
        value=text,
    )


def resolve_window(since: datetime | None, until: datetime | None, now: datetime) -> Window:
    """Which part of a history is meant: up to now and of a day, where not said otherwise.

    Raises `InvalidValue` as `begin` does, for an `until` without a time zone, and where nothing
    that is kept lies between the two.
    """
    if until is None:
        return resolve_start(now - DAY if since is None else since, now), now
    last = min(_zoned(until), now)
    if last <= now - RETENTION:
        raise InvalidValue(
            f"Nothing is kept from before {_said(now - RETENTION)}; "
            f"{_said(until)} is no end for it.",
            value=str(until),
        )
    first = resolve_start(last - DAY if since is None else since, now)
    if last <= first:
        raise InvalidValue(
            f"A history that begins at {_said(first)} can't end at {_said(until)}; give a later "
            "end, or an earlier begin.",
            value=str(until),
        )
    return first, last.astimezone(UTC)


def resolve_start(since: datetime, now: datetime) -> datetime:
    """Where a history begins that shall begin at `since`: 30 days ago at most.

    Raises `InvalidValue` for what lies ahead or has no time zone.
    """
    if _zoned(since) > now:
        raise InvalidValue(
            f"{since} lies ahead; a history begins in the past, as 24 hours ago.", value=str(since)
        )
    return max(since, now - RETENTION).astimezone(UTC)


def _zoned(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidValue(f"{moment} needs its time zone, as {moment}Z.", value=str(moment))
    return moment


def _said(moment: datetime) -> str:
    return moment.isoformat(" ", "seconds")
