"""Runs the real `codewalk` command in its own process, on its own data folder."""

import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.integration.cli import forked

COMMAND_TIMEOUT: Final = 60.0
"""Seconds that a command may take on a busy machine."""

_TERMINAL_SCRIPT: Final = (
    "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
)
"""Runs a command on a pseudo-terminal that is connected to this process's input and output."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout; stderr has to be empty."""
        assert self.err == ""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error in the one JSON document on stderr; stdout has to be empty."""
        assert self.out == ""
        document = json.loads(self.err)
        assert document.keys() == {"error"}
        return dict(document["error"])


@dataclass(frozen=True, kw_only=True)
class CodeWalk:
    """A data folder, and the environment of commands that use it."""

    data_dir: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def process_environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CODEWALK_")}
        return {
            **inherited,
            "CODEWALK_DATA_DIR": str(self.data_dir),
            "CODEWALK_LEGACY_PREFERENCES": str(self.data_dir / "no-preferences.json"),
            "CODEWALK_OPENCODE": str(self.data_dir / "no-opencode"),
            **self.environment,
        }

    async def __call__(self, *arguments: str, stdin: str = "") -> Result:
        """Run `codewalk` to its end, in a process where everything is already imported."""
        folder = Path(tempfile.mkdtemp(prefix="command-", dir=self.data_dir.parent))
        async with asyncio.timeout(COMMAND_TIMEOUT):
            status, out, err = await forked.run(
                arguments, environment=self.process_environment(), stdin=stdin, folder=folder
            )
        assert "Traceback" not in out + err
        return Result(status=status, out=out, err=err)

    async def fresh(self, *arguments: str, stdin: str = "") -> Result:
        """Run `codewalk` to its end in a new Python process, as a shell does."""
        async with self.started(*arguments) as process:
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        assert b"Traceback" not in out + err
        return Result(status=process.returncode, out=out.decode(), err=err.decode())

    async def python(self, *arguments: str) -> Result:
        """Run Python with these arguments, in the same environment."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=pipe, stderr=pipe, env=self.process_environment()
        )
        async with asyncio.timeout(COMMAND_TIMEOUT):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Result(status=process.returncode, out=out.decode(), err=err.decode())

    @asynccontextmanager
    async def started(
        self, *arguments: str, terminal: bool = False
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start `codewalk` for a block, and kill it at the end if it still runs."""
        command_line = [sys.executable, "-m", "codewalk", *arguments]
        if terminal:
            command_line = [sys.executable, "-c", _TERMINAL_SCRIPT, *command_line]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command_line, stdin=pipe, stdout=pipe, stderr=pipe, env=self.process_environment()
        )
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def read_until(stream: asyncio.StreamReader | None, text: str) -> str:
    """Return the output on `stream` up to `text`, which is included."""
    assert stream is not None
    output = await stream.readuntil(text.encode())
    return output.decode()


@asynccontextmanager
async def running(
    codewalk: CodeWalk, *arguments: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start the app for a block, and return its process and the URL of its ready line."""
    async with codewalk.started(*arguments) as process:
        line = await read_until(process.stdout, "\n")
        match = re.fullmatch(r"CodeWalk is ready at (http://\S+/\?token=\S+)\n", line)
        assert match
        yield process, match[1]
