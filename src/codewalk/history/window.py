"""The part of a history that is asked for.

Pure: texts and times go in, times come out.
"""

import re
from datetime import UTC, datetime
from typing import Final

from codewalk.errors import InvalidValue
from codewalk.history.period import DAY, RETENTION, Window
from codewalk.times import parse_duration

_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def parse_since(text: str, now: datetime) -> datetime:
    """Return the start of a history from `24h`, `7d`, `30m` or an RFC 3339 time.

    Raises:
        InvalidValue: It is neither, or it is in the future.
    """
    return resolve_start(parse_moment(text, now), now)


def parse_moment(text: str, now: datetime) -> datetime:
    """Return the moment that an RFC 3339 time names, or that `24h`, `7d` or `30m` ago was.

    Raises:
        InvalidValue: It is neither.
    """
    # Python alone would accept a day without an hour, or a time without a zone.
    if _RFC3339.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper())
        except ValueError as exc:
            raise _invalid(text) from exc
    try:
        return now - parse_duration(text)
    except InvalidValue as exc:
        raise _invalid(text) from exc


def _invalid(text: str) -> InvalidValue:
    quoted = repr(text if len(text) <= 40 else f"{text[:40]}…")
    return InvalidValue(
        f"{quoted} is not a time; give a duration as `24h` or `7d`, "
        "or a moment as `2026-02-09T20:51:50Z`.",
        value=text,
    )


def resolve_window(since: datetime | None, until: datetime | None, now: datetime) -> Window:
    """Return the start and the end of a history.

    Args:
        since: The start; a day before the end unless given. At most 30 days before `now`.
        until: The end; now unless given, or if it is in the future.
        now: The time.

    Raises:
        InvalidValue: A time has no time zone, `since` is in the future, or nothing that is stored
            lies between the two.
    """
    if until is None:
        return resolve_start(now - DAY if since is None else since, now), now
    end = min(_require_zone(until), now)
    if end <= now - RETENTION:
        raise InvalidValue(
            f"The history begins at {_format(now - RETENTION)}; it can't end at {_format(until)}.",
            value=str(until),
        )
    start = resolve_start(end - DAY if since is None else since, now)
    if end <= start:
        raise InvalidValue(
            f"A history that begins at {_format(start)} can't end at {_format(until)}; give a "
            "later end or an earlier start.",
            value=str(until),
        )
    return start, end.astimezone(UTC)


def resolve_start(since: datetime, now: datetime) -> datetime:
    """Return where a history begins that is to begin at `since`: at most 30 days before `now`.

    Raises:
        InvalidValue: It is in the future or has no time zone.
    """
    if _require_zone(since) > now:
        raise InvalidValue(
            f"{since} is in the future; give a time in the past, as 24 hours ago.",
            value=str(since),
        )
    return max(since, now - RETENTION).astimezone(UTC)


def _require_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidValue(f"{moment} needs a time zone, as {moment}Z.", value=str(moment))
    return moment


def _format(moment: datetime) -> str:
    return moment.isoformat(" ", "seconds")
