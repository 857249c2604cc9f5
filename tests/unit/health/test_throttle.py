"""How many checks may start at once."""

from dataclasses import dataclass

from codewalk.health.throttle import AT_ONCE, GROWN, YOUNG, Pace


@dataclass
class IdleClock:
    """Counts the seconds in which the process has nothing to do, as the test says."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def started(pace: Pace, count: int, first: int = 0) -> None:
    for check in range(first, first + count):
        pace.started(check)


def test_checks_start_without_waiting_while_few_are_under_way() -> None:
    pace = Pace(clock=IdleClock())
    started(pace, YOUNG - 1)
    assert pace.wait() == 0


def test_a_burst_waits_for_checks_to_end() -> None:
    pace = Pace(clock=IdleClock())
    started(pace, YOUNG)
    assert pace.wait() == GROWN
    pace.ended(YOUNG - 1)
    assert pace.wait() == 0


def test_slow_servers_give_their_places_away() -> None:
    clock = IdleClock()
    pace = Pace(clock=clock)
    started(pace, YOUNG // 2)
    clock.seconds = GROWN / 2
    started(pace, YOUNG, first=YOUNG // 2)
    assert pace.wait() == GROWN / 2
    clock.seconds = GROWN * 1.6
    assert pace.wait() == 0


def test_time_in_which_the_process_was_busy_makes_no_server_slow() -> None:
    # The clock counts idle time alone, and the process had none since the checks began.
    pace = Pace(clock=IdleClock())
    started(pace, YOUNG)
    assert pace.wait() == GROWN


def test_a_slow_check_that_ends_is_counted_out_once() -> None:
    clock = IdleClock()
    pace = Pace(clock=clock)
    started(pace, YOUNG)
    clock.seconds = GROWN
    assert pace.wait() == 0
    pace.ended(0)
    started(pace, YOUNG, first=YOUNG)
    assert pace.wait() == GROWN


def test_no_more_than_the_limit_are_under_way_however_slow_they_are() -> None:
    clock = IdleClock()
    pace = Pace(clock=clock)
    for check in range(AT_ONCE):
        pace.started(check)
        clock.seconds += GROWN
    assert pace.wait() is None
    pace.ended(0)
    assert pace.wait() == 0
