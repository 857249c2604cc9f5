"""Stands between CodeWalk and its local OpenCode server, and ends the server when CodeWalk ends.

    python -I -S guard.py PARENT LOG COMMAND…

A program can't clean up after its own `kill -9`, but another can: this one holds the reading end of
a pipe from CodeWalk, and the pipe's end, however it came about, means that CodeWalk is gone. It is
run by its path, uses the standard library alone, and starts in some hundredths of a second.

On standard output, one line each: `pid N`, `url U` when the server is ready, `error TEXT` when it
can't be started. It ends with the command's status, or 128 and the number of the signal that ended
it. What the command prints goes to LOG, which is kept below twice `MAX_LOG`.
"""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, BinaryIO

KILL_DELAY = 1.5
"""Seconds from the request to end until it is an order."""

MAX_LOG = 2**20
MAX_LINE = 2**13
_PR_SET_PDEATHSIG = 1
_READY = re.compile(rb"opencode server listening on (https?://\S+)")


class Log:
    """A private file of bounded size, in which the server's password never shows."""

    def __init__(self, path: str, secret: bytes) -> None:
        self._path = path
        self._secret = secret
        self._file = self._open()

    def write(self, line: bytes) -> None:
        if self._secret:
            line = line.replace(self._secret, b"***")
        try:
            self._file.write(line)
            if self._file.tell() > MAX_LOG:
                self._file.close()
                os.replace(self._path, f"{self._path}.1")  # noqa: PTH105  pathlib is slow to import
                self._file = self._open()
        except OSError:
            # A full disk must not stop the reading, which would stop the server.
            pass

    def _open(self) -> BinaryIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "ab", buffering=0)
        file.seek(0, os.SEEK_END)
        return file


def main(parent: int, log_path: str, command: list[str]) -> int:
    """Runs `command` until it ends or CodeWalk does; returns its status."""
    stop, ended = threading.Event(), threading.Event()
    # Not `stop.set()` in the handler: a second signal may come while the first one's holds the
    # event's lock, and then waits for itself for ever. This queue's `put` is made for handlers.
    asked: queue.SimpleQueue[None] = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: asked.put(None))
    threading.Thread(target=_pass_on, args=(asked, stop), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        return 0
    try:
        log = Log(log_path, os.environ.get("OPENCODE_SERVER_PASSWORD", "").encode())
        child = _start(command)
    except OSError as exc:
        _say(f"error {exc.strerror}: {exc.filename}")
        return 127
    _say(f"pid {child.pid}")
    pump = threading.Thread(target=_pump, args=(child.stdout, log), daemon=True)
    pump.start()
    threading.Thread(target=_watch_pipe, args=(stop,), daemon=True).start()
    threading.Thread(target=_watch_parent, args=(parent, stop), daemon=True).start()
    threading.Thread(target=_end_on, args=(child, stop, ended), daemon=True).start()
    status = _wait(child)
    ended.set()
    pump.join(0.5)
    return status if status >= 0 else 128 - status


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    # In a group of its own: the command may be a launcher that leaves the work to a child, and a
    # Ctrl-C in the terminal is CodeWalk's to handle.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=None if sys.platform == "win32" else 0,
        preexec_fn=_prepare_child if sys.platform == "linux" else None,  # noqa: PLW1509  one thread
    )


def _prepare_child() -> None:
    # Where this guard is killed outright, nobody is left to ask politely.
    _die_with_parent(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)


def _die_with_parent(number: signal.Signals) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def _pass_on(asked: "queue.SimpleQueue[None]", stop: threading.Event) -> None:
    asked.get()
    stop.set()


def _watch_pipe(stop: threading.Event) -> None:
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    stop.set()


def _watch_parent(parent: int, stop: threading.Event) -> None:
    # The parent's death is told by a signal too, but the system may hand that to a thread, and
    # then the main one, which alone runs Python's handlers, goes on waiting for the command.
    while not stop.wait(0.5):
        if os.getppid() != parent:
            stop.set()


def _end_on(
    child: "subprocess.Popen[bytes]", stop: threading.Event, ended: threading.Event
) -> None:
    stop.wait()
    _signal(child, hard=False)
    if not ended.wait(KILL_DELAY):
        _signal(child, hard=True)


def _wait(child: "subprocess.Popen[bytes]") -> int:
    if sys.platform != "win32":
        # Until it is reaped its number can't be anybody else's: end what is left of its group.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        _signal(child, hard=True)
    return child.wait()


def _signal(child: "subprocess.Popen[bytes]", *, hard: bool) -> None:
    try:
        if sys.platform == "win32":
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(child.pid)], check=False, capture_output=True
            )
        else:
            os.killpg(child.pid, signal.SIGKILL if hard else signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError:
        # macOS says this of a group that only a zombie is left of.
        pass


def _pump(output: IO[bytes], log: Log) -> None:
    ready = False
    while line := output.readline(MAX_LINE):
        log.write(line)
        found = None if ready else _READY.search(line)
        if found:
            ready = True
            _say(f"url {found[1].decode('ascii', 'replace')}")


def _say(line: str) -> None:
    # Where nobody listens any more, the pipe's end says what to do.
    with suppress(OSError):
        os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    # Not `sys.exit`: taking the interpreter apart waits for locks that the threads may hold, and
    # nothing may keep this program from ending.
    os._exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
