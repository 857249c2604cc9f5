"""Runs the app: opens everything, serves, and closes everything when a signal stops it."""

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
"""Seconds that requests in flight have to end once a signal has stopped the app."""

FORCED_EXIT_SECONDS: Final = 2.8
"""Seconds after a signal until the process exits, even if something hangs.

The local server's guard then ends that server.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """The app to serve, and its address.

    Attributes:
        settings: Names the data folder and the store.
        sock: The listening socket.
        hosts: The host names and addresses that it listens on.
        allowed_hosts: Further host names that browsers may use for it.
        token: The access token.
        on_open: Called in another thread once the store is open.
        manage_local: Whether to start an OpenCode server on this machine, if one is installed.
        on_ready: Called on the event loop once the app serves, with an invitation: a secret that
            gives one browser access, once.
    """

    settings: Settings
    sock: socket.socket
    hosts: Sequence[str]
    allowed_hosts: Sequence[str]
    token: Secret
    on_open: Callable[[App], None]
    manage_local: bool
    on_ready: Callable[[Secret], None]


def serve_app(options: ServeOptions) -> None:
    """Run the app until a signal stops it.

    Raises:
        StorageError: The store can't be opened.
    """
    raise_file_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(options))


class _Stop:
    """Stops the app when it is called: by `event` while it serves, before that by cancellation."""

    def __init__(self, task: "asyncio.Task[None] | None") -> None:
        self.event = asyncio.Event()
        self._task = task
        self._serving = InterruptibleBlock()
        self._is_serving = False

    def __call__(self) -> None:
        first = not self.event.is_set()
        self.event.set()
        if first:
            _exit_after(FORCED_EXIT_SECONDS)
        if first and self._is_serving:
            self._serving.interrupt(after=REQUEST_GRACE_SECONDS)
        elif self._task:
            self._task.cancel()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Mark a block that serves; it has `REQUEST_GRACE_SECONDS` left after a signal."""
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
        # While the app starts, a signal cancels it; that is a success.
        if not stop.event.is_set():
            raise


async def _serve(options: ServeOptions, stop: _Stop) -> None:
    async with (
        show_spinner("starting") as spinner,
        open_app(options.settings, watch=True) as app,
        _managed_server(app, wanted=options.manage_local),
    ):
        await asyncio.to_thread(options.on_open, app)
        web = make_web(app, options.token, hosts=options.hosts, allowed_hosts=options.allowed_hosts)

        def on_ready() -> None:
            spinner.stop()
            collect_garbage_less_often()
            options.on_ready(web.state.access.create_invitation())

        async with stop.serving():
            await serve(web, options.sock, ready=on_ready, stop=stop.event)


@asynccontextmanager
async def _managed_server(app: App, *, wanted: bool) -> AsyncIterator[None]:
    """Make the managed local server available, started at once if wanted and installed."""
    async with app.local.control():
        if wanted and app.local.available:
            await app.local.start()
            yield
            return
        # One that an earlier run left running is ended, wanted or not.
        await asyncio.to_thread(end_orphans, app.settings.data_dir / RECORD_FILE)
        if wanted:
            app.local.message = app.local.unavailable_reason
            print_message(f"note: {app.local.unavailable_reason}")
        yield


def _on_signals(stop: _Stop) -> None:
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        # With `nohup` an ignored hangup has to stay ignored. An ignored interrupt only means that a
        # script started this in the background, and the script must be able to stop it.
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))


def _exit_after(seconds: float) -> None:
    def exit_now() -> None:
        os._exit(0)

    timer = threading.Timer(seconds, exit_now)
    timer.daemon = True
    timer.start()


def raise_file_limit() -> None:
    """Raise the limit of open files as far as the system permits: each server is a connection."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, 65_536, 10_240):
        if limit == resource.RLIM_INFINITY:
            continue  # macOS reports this and permits less
        if soft != resource.RLIM_INFINITY and soft < limit:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:  # not available on Windows
        return None
    return uvloop.new_event_loop
