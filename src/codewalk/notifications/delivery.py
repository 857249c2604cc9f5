"""Runs a hook's program, or calls its URL, once."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from codewalk.errors import HookFailed, RequestFailed
from codewalk.notifications.hook import Hook, HookKind, parse_webhook_url
from codewalk.secret import Secret
from codewalk.settings import environment_without_secrets

if TYPE_CHECKING:
    from codewalk.opencode.connection import Connection

DELIVERY_TIMEOUT: Final = 10.0
"""Seconds that a program or a request has."""

MAX_STDERR_BYTES: Final = 500
"""Bytes of what a program says on its standard error that an error repeats."""

MAX_RESPONSE_BYTES: Final = 16 * 1024
"""Bytes that the answer to a webhook may have."""

_CHUNK: Final = 4096

Connect = Callable[[str, str | None, Secret | None], Awaitable["Connection"]]
"""Gives the connection to an origin, with these credentials."""


class Delivery:
    """Hands a payload to a hook.

    `connect` is for webhooks; programs run in `environment`, without what is CodeWalk's own in it:
    its token and keys are nobody else's. `timeout` is in seconds, for either.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        environment: Mapping[str, str] = os.environ,
        timeout: float = DELIVERY_TIMEOUT,
    ) -> None:
        self._connect = connect
        self._environment = environment
        self._timeout = timeout

    async def deliver(self, hook: Hook, payload: bytes) -> None:
        """Raises `HookFailed` where it didn't do its work, `StorageError` for one that can't be
        read."""
        if hook.kind is HookKind.COMMAND:
            environment = environment_without_secrets(self._environment)
            await _run(hook.arguments, payload, environment, self._timeout)
        else:
            await self._post(hook.target.reveal(), payload)

    async def _post(self, url: str, payload: bytes) -> None:
        address = parse_webhook_url(url)
        connection = await self._connect(address.origin, address.username, address.password)
        try:
            answer = await connection.post(
                address.path, payload, timeout=self._timeout, limit=MAX_RESPONSE_BYTES
            )
        except RequestFailed as exc:
            raise HookFailed(f"The webhook at {address.origin} failed: {exc.detail}") from exc
        if not answer.ok:
            raise HookFailed(f"The webhook at {address.origin} answered {answer.status}.")


async def _run(
    arguments: tuple[str, ...], payload: bytes, environment: Mapping[str, str], timeout: float
) -> None:
    """Runs a program with `payload` on its standard input. What it writes is dropped, but for the
    beginning of its standard error."""
    program = os.path.basename(arguments[0])  # noqa: PTH119 - a name, not a file of ours
    with _Errors() as errors:
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors.descriptor,
                env=environment,
                # A group of its own, so that its children end with it.
                start_new_session=sys.platform != "win32",
            )
        except (OSError, ValueError) as exc:
            raise HookFailed(f"{program} can't be run: {exc}.") from exc
        try:
            async with asyncio.timeout(timeout):
                await _feed(process.stdin, payload)
                status = await process.wait()
        except TimeoutError as exc:
            raise HookFailed(f"{program} didn't end within {timeout:g} s.") from exc
        finally:
            await _end(process)
    if status:
        text = f": {errors.text}" if errors.text else "."
        raise HookFailed(f"{program} ended with status {status}{text}")


class _Errors:
    """A program's standard error: read as it comes, and the first `MAX_STDERR_BYTES` bytes kept.

    Not a pipe of asyncio's: what a program leaves running may hold its end open for ever.
    """

    def __init__(self) -> None:
        self.descriptor = asyncio.subprocess.DEVNULL
        self._kept = b""
        self._ours: int | None = None

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()

    def __enter__(self) -> Self:
        if sys.platform != "win32":  # its event loop can't wait for a pipe in this way
            self._ours, self.descriptor = os.pipe()
            os.set_blocking(self._ours, False)
            asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours is None:
            return
        os.close(self.descriptor)
        self._read()
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            chunk = os.read(self._ours or 0, _CHUNK)
            self._kept = (self._kept + chunk)[:MAX_STDERR_BYTES]


async def _feed(stream: asyncio.StreamWriter | None, payload: bytes) -> None:
    if stream is None:
        return
    # A program needn't read what it is given.
    with suppress(ConnectionError):
        stream.write(payload)
        await stream.drain()
    stream.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends a program that still runs, with its children."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
