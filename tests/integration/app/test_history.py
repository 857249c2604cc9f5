"""A server's history, as a running app keeps it and others read it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

import codewalk
from codewalk.app.app import App
from codewalk.errors import InvalidValue, ServerNotFound
from codewalk.history.period import DAY
from codewalk.reason import Reason, State
from codewalk.settings import Settings
from tests.mock_opencode import MockOpenCode

TIMEOUT = 10.0


async def wait_for_state(app: App, state: State) -> None:
    """Wait until the first server is in this state."""
    with app.announcer.listen() as events:
        async with asyncio.timeout(TIMEOUT):
            while app.servers()[0].health.state is not state:
                await events.get()


async def test_the_history_of_a_running_app_is_there_at_once_and_after_its_end(
    settings: Settings,
) -> None:
    async with codewalk.open(settings, watch=True) as app:
        async with MockOpenCode() as server:
            added = await app.add_server(server.url)
            await app.check(added.id)
            # With its live link up, nobody is just connecting when it ends.
            await asyncio.wait_for(server.world.subscribed.wait(), TIMEOUT)
        await wait_for_state(app, State.UNHEALTHY)
        # Nothing of this is written yet.
        seen = await app.history(added.id)
        assert [t.after for t in seen.transitions] == [State.UNHEALTHY, State.HEALTHY]
        assert seen.transitions[0].reason is Reason.REFUSED
        assert seen.transitions[0].detail
        assert seen.checks[0].ok
        assert not seen.checks[-1].ok
        assert app.recent_checks(added.id) == seen.checks
        # A failure that repeats at once is counted, but not among the recent checks.
        assert sum(period.checks for period in seen.periods) >= len(seen.checks)
        assert seen.uptimes[0].up > timedelta(0)
    async with codewalk.open(settings) as command:
        stored = await command.history(added.id)
        assert list(stored.transitions) == list(seen.transitions)
        assert list(stored.checks)[: len(seen.checks)] == list(seen.checks)
    async with codewalk.open(settings, watch=True) as again:
        assert again.recent_checks(added.id)[: len(seen.checks)] == list(seen.checks)


async def test_the_check_of_a_command_is_in_the_history(settings: Settings) -> None:
    async with MockOpenCode() as server:
        async with codewalk.open(settings) as app:
            added = await app.add_server(server.url)
        for _ in range(2):
            async with codewalk.open(settings) as app:
                await app.check(added.id)
    async with codewalk.open(settings) as app:
        history = await app.history(added.id)
        assert len(history.checks) == 2
        assert sum(period.checks for period in history.periods) == 2
        assert [t.after for t in history.transitions] == [State.HEALTHY]
        assert history.uptimes[0].percent == 100


async def test_a_server_without_a_history_has_an_empty_one(settings: Settings) -> None:
    async with codewalk.open(settings) as app:
        added = await app.add_server("http://127.0.0.1:9", check=False)
        history = await app.history(added.id)
        assert (history.transitions, history.periods, history.checks) == ([], [], [])
        assert [uptime.percent for uptime in history.uptimes] == [None, None, None]
        assert history.until - history.since == DAY
        assert app.recent_checks(added.id) == []


async def test_an_unknown_server_or_a_start_in_the_future_is_refused(settings: Settings) -> None:
    async with codewalk.open(settings) as app:
        with pytest.raises(ServerNotFound):
            await app.history("nobody")
        added = await app.add_server("http://127.0.0.1:9", check=False)
        with pytest.raises(InvalidValue):
            await app.history(added.id, since=datetime.now(UTC) + timedelta(minutes=1))


async def test_an_undone_removal_restores_the_history(settings: Settings) -> None:
    async with MockOpenCode() as server:
        async with codewalk.open(settings) as app:
            added = await app.add_server(server.url)
            await app.check(added.id)
        async with codewalk.open(settings, watch=True) as app:
            checks = app.recent_checks(added.id)
            assert checks
            await app.remove_server(added.id)
            await app.restore_server(added.id)
            history = await app.history(added.id)
            assert app.recent_checks(added.id)[: len(checks)] == checks
            assert [t.after for t in history.transitions] == [State.HEALTHY]
            assert sum(period.checks for period in history.periods) >= len(checks)


async def test_a_removed_servers_history_goes_with_it(settings: Settings) -> None:
    async with MockOpenCode() as server, codewalk.open(settings, watch=True) as app:
        added = await app.add_server(server.url)
        await app.check(added.id)
        assert app.recent_checks(added.id)
        await app.remove_server(added.id)
        await app.add_server(server.url)
        assert [t.after for t in (await app.history(server.url)).transitions] == [State.HEALTHY]
