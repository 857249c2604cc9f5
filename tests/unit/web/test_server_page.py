"""The end of a snooze."""

from datetime import UTC, datetime, timedelta

from codewalk.web.server_page import MORNING, SnoozeChoice, snooze_end

NOW = datetime(2026, 2, 9, 20, 51, 50, tzinfo=UTC)


def test_a_snooze_lasts_for_hours_or_until_the_next_morning() -> None:
    assert snooze_end(SnoozeChoice.HOUR, NOW) == NOW + timedelta(hours=1)
    assert snooze_end(SnoozeChoice.WORKDAY, NOW) == NOW + timedelta(hours=8)
    assert snooze_end(SnoozeChoice.END, NOW) is None
    morning = snooze_end(SnoozeChoice.TOMORROW, NOW)
    assert morning is not None
    assert morning.tzinfo is UTC
    assert morning.astimezone().time() == MORNING
    assert morning.astimezone().date() == NOW.astimezone().date() + timedelta(days=1)
