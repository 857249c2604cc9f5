"""The limit on how many checks start at once."""

from dataclasses import dataclass

from codewalk.health.throttle import MAX_IN_FLIGHT, MAX_RECENT, RECENT_SECONDS, Throttle


@dataclass
class IdleClock:
    """Counts the seconds in which the process has nothing to do, as the test says."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def started(throttle: Throttle, count: int, first: int = 0) -> None:
    for check in range(first, first + count):
        throttle.started(check)


def test_checks_start_without_delay_while_few_are_in_flight() -> None:
    throttle = Throttle(clock=IdleClock())
    started(throttle, MAX_RECENT - 1)
    assert throttle.delay() == 0


def test_a_burst_waits_until_checks_end() -> None:
    throttle = Throttle(clock=IdleClock())
    started(throttle, MAX_RECENT)
    assert throttle.delay() == RECENT_SECONDS
    throttle.ended(MAX_RECENT - 1)
    assert throttle.delay() == 0


def test_checks_that_wait_for_slow_servers_make_room() -> None:
    clock = IdleClock()
    throttle = Throttle(clock=clock)
    started(throttle, MAX_RECENT // 2)
    clock.seconds = RECENT_SECONDS / 2
    started(throttle, MAX_RECENT, first=MAX_RECENT // 2)
    assert throttle.delay() == RECENT_SECONDS / 2
    clock.seconds = RECENT_SECONDS * 1.6
    assert throttle.delay() == 0


def test_time_in_which_the_process_is_busy_does_not_count() -> None:
    # The clock counts idle time alone, and the process had none since the checks began.
    throttle = Throttle(clock=IdleClock())
    started(throttle, MAX_RECENT)
    assert throttle.delay() == RECENT_SECONDS


def test_a_slow_check_that_ends_is_counted_out_once() -> None:
    clock = IdleClock()
    throttle = Throttle(clock=clock)
    started(throttle, MAX_RECENT)
    clock.seconds = RECENT_SECONDS
    assert throttle.delay() == 0
    throttle.ended(0)
    started(throttle, MAX_RECENT, first=MAX_RECENT)
    assert throttle.delay() == RECENT_SECONDS


def test_checks_in_flight_are_bounded_however_slow_they_are() -> None:
    clock = IdleClock()
    throttle = Throttle(clock=clock)
    for check in range(MAX_IN_FLIGHT):
        throttle.started(check)
        clock.seconds += RECENT_SECONDS
    assert throttle.delay() is None
    throttle.ended(0)
    assert throttle.delay() == 0
