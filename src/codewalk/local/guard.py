"""A process between CodeWalk and its local OpenCode server that ends the server with it.

    python -I -S guard.py PARENT LOG COMMAND…

A program can't clean up after its own `kill -9`, but another can: this one holds the reading end of
a pipe from CodeWalk, and the end of the pipe, whatever its cause, means that CodeWalk has ended. It
is run by its path, uses the standard library alone, and starts in some hundredths of a second.

It prints one line each: `pid N`, `url U` when the server is ready, `error TEXT` when it can't be
started. Its exit status is the command's, or 128 plus the number of the signal that ended the
command. The output of the command goes to LOG, which is kept below twice `MAX_LOG` bytes.
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
"""Seconds from SIGTERM to SIGKILL."""

MAX_LOG = 2**20
"""Bytes after which the log is rotated; one older file remains."""

MAX_LINE = 2**13
"""Bytes of the command's output that are logged at a time."""

_PR_SET_PDEATHSIG = 1
_READY = re.compile(rb"opencode server listening on (https?://\S+)")


class Log:
    """A private file of bounded size that never holds the server's password."""

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
            # On a full disk the output is still read, or the server would block.
            pass

    def _open(self) -> BinaryIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "ab", buffering=0)
        file.seek(0, os.SEEK_END)
        return file


def main(parent: int, log_path: str, command: list[str]) -> int:
    """Run `command` until it ends or CodeWalk does, and return its exit status."""
    stop, ended = threading.Event(), threading.Event()
    # Not `stop.set()` in the handler: a second signal may come while the first one's handler holds
    # the event's lock, and would wait for itself for ever. This queue's `put` is made for handlers.
    signals: queue.SimpleQueue[None] = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: signals.put(None))
    threading.Thread(target=_stop_on_signal, args=(signals, stop), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        return 0
    try:
        log = Log(log_path, os.environ.get("OPENCODE_SERVER_PASSWORD", "").encode())
        child = _start(command)
    except OSError as exc:
        _print_line(f"error {exc.strerror}: {exc.filename}")
        return 127
    _print_line(f"pid {child.pid}")
    reader = threading.Thread(target=_read_output, args=(child.stdout, log), daemon=True)
    reader.start()
    threading.Thread(target=_watch_pipe, args=(stop,), daemon=True).start()
    threading.Thread(target=_watch_parent, args=(parent, stop), daemon=True).start()
    threading.Thread(target=_end_when_stopped, args=(child, stop, ended), daemon=True).start()
    status = _wait(child)
    ended.set()
    reader.join(0.5)
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
    # Where this guard is killed, nothing is left to send SIGTERM first.
    _die_with_parent(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)


def _die_with_parent(number: signal.Signals) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))


def _stop_on_signal(signals: "queue.SimpleQueue[None]", stop: threading.Event) -> None:
    signals.get()
    stop.set()


def _watch_pipe(stop: threading.Event) -> None:
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    stop.set()


def _watch_parent(parent: int, stop: threading.Event) -> None:
    # The parent's end sends a signal too, but the system may deliver that to another thread, and
    # then the main one, which alone runs Python's handlers, goes on waiting for the command.
    while not stop.wait(0.5):
        if os.getppid() != parent:
            stop.set()


def _end_when_stopped(
    child: "subprocess.Popen[bytes]", stop: threading.Event, ended: threading.Event
) -> None:
    stop.wait()
    _signal(child, hard=False)
    if not ended.wait(KILL_DELAY):
        _signal(child, hard=True)


def _wait(child: "subprocess.Popen[bytes]") -> int:
    if sys.platform != "win32":
        # Until it is reaped no other process can have its number: end the rest of its group.
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
        # macOS raises this for a group of which only a zombie is left.
        pass


def _read_output(output: IO[bytes], log: Log) -> None:
    ready = False
    while line := output.readline(MAX_LINE):
        log.write(line)
        match = None if ready else _READY.search(line)
        if match:
            ready = True
            _print_line(f"url {match[1].decode('ascii', 'replace')}")


def _print_line(line: str) -> None:
    # Where CodeWalk has ended, the end of the pipe stops this program.
    with suppress(OSError):
        os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    # Not `sys.exit`: the interpreter's shutdown waits for locks that the threads may hold, and
    # nothing may keep this program from ending.
    os._exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
