"""Live links: the effects of a stream's end and of silence, and which servers have one."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from codewalk.errors import RequestFailed
from codewalk.health.link import LinkState
from codewalk.health.links import (
    BUFFERED_RETRY_DELAY,
    NO_STREAM_RETRY_DELAY,
    RECOVERY_CHECK_INTERVAL,
    RECOVERY_CHECK_PERIOD,
)
from codewalk.health.scheduler import MIN_WAKE_INTERVAL
from codewalk.health.status import HealthStatus
from codewalk.opencode.activity import BUSY
from codewalk.opencode.events import (
    EVENTS_PATH,
    GLOBAL_EVENTS_PATH,
    ActivityChanged,
    Connected,
    SessionChanged,
)
from codewalk.reason import Reason, State
from tests.fake_events import StreamingConnection
from tests.fake_time import advance_time, elapsed, fake_time
from tests.fakes import EPOCH, HEALTHY, PATH, no_reply, profile, raw_reply, utc_now
from tests.unit.health.links_harness import run_links

A, B = profile(1), profile(2)
GLOBAL_HEALTH = "/global/health"


async def heartbeats(connection: StreamingConnection, times: int, every: float = 10.0) -> None:
    for _ in range(times):
        await advance_time(every)
        connection.current.send("server.heartbeat")


@fake_time
async def test_a_healthy_server_is_linked() -> None:
    async with run_links(A, B, active=A) as running:
        assert running.state(A) is running.state(B) is LinkState.LIVE
        assert running.links.state("nobody") is LinkState.POLLING


@fake_time
async def test_a_killed_server_is_red_within_a_second_and_the_other_never_changes() -> None:
    async with run_links(A, B, active=A) as running:
        for _ in range(20):
            await advance_time(3.21)
            running.of(B).kill()
            killed = elapsed()
            await advance_time(5)
            assert running.monitor.status(B.id).reason is Reason.REFUSED
            red = running.seconds_until(B, State.UNHEALTHY, killed)
            assert red is not None
            assert red < 1
            assert running.state(B) is LinkState.POLLING
            await advance_time(7.7)
            running.of(B).restart()
            restarted = elapsed()
            await advance_time(3)
            green = running.seconds_until(B, State.HEALTHY, restarted)
            assert green is not None
            assert green < 2
            assert running.state(B) is LinkState.LIVE
        assert [change for change in running.changes if change[1] == A.id][1:] == []


@fake_time
async def test_a_server_that_is_back_at_once_is_green_within_two_seconds() -> None:
    """It was refused once only, and left the request after that unanswered."""
    async with run_links(A) as running:
        running.of(A).kill()
        await advance_time(0.75)
        assert running.monitor.state(A.id) is State.UNHEALTHY
        running.of(A).script |= {
            "/global/health": [no_reply(), HEALTHY],
            "/path": [no_reply(), PATH],
        }
        running.of(A).open_failure = None
        restarted = elapsed()
        await advance_time(5)
        green = running.seconds_until(A, State.HEALTHY, restarted)
        assert green is not None
        assert green <= 2


@fake_time
async def test_a_first_request_without_an_answer_does_not_delay_the_next_check() -> None:
    """The other reason for being down is news of this server, too, which wakes the link."""
    async with run_links(A) as running:
        running.of(A).kill()
        await advance_time(8)
        # It begins to listen, and takes one request that it never answers.
        running.of(A).script |= {
            "/global/health": [no_reply(), HEALTHY],
            "/path": [no_reply(), PATH],
        }
        running.of(A).open_failure = None
        restarted = elapsed()
        await advance_time(3)
        asked = next(at for _, at in running.of(A).requests if at > restarted)
        green = running.seconds_until(A, State.HEALTHY, asked)
        assert green is not None
        assert green <= RECOVERY_CHECK_INTERVAL + MIN_WAKE_INTERVAL
        since_restart = running.seconds_until(A, State.HEALTHY, restarted)
        assert since_restart is not None
        assert since_restart <= 2


@fake_time
async def test_a_check_in_flight_at_the_kill_does_not_hide_it() -> None:
    """The race: the check had its response before the kill, and its result came after it."""
    async with run_links(A) as running:
        await advance_time(9.45)
        running.of(A).kill()
        killed = elapsed()
        await advance_time(2)
        red = running.seconds_until(A, State.UNHEALTHY, killed)
        assert red is not None
        assert red < 1


@fake_time
async def test_a_stream_that_ends_while_the_server_is_healthy_is_opened_again() -> None:
    async with run_links(A) as running:
        await advance_time(15)
        running.of(A).current.end()
        await advance_time(0.1)
        assert running.state(A) is LinkState.CONNECTING
        await advance_time(0.5)
        assert running.state(A) is LinkState.LIVE
        assert [state for _, _, state in running.changes] == [State.HEALTHY]
        assert len(running.events) == 2


@fake_time
async def test_silence_of_a_stopped_process_is_noticed_before_20_seconds() -> None:
    """SIGSTOP: it accepts and never answers; the check by the clock is first here."""
    async with run_links(A) as running:
        await heartbeats(running.of(A), 3)
        running.of(A).script |= {"/global/health": no_reply(), "/path": no_reply()}
        stopped = elapsed()
        await advance_time(30)
        red = running.seconds_until(A, State.UNHEALTHY, stopped)
        assert red is not None
        assert red < 20


@fake_time
async def test_silence_leads_to_a_check_at_once() -> None:
    async with run_links(A) as running:
        await heartbeats(running.of(A), 3, every=4.0)
        since = elapsed()
        asked = len(running.of(A).requests)
        await advance_time(9.95)
        before = [at for path, at in running.of(A).requests[asked:]]
        await advance_time(0.1)
        after = [at for path, at in running.of(A).requests[asked:]]
        assert [round(at - since, 1) for at in after[len(before) :]] == [10.0]


@fake_time
async def test_a_healthy_server_without_heartbeats_is_rarely_reconnected() -> None:
    async with run_links(A, served=(EVENTS_PATH,)) as running:
        await advance_time(300)
        opened = [at for path, at in running.of(A).attempts if path == EVENTS_PATH]
        assert len(opened) == 5
        assert [state for _, _, state in running.changes] == [State.HEALTHY]
        assert [path for path, _ in running.of(A).attempts].count(GLOBAL_EVENTS_PATH) == 1


@pytest.mark.parametrize(
    ("jitter", "expected"),
    [(0.0, [0.5, 1, 2, 4, 6.7, 6.7, 6.7]), (1.0, [0.8, 1.5, 3, 6, 10, 10, 10])],
)
@fake_time
async def test_a_link_that_ends_at_once_is_retried_with_backoff(
    jitter: float, expected: list[float]
) -> None:
    async with run_links(A, jitter=jitter) as running:

        async def end_all() -> None:
            count = 0
            while True:
                await asyncio.sleep(0.01)
                if len(running.of(A).opened) > count:
                    count = len(running.of(A).opened)
                    running.of(A).current.end()

        async with asyncio.TaskGroup() as group:
            ender = group.create_task(end_all())
            await advance_time(60)
            ender.cancel()
        times = [at for _, at in running.of(A).attempts]
        gaps = [b - a for a, b in pairwise(times)]
        assert gaps[1:8] == pytest.approx(expected, abs=0.1)
        assert running.monitor.state(A.id) is State.HEALTHY


@fake_time
async def test_a_server_without_a_stream_is_polled_and_rarely_asked_for_one() -> None:
    async with run_links(A, served=()) as running:
        assert running.state(A) is LinkState.POLLING
        await advance_time(NO_STREAM_RETRY_DELAY - 1)
        assert len(running.of(A).attempts) == 2
        running.of(A).served = (GLOBAL_EVENTS_PATH,)
        await advance_time(2)
        assert running.state(A) is LinkState.LIVE


@fake_time
async def test_a_proxy_that_buffers_events_is_named_and_rarely_asked_for_a_stream() -> None:
    async with run_links(A) as running:
        running.of(A).sends_nothing = True
        running.of(A).current.end()
        attempts = len(running.of(A).attempts)
        await advance_time(11)
        assert running.state(A) is LinkState.BUFFERED
        assert len(running.of(A).attempts) == attempts + 1
        await advance_time(BUFFERED_RETRY_DELAY - 1)
        assert len(running.of(A).attempts) == attempts + 1
        await advance_time(5)
        assert len(running.of(A).attempts) == attempts + 2
        # The next attempt doesn't hide it.
        assert running.state(A) is LinkState.BUFFERED
        assert [state for _, _, state in running.changes] == [State.HEALTHY]
        running.of(A).sends_nothing = False
        await advance_time(BUFFERED_RETRY_DELAY + 11)
        assert running.state(A) is LinkState.LIVE


@fake_time
async def test_a_proxy_that_buffers_the_head_of_the_stream_is_named_after_three_attempts() -> None:
    async with run_links(A) as running:
        running.of(A).open_failure = Reason.TIMEOUT
        running.of(A).current.end()
        await advance_time(5)
        assert running.state(A) is LinkState.BUFFERED
        attempts = len(running.of(A).attempts)
        await advance_time(BUFFERED_RETRY_DELAY - 5)
        assert len(running.of(A).attempts) == attempts
        assert [state for _, _, state in running.changes] == [State.HEALTHY]


@pytest.mark.parametrize("reason", [Reason.AUTH_REQUIRED, Reason.AUTH_REJECTED])
@fake_time
async def test_a_stream_that_wants_other_credentials_is_asked_for_once_in_ten_minutes(
    reason: Reason,
) -> None:
    async with run_links(A) as running:
        running.of(A).open_failure = reason
        running.of(A).current.end()
        attempts = len(running.of(A).attempts)
        await advance_time(BUFFERED_RETRY_DELAY - 1)
        assert len(running.of(A).attempts) == attempts + 1


@pytest.mark.parametrize(
    "reason",
    [
        Reason.AUTH_REJECTED,
        Reason.NOT_OPENCODE,
        Reason.DNS,
        Reason.UNREACHABLE,
        Reason.TIMEOUT,
        Reason.SERVER_ERROR,
        Reason.INCOMPATIBLE,
    ],
)
@fake_time
async def test_only_a_refused_connection_leads_to_frequent_checks(reason: Reason) -> None:
    async with run_links(A) as running:
        running.of(A).kill(reason)
        await advance_time(5)
        assert running.monitor.state(A.id) is State.UNHEALTHY
        began = elapsed()
        await advance_time(60)
        assert len({round(at) for _, at in running.of(A).requests if at > began}) <= 7


@fake_time
async def test_a_server_that_was_never_healthy_is_not_checked_often() -> None:
    servers = [replace(A), replace(B)]
    async with run_links(*servers, dead=B) as running:
        await advance_time(60)
        assert len(running.of(B).requests) <= 7


@fake_time
async def test_frequent_checks_end_two_minutes_after_the_server_was_healthy() -> None:
    async with run_links(A) as running:
        await advance_time(5)
        running.of(A).kill()
        await advance_time(RECOVERY_CHECK_PERIOD - 1)
        often = len(running.of(A).requests)
        assert often > 100
        await advance_time(60)
        assert len(running.of(A).requests) - often <= 10


@fake_time
async def test_a_stored_green_opens_no_stream_before_the_first_check_of_this_process() -> None:
    stored = HealthStatus(state=State.HEALTHY, reason=Reason.OK, checked_at=utc_now(), since=EPOCH)
    refusing = raw_reply(b"", "text/plain", 401)
    async with run_links(A, stored={A.id: stored}, health=refusing) as running:
        await advance_time(30)
        assert running.of(A).attempts == []
        assert running.of(A).paths == [GLOBAL_HEALTH]
        running.of(A).restart()
        await running.monitor.check(A)
        await advance_time(1)
        assert running.state(A) is LinkState.LIVE


@fake_time
async def test_a_server_whose_streams_end_without_a_byte_is_polled_and_not_suspected() -> None:
    async with run_links(A) as running:
        running.of(A).ends_at_once = True
        running.of(A).current.end()
        failures = []
        for _ in range(600):
            await advance_time(0.1)
            failures.append(running.monitor.status(A.id).failures)
        assert running.state(A) is LinkState.POLLING
        assert [state for _, _, state in running.changes] == [State.HEALTHY]
        # Only the stream that was open is fetched again, and counts as a failure until a check.
        assert [event for _, _, event in running.events] == [Connected()]
        assert sum(failures) <= 1
        assert len(running.of(A).attempts) < 15


@fake_time
async def test_the_stream_of_a_hung_server_is_closed_when_it_is_unhealthy() -> None:
    async with run_links(A) as running:
        running.of(A).script |= {"/global/health": no_reply(), "/path": no_reply()}
        await advance_time(25)
        assert running.monitor.state(A.id) is State.UNHEALTHY
        assert running.of(A).current.closed
        assert running.state(A) is LinkState.POLLING


@fake_time
async def test_a_new_stream_and_its_session_events_are_passed_on() -> None:
    async with run_links(A, B) as running:
        await advance_time(1)
        stream = running.of(B).current
        stream.send("session.deleted", {"info": {"id": "ses_1"}})
        stream.send("message.part.delta", {"delta": "x"})
        stream.send("session.status", {"sessionID": "ses_2", "status": {"type": "busy"}})
        await advance_time(1)
        assert [(server_id, event) for _, server_id, event in running.events] == [
            (A.id, Connected()),
            (B.id, Connected()),
            (B.id, SessionChanged(session_id="ses_1", directory="global", deleted=True)),
            (B.id, ActivityChanged(session_id="ses_2", directory="global", activity=BUSY)),
        ]


@fake_time
async def test_the_number_of_links_is_bounded_and_the_active_server_is_linked() -> None:
    servers = [profile(number) for number in range(1, 8)]
    async with run_links(*servers, active=servers[6], max_links=3) as running:
        assert [s for s in servers if running.state(s) is LinkState.LIVE] == [
            *servers[:2],
            servers[6],
        ]
        running.links.reconcile(servers, servers[4].id)
        await advance_time(0.5)
        assert [s for s in servers if running.state(s) is LinkState.LIVE] == [
            *servers[:2],
            servers[4],
        ]
        assert running.of(servers[6]).current.closed
        assert len(running.of(servers[0]).opened) == 1


@fake_time
async def test_a_new_url_reconnects_the_link_and_a_new_label_does_not() -> None:
    async with run_links(A) as running:
        for edited, opened in ((replace(A, label="new"), 1), (replace(A, url="http://b"), 2)):
            running.monitor.reconcile([edited], None)
            running.links.reconcile([edited], None)
            await advance_time(1)
            assert len(running.of(A).opened) == opened
        assert running.of(A).opened[0].closed


@pytest.mark.parametrize("reason", [Reason.AUTH_REJECTED, Reason.TLS, Reason.SERVER_ERROR])
def test_a_link_that_cannot_be_opened_makes_no_healthy_server_unhealthy(
    reason: Reason,
) -> None:
    @fake_time
    async def run() -> None:
        async with run_links(A) as running:
            running.of(A).open_failure = reason
            running.of(A).current.end(RequestFailed(Reason.UNREACHABLE, "Cut."))
            await advance_time(60)
            assert [state for _, _, state in running.changes] == [State.HEALTHY]

    run()


@fake_time
async def test_reconnect_opens_every_stream_again() -> None:
    async with run_links(A, B) as running:
        running.of(B).kill()
        await advance_time(5)
        asked = len(running.of(A).requests)
        running.links.reconnect()
        await advance_time(0.1)
        assert running.state(A) is LinkState.LIVE
        assert [stream.closed for stream in running.of(A).opened] == [True, False]
        # Events that were lost meanwhile are made up for.
        opened = [i for _, i, event in running.events if isinstance(event, Connected)]
        assert opened == [A.id, B.id, A.id]
        # It says nothing of the server.
        assert len(running.of(A).requests) == asked
        assert running.monitor.status(A.id).failures == 0


@fake_time
async def test_closing_closes_every_stream() -> None:
    async with run_links(A, B) as running:
        running.of(B).kill()
    assert running.of(A).current.closed
    assert running.of(B).current.closed
