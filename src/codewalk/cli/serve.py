"""The life of the running app: start everything, serve, stop everything."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from codewalk.app.app import App
from codewalk.app.composition import open_app
from codewalk.cli.garbage_collection import collect_garbage_less_often
from codewalk.cli.output import print_message
from codewalk.cli.runner import show_spinner
from codewalk.local.orphans import RECORD_FILE, end_orphans
from codewalk.secret import Secret
from codewalk.settings import Settings
from codewalk.tasks import InterruptibleBlock
from codewalk.web.server import make_web, serve

REQUEST_GRACE_SECONDS: Final = 0.6
"""Seconds that requests under way have left once the app is told to stop."""

FORCED_EXIT_SECONDS: Final = 2.8
"""Seconds after which the process ends, whatever hangs; the local server's guard ends that then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """What the app is to be.

    `on_ready` is called on the event loop once it serves, with what lets one browser in once.
    """

    settings: Settings
    sock: socket.socket
    hosts: Sequence[str]
    token: Secret
    manage_local: bool
    on_ready: Callable[[Secret], None]


def serve_app(options: ServeOptions) -> None:
    """Runs the app until a signal stops it. Raises `StorageError`."""
    raise_file_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(options))


class _Stop:
    """The order to stop: `event` for who serves; whoever doesn't serve yet is cancelled."""

    def __init__(self, task: "asyncio.Task[None] | None") -> None:
        self.event = asyncio.Event()
        self._task = task
        self._serving = InterruptibleBlock()
        self._is_serving = False

    def __call__(self) -> None:
        first = not self.event.is_set()
        self.event.set()
        if first:
            _end_at_last()
        if first and self._is_serving:
            self._serving.interrupt(after=REQUEST_GRACE_SECONDS)
        elif self._task:
            self._task.cancel()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """A block that has `REQUEST_GRACE_SECONDS` seconds left once the order came."""
        try:
            async with self._serving:
                self._is_serving = True
                yield
        except TimeoutError:
            if not self.event.is_set():
                raise
        finally:
            self._is_serving = False


async def _run(options: ServeOptions) -> None:
    stop = _Stop(asyncio.current_task())
    _on_signals(stop)
    try:
        await _serve(options, stop)
    except asyncio.CancelledError:
        # While it starts, being told to stop is a cancellation; it did what was asked.
        if not stop.event.is_set():
            raise


async def _serve(options: ServeOptions, stop: _Stop) -> None:
    async with (
        show_spinner("starting") as spinner,
        open_app(options.settings, watch=True) as app,
        _local(app, wanted=options.manage_local),
    ):
        web = make_web(app, options.token, hosts=options.hosts)

        def ready() -> None:
            spinner.stop()
            collect_garbage_less_often()
            options.on_ready(web.state.access.create_invitation())

        async with stop.serving():
            await serve(web, options.sock, ready=ready, stop=stop.event)


@asynccontextmanager
async def _local(app: App, *, wanted: bool) -> AsyncIterator[None]:
    """The managed local server: at once where it is wanted and OpenCode is installed, else once it
    is asked for."""
    async with app.local.control():
        if wanted and app.local.available:
            await app.local.start()
            yield
            return
        # One that an earlier run left behind ends, wanted or not.
        await asyncio.to_thread(end_orphans, app.settings.data_dir / RECORD_FILE)
        if wanted:
            app.local.message = app.local.unavailable_reason
            print_message(f"note: {app.local.unavailable_reason}")
        yield


def _on_signals(stop: _Stop) -> None:
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        # `nohup` asks for an ignored hangup to stay so. An ignored interrupt only says that a
        # script started this in the background, and it must be able to stop it.
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


def _end_at_last() -> None:
    def end() -> None:
        os._exit(0)

    timer = threading.Timer(FORCED_EXIT_SECONDS, end)
    timer.daemon = True
    timer.start()


def raise_file_limit() -> None:
    """Lets this process hold as many connections as the system permits it: one a server."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, 65_536, 10_240):
        if limit == resource.RLIM_INFINITY:
            continue  # macOS says so and permits less
        if soft != resource.RLIM_INFINITY and soft < limit:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop
