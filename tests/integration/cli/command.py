"""Runs the real command in a process of its own, on a data folder of its own."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration.cli import forked

LIMIT: Final = 60.0
"""Seconds that any command here may take, on a machine that others use too."""

_ON_A_TERMINAL: Final = (
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
)
"""Gives a command a terminal of its own, with this process's input and output at its other end."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout; there is nothing on stderr beside it."""
        assert self.err == ""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The one document on stderr; there is nothing on stdout beside it."""
        assert self.out == ""
        found = json.loads(self.err)
        assert found.keys() == {"error"}
        return dict(found["error"])


@dataclass(frozen=True, kw_only=True)
class CodeWalk:
    """A data folder and the environment of the commands that work on it."""

    data_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def surroundings(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CODEWALK_")}
        return {
            **kept,
            "CODEWALK_DATA_DIR": str(self.data_dir),
            "CODEWALK_LEGACY_PREFERENCES": str(self.data_dir / "no-preferences.json"),
            "CODEWALK_OPENCODE": str(self.data_dir / "no-opencode"),
            **self.environment,
        }

    async def __call__(self, *arguments: str, stdin: str = "") -> Result:
        """Runs `codewalk` with these arguments to its end, in a process that has all imported."""
        folder = Path(tempfile.mkdtemp(prefix="command-", dir=self.data_dir.parent))
        async with asyncio.timeout(LIMIT):
            status, out, err = await forked.run(
                arguments, environment=self.surroundings(), stdin=stdin, folder=folder
            )
        assert "Traceback" not in out + err
        return Result(status=status, out=out, err=err)

    async def fresh(self, *arguments: str, stdin: str = "") -> Result:
        """Runs it as a shell does: in a Python of its own, which has to import what it needs."""
        async with self.started(*arguments) as process:
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        assert b"Traceback" not in out + err
        return Result(status=process.returncode, out=out.decode(), err=err.decode())

    async def python(self, *arguments: str) -> Result:
        """Runs Python itself with these arguments, in the same surroundings."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=pipe, stderr=pipe, env=self.surroundings()
        )
        async with asyncio.timeout(LIMIT):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Result(status=process.returncode, out=out.decode(), err=err.decode())

    @asynccontextmanager
    async def started(
        self, *arguments: str, terminal: bool = False
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """A running `codewalk`, killed at the end of the block if it still runs."""
        line = [sys.executable, "-m", "codewalk", *arguments]
        if terminal:
            line = [sys.executable, "-c", _ON_A_TERMINAL, *line]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *line, stdin=pipe, stdout=pipe, stderr=pipe, env=self.surroundings()
        )
        try:
            async with asyncio.timeout(LIMIT):
                yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def read_until(stream: asyncio.StreamReader | None, text: str) -> str:
    """What comes on `stream` up to and with `text`."""
    assert stream is not None
    seen = await stream.readuntil(text.encode())
    return seen.decode()
