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
"""Seconds that a program or a request may take."""

MAX_STDERR_BYTES: Final = 500
"""Bytes of a program's standard error that an error message repeats."""

MAX_RESPONSE_BYTES: Final = 16 * 1024
"""Bytes that the response of a webhook may have."""

_CHUNK_BYTES: Final = 4096

ConnectURL = Callable[[str, str | None, Secret | None], Awaitable["Connection"]]
"""Returns the connection to an origin, with this user name and password."""


class Delivery:
    """Delivers payloads to hooks."""

    def __init__(
        self,
        connect: ConnectURL,
        *,
        environment: Mapping[str, str] = os.environ,
        timeout: float = DELIVERY_TIMEOUT,
    ) -> None:
        """Set up the delivery.

        Args:
            connect: Connects to the origin of a webhook.
            environment: What programs run in, without CodeWalk's own variables: its token and
                keys are for nobody else.
            timeout: Seconds that a program or a request may take.
        """
        self._connect = connect
        self._environment = environment
        self._timeout = timeout

    async def deliver(self, hook: Hook, payload: bytes) -> None:
        """Deliver a payload to a hook.

        Raises:
            HookFailed: The program can't be run or ended with an error, or the URL answered with
                one.
            StorageError: The stored hook can't be read.
        """
        if hook.kind is HookKind.COMMAND:
            environment = environment_without_secrets(self._environment)
            await _run(hook.arguments, payload, environment, self._timeout)
        else:
            await self._post(hook.target.reveal(), payload)

    async def _post(self, url: str, payload: bytes) -> None:
        address = parse_webhook_url(url)
        connection = await self._connect(address.origin, address.username, address.password)
        try:
            response = await connection.post(
                address.path, payload, timeout=self._timeout, limit=MAX_RESPONSE_BYTES
            )
        except RequestFailed as exc:
            raise HookFailed(f"The webhook at {address.origin} failed: {exc.detail}") from exc
        if not response.ok:
            raise HookFailed(f"The webhook at {address.origin} answered {response.status}.")


async def _run(
    arguments: tuple[str, ...], payload: bytes, environment: Mapping[str, str], timeout: float
) -> None:
    """Run a program with `payload` on its standard input.

    Its output is dropped, except for the beginning of its standard error.
    """
    program = os.path.basename(arguments[0])  # noqa: PTH119 - a name to show, not a file to open
    with _StandardError() as errors:
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors.descriptor,
                env=environment,
                # A process group of its own, so that its children can be ended with it.
                start_new_session=sys.platform != "win32",
            )
        except (OSError, ValueError) as exc:
            raise HookFailed(f"{program} can't be run: {exc}.") from exc
        try:
            async with asyncio.timeout(timeout):
                await _write_input(process.stdin, payload)
                status = await process.wait()
        except TimeoutError as exc:
            raise HookFailed(f"{program} didn't end within {timeout:g} s.") from exc
        finally:
            await _end(process)
    if status:
        text = f": {errors.text}" if errors.text else "."
        raise HookFailed(f"{program} ended with status {status}{text}")


class _StandardError:
    """A program's standard error: read as it comes, its first `MAX_STDERR_BYTES` bytes kept.

    It isn't one of asyncio's pipes: those last until every process that inherited the other end
    has closed it, and a program may leave one running for ever.
    """

    def __init__(self) -> None:
        self.descriptor = asyncio.subprocess.DEVNULL
        self._beginning = b""
        self._read_end: int | None = None

    @property
    def text(self) -> str:
        return self._beginning.decode(errors="replace").strip()

    def __enter__(self) -> Self:
        if sys.platform != "win32":  # its event loop can't wait for a pipe in this way
            self._read_end, self.descriptor = os.pipe()
            os.set_blocking(self._read_end, False)
            asyncio.get_running_loop().add_reader(self._read_end, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        if self._read_end is None:
            return
        os.close(self.descriptor)
        self._read()
        asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            chunk = os.read(self._read_end or 0, _CHUNK_BYTES)
            self._beginning = (self._beginning + chunk)[:MAX_STDERR_BYTES]


async def _write_input(stream: asyncio.StreamWriter | None, payload: bytes) -> None:
    if stream is None:
        return
    # A program need not read its input.
    with suppress(ConnectionError):
        stream.write(payload)
        await stream.drain()
    stream.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program that still runs, and its children."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
