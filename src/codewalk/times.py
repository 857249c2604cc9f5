"""Times as text."""

from datetime import UTC, datetime


def rfc3339(moment: datetime | None) -> str | None:
    """UTC with milliseconds, as `2026-02-09T20:51:50.489Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
