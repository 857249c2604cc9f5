"""Live links: what a stream's end and silence do, and who has one."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from codewalk.errors import RequestFailed
from codewalk.health.link import LinkState
from codewalk.health.links import NO_STREAM_RETRY_DELAY, RECOVERY_CHECK_INTERVAL
from codewalk.health.scheduler import MIN_WAKE_INTERVAL
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
from tests.fakes import HEALTHY, PATH, no_reply, profile
from tests.unit.health.linking import linking

A, B = profile(1), profile(2)


async def heartbeats(connection: StreamingConnection, times: int, every: float = 10.0) -> None:
    for _ in range(times):
        await advance_time(every)
        connection.current.send("server.heartbeat")


@fake_time
async def test_a_healthy_server_is_linked() -> None:
    async with linking(A, B, active=A) as linked:
        assert linked.state(A) is linked.state(B) is LinkState.LIVE
        assert linked.links.state("nobody") is LinkState.POLLING


@fake_time
async def test_a_killed_server_is_red_within_a_second_and_the_other_never_changes() -> None:
    async with linking(A, B, active=A) as linked:
        for _ in range(20):
            await advance_time(3.21)
            linked.of(B).kill()
            killed = elapsed()
            await advance_time(5)
            assert linked.monitor.status(B.id).reason is Reason.REFUSED
            red = linked.became(B, State.UNHEALTHY, killed)
            assert red is not None
            assert red < 1
            assert linked.state(B) is LinkState.POLLING
            await advance_time(7.7)
            linked.of(B).restart()
            restarted = elapsed()
            await advance_time(3)
            green = linked.became(B, State.HEALTHY, restarted)
            assert green is not None
            assert green < 2
            assert linked.state(B) is LinkState.LIVE
        assert [change for change in linked.changes if change[1] == A.id][1:] == []


@fake_time
async def test_a_server_that_is_back_at_once_is_green_within_two_seconds() -> None:
    """It was refused once only, and left the request after that unanswered."""
    async with linking(A) as linked:
        linked.of(A).kill()
        await advance_time(0.75)
        assert linked.monitor.state(A.id) is State.UNHEALTHY
        linked.of(A).script |= {
            "/global/health": [no_reply(), HEALTHY],
            "/path": [no_reply(), PATH],
        }
        linked.of(A).refuses = None
        restarted = elapsed()
        await advance_time(5)
        green = linked.became(A, State.HEALTHY, restarted)
        assert green is not None
        assert green <= 2


@fake_time
async def test_a_first_request_left_unanswered_puts_the_next_one_off_by_no_more_than_its_turn() -> (
    None
):
    """The other reason for being down is news of this server, too, which wakes the link."""
    async with linking(A) as linked:
        linked.of(A).kill()
        await advance_time(8)
        # It begins to listen, and takes one request that it never answers.
        linked.of(A).script |= {
            "/global/health": [no_reply(), HEALTHY],
            "/path": [no_reply(), PATH],
        }
        linked.of(A).refuses = None
        restarted = elapsed()
        await advance_time(3)
        asked = next(at for _, at in linked.of(A).requests if at > restarted)
        green = linked.became(A, State.HEALTHY, asked)
        assert green is not None
        assert green <= RECOVERY_CHECK_INTERVAL + MIN_WAKE_INTERVAL
        since_restart = linked.became(A, State.HEALTHY, restarted)
        assert since_restart is not None
        assert since_restart <= 2


@fake_time
async def test_a_check_under_way_at_the_kill_cant_hide_it() -> None:
    """Raced: the check had its answer before the kill and was told after it."""
    async with linking(A) as linked:
        await advance_time(9.45)
        linked.of(A).kill()
        killed = elapsed()
        await advance_time(2)
        red = linked.became(A, State.UNHEALTHY, killed)
        assert red is not None
        assert red < 1


@fake_time
async def test_a_stream_that_ends_while_the_server_is_well_is_opened_again() -> None:
    async with linking(A) as linked:
        await advance_time(15)
        linked.of(A).current.end()
        await advance_time(0.1)
        assert linked.state(A) is LinkState.CONNECTING
        await advance_time(0.5)
        assert linked.state(A) is LinkState.LIVE
        assert [state for _, _, state in linked.changes] == [State.HEALTHY]
        assert len(linked.heard) == 2


@fake_time
async def test_silence_of_a_stopped_process_is_noticed_before_20_seconds() -> None:
    """SIGSTOP: it accepts and never answers; the check by the clock is first here."""
    async with linking(A) as linked:
        await heartbeats(linked.of(A), 3)
        linked.of(A).script |= {"/global/health": no_reply(), "/path": no_reply()}
        stopped = elapsed()
        await advance_time(30)
        red = linked.became(A, State.UNHEALTHY, stopped)
        assert red is not None
        assert red < 20


@fake_time
async def test_silence_has_the_server_checked_at_once() -> None:
    async with linking(A) as linked:
        await heartbeats(linked.of(A), 3, every=4.0)
        since = elapsed()
        asked = len(linked.of(A).requests)
        await advance_time(9.95)
        before = [at for path, at in linked.of(A).requests[asked:]]
        await advance_time(0.1)
        after = [at for path, at in linked.of(A).requests[asked:]]
        assert [round(at - since, 1) for at in after[len(before) :]] == [10.0]


@fake_time
async def test_a_server_that_is_well_without_heartbeats_is_left_in_peace() -> None:
    async with linking(A, served=(EVENTS_PATH,)) as linked:
        await advance_time(300)
        opened = [at for path, at in linked.of(A).tried if path == EVENTS_PATH]
        assert len(opened) == 5
        assert [state for _, _, state in linked.changes] == [State.HEALTHY]
        assert [path for path, _ in linked.of(A).tried].count(GLOBAL_EVENTS_PATH) == 1


@pytest.mark.parametrize(
    ("jitter", "expected"),
    [(0.0, [0.5, 1, 2, 4, 6.7, 6.7, 6.7]), (1.0, [0.8, 1.5, 3, 6, 10, 10, 10])],
)
@fake_time
async def test_a_link_that_ends_at_once_is_tried_ever_less_often(
    jitter: float, expected: list[float]
) -> None:
    async with linking(A, jitter=jitter) as linked:

        async def end_all() -> None:
            count = 0
            while True:
                await asyncio.sleep(0.01)
                if len(linked.of(A).opened) > count:
                    count = len(linked.of(A).opened)
                    linked.of(A).current.end()

        async with asyncio.TaskGroup() as group:
            ender = group.create_task(end_all())
            await advance_time(60)
            ender.cancel()
        times = [at for _, at in linked.of(A).tried]
        gaps = [b - a for a, b in pairwise(times)]
        assert gaps[1:8] == pytest.approx(expected, abs=0.1)
        assert linked.monitor.state(A.id) is State.HEALTHY


@fake_time
async def test_a_server_without_a_stream_is_polled_and_asked_rarely() -> None:
    async with linking(A, served=()) as linked:
        assert linked.state(A) is LinkState.POLLING
        await advance_time(NO_STREAM_RETRY_DELAY - 1)
        assert len(linked.of(A).tried) == 2
        linked.of(A).served = (GLOBAL_EVENTS_PATH,)
        await advance_time(2)
        assert linked.state(A) is LinkState.LIVE


@fake_time
async def test_a_proxy_that_holds_events_back_makes_no_server_red() -> None:
    async with linking(A) as linked:
        linked.of(A).says_nothing = True
        linked.of(A).current.end()
        await advance_time(120)
        assert linked.state(A) is LinkState.POLLING
        assert [state for _, _, state in linked.changes] == [State.HEALTHY]


@fake_time
async def test_a_server_whose_streams_end_without_a_byte_is_polled_and_not_suspected() -> None:
    async with linking(A) as linked:
        linked.of(A).ends_at_once = True
        linked.of(A).current.end()
        failures = []
        for _ in range(600):
            await advance_time(0.1)
            failures.append(linked.monitor.status(A.id).failures)
        assert linked.state(A) is LinkState.POLLING
        assert [state for _, _, state in linked.changes] == [State.HEALTHY]
        # Only the stream that was open is fetched again, and counts as a failure until a check.
        assert [event for _, _, event in linked.heard] == [Connected()]
        assert sum(failures) <= 1
        assert len(linked.of(A).tried) < 15


@fake_time
async def test_a_hung_server_that_keeps_its_stream_open_isnt_streamed() -> None:
    async with linking(A) as linked:
        linked.of(A).script |= {"/global/health": no_reply(), "/path": no_reply()}
        await advance_time(25)
        assert linked.monitor.state(A.id) is State.UNHEALTHY
        assert linked.of(A).current.closed
        assert linked.state(A) is LinkState.POLLING


@fake_time
async def test_a_new_stream_and_what_it_tells_of_sessions_are_passed_on() -> None:
    async with linking(A, B) as linked:
        await advance_time(1)
        stream = linked.of(B).current
        stream.send("session.deleted", {"info": {"id": "ses_1"}})
        stream.send("message.part.delta", {"delta": "x"})
        stream.send("session.status", {"sessionID": "ses_2", "status": {"type": "busy"}})
        await advance_time(1)
        assert [(server_id, event) for _, server_id, event in linked.heard] == [
            (A.id, Connected()),
            (B.id, Connected()),
            (B.id, SessionChanged(session_id="ses_1", directory="global")),
            (B.id, ActivityChanged(session_id="ses_2", directory="global", activity=BUSY)),
        ]


@fake_time
async def test_only_so_many_are_linked_and_the_active_one_always() -> None:
    servers = [profile(number) for number in range(1, 8)]
    async with linking(*servers, active=servers[6], max_links=3) as linked:
        assert [s for s in servers if linked.state(s) is LinkState.LIVE] == [
            *servers[:2],
            servers[6],
        ]
        linked.links.reconcile(servers, servers[4].id)
        await advance_time(0.5)
        assert [s for s in servers if linked.state(s) is LinkState.LIVE] == [
            *servers[:2],
            servers[4],
        ]
        assert linked.of(servers[6]).current.closed
        assert len(linked.of(servers[0]).opened) == 1


@fake_time
async def test_an_edit_of_the_url_links_anew_one_of_the_label_doesnt() -> None:
    async with linking(A) as linked:
        for edited, opened in ((replace(A, label="new"), 1), (replace(A, url="http://b"), 2)):
            linked.monitor.reconcile([edited], None)
            linked.links.reconcile([edited], None)
            await advance_time(1)
            assert len(linked.of(A).opened) == opened
        assert linked.of(A).opened[0].closed


@pytest.mark.parametrize("reason", [Reason.AUTH_REJECTED, Reason.TLS, Reason.SERVER_ERROR])
def test_a_link_that_fails_has_the_server_checked_and_makes_nothing_red_by_itself(
    reason: Reason,
) -> None:
    @fake_time
    async def run() -> None:
        async with linking(A) as linked:
            linked.of(A).refuses = reason
            linked.of(A).current.end(RequestFailed(Reason.UNREACHABLE, "Cut."))
            await advance_time(60)
            assert [state for _, _, state in linked.changes] == [State.HEALTHY]

    run()


@fake_time
async def test_after_a_sleep_every_link_is_opened_anew() -> None:
    async with linking(A, B) as linked:
        linked.of(B).kill()
        await advance_time(5)
        asked = len(linked.of(A).requests)
        linked.links.reconnect()
        await advance_time(0.1)
        assert linked.state(A) is LinkState.LIVE
        assert [stream.closed for stream in linked.of(A).opened] == [True, False]
        # What it would have told meanwhile is fetched.
        opened = [i for _, i, event in linked.heard if isinstance(event, Connected)]
        assert opened == [A.id, B.id, A.id]
        # It says nothing of the server.
        assert len(linked.of(A).requests) == asked
        assert linked.monitor.status(A.id).failures == 0


@fake_time
async def test_at_the_end_every_stream_is_closed() -> None:
    async with linking(A, B) as linked:
        linked.of(B).kill()
    assert linked.of(A).current.closed
    assert linked.of(B).current.closed
