"""The managed local server starts when somebody asks for it, and ends with the app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import codewalk
from codewalk.app.app import App
from codewalk.app.composition import open_parts
from codewalk.app.managed_server import NOT_STARTED, STARTING, STOPPED, ManagedServer
from codewalk.errors import OpenCodeMissing
from codewalk.reason import State
from codewalk.settings import Settings
from tests.fake_opencode import write_fake


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[App]:
    """An app that can start a local server, as `codewalk up` is."""
    async with codewalk.open(settings, watch=True) as app, asyncio.timeout(20), app.local.control():
        yield app


async def healthy(app: App) -> None:
    """Waits until the local server is there and well."""
    with app.announcer.listen() as events:
        while not (app.servers() and app.servers()[0].health.state is State.HEALTHY):
            await events.get()


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.fixture
def with_opencode(settings: Settings, tmp_path: Path) -> Settings:
    return replace(settings, opencode=str(write_fake(tmp_path)))


async def test_it_starts_on_the_word_and_not_before(with_opencode: Settings) -> None:
    before = set(children())
    async with opened(with_opencode) as app:
        local = app.local
        assert (local.available, local.starting, local.running) == (True, False, False)
        assert app.servers() == []
        assert set(children()) == before
        await local.start()
        assert (local.starting, local.running) == (True, False)
        await healthy(app)
        assert (local.starting, local.running) == (False, True)
        assert app.servers()[0].profile.managed
        assert set(children()) > before
    assert (local.available, local.starting, local.running) == (False, False, False)
    assert set(children()) == before


class FaultyManagedServer(ManagedServer):
    """Fails unforeseen the first time that its server is run."""

    faults = 1

    @asynccontextmanager
    async def run(self, executable: Path) -> AsyncIterator[None]:
        if self.faults:
            self.faults -= 1
            raise KeyError("unforeseen")
        async with super().run(executable):
            yield


async def test_an_unforeseen_error_is_logged_and_it_starts_all_the_same(
    with_opencode: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_parts(with_opencode, watch=True) as parts, asyncio.timeout(20):
        local = FaultyManagedServer(
            with_opencode,
            registry=parts.registry,
            monitor=parts.monitor,
            announcer=parts.app.announcer,
        )
        async with local.control():
            await local.start()
            await healthy(parts.app)
            assert local.running
    [fault] = [entry for entry in caplog.records if entry.exc_info]
    assert fault.getMessage() == "The background job 'managed server' failed; it is started again."


async def test_second_start_changes_nothing(with_opencode: Settings) -> None:
    async with opened(with_opencode) as app:
        async with asyncio.TaskGroup() as group:
            for click in ("first", "second"):
                group.create_task(app.local.start(), name=click)
        await healthy(app)
        started = app.servers(), set(children())
        await app.local.start()
        assert (app.servers(), set(children())) == started


async def test_it_ends_though_it_was_still_starting(with_opencode: Settings) -> None:
    async with opened(with_opencode) as app:
        with app.announcer.listen() as events:
            await app.local.start()
            while app.local.message != STARTING:
                await events.get()
    assert app.local.message == STOPPED


async def test_without_opencode_it_says_how_to_get_it(settings: Settings, tmp_path: Path) -> None:
    place = tmp_path / "later"
    async with opened(replace(settings, opencode=str(place / "opencode"))) as app:
        assert not app.local.available
        with pytest.raises(OpenCodeMissing, match=r"CODEWALK_OPENCODE names .* can't be run"):
            await app.local.start()
        assert not app.local.starting
        # Installed meanwhile, it is found by the next click.
        place.mkdir()
        write_fake(place)
        await app.local.start()
        await healthy(app)
        assert app.local.unavailable_reason is None


async def test_one_from_an_earlier_run_says_that_it_is_not_started(
    with_opencode: Settings,
) -> None:
    async with opened(with_opencode) as app:
        await app.local.start()
        await healthy(app)
    async with opened(with_opencode) as app:
        (server,) = app.servers()
        assert (server.health.state, server.health.detail) == (State.UNKNOWN, NOT_STARTED)
        await app.local.start()
        await healthy(app)
        assert [s.id for s in app.servers()] == [server.id]


async def test_app_that_is_not_the_running_one_starts_none(with_opencode: Settings) -> None:
    async with codewalk.open(with_opencode) as app:
        assert (app.local.available, app.local.unavailable_reason) == (False, STOPPED)
        with pytest.raises(OpenCodeMissing, match="codewalk up"):
            await app.local.start()
