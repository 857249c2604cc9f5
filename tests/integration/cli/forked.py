"""Runs a command in a process forked from one that has imported everything already.

The process has its own environment, input, output and exit status; only the imports, which take
most of a command's time, are shared.
"""

import asyncio
import io
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Final

PRELOADED_MODULES: Final = [
    "__main__",
    __name__,
    *(f"codewalk.cli.{name}" for name in ("doctor", "errors", "hooks", "main", "servers")),
    *(f"codewalk.cli.{name}" for name in ("attach", "models", "tables", "sessions", "state")),
    "codewalk.opencode.client",
    "codewalk.app.composition",
    "codewalk.storage.migrate",
    "codewalk.storage.sqlite",
    "codewalk.web.server",
    "cryptography.fernet",
    "keyring.backends.null",
    "rich.console",
    "rich.table",
    "typer.rich_utils",
]

_context: Final[ForkServerContext] = multiprocessing.get_context("forkserver")


async def run(
    arguments: Sequence[str], *, environment: Mapping[str, str], stdin: str, folder: Path
) -> tuple[int, str, str]:
    """Run `codewalk` and return its exit status, its output and its errors.

    When the caller is cancelled, the command is killed.

    Args:
        arguments: The command line.
        environment: The whole environment.
        stdin: The standard input.
        folder: A folder for the files that stand for the three streams.
    """
    _context.set_forkserver_preload(PRELOADED_MODULES)
    (folder / "in").write_text(stdin)
    process = _context.Process(target=_command, args=(tuple(arguments), dict(environment), folder))
    process.start()
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
        if not ended.is_set():
            process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode, (folder / "out").read_text(), (folder / "err").read_text()


def _command(arguments: tuple[str, ...], environment: dict[str, str], folder: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, (name, mode) in enumerate((("in", os.O_RDONLY), ("out", flags), ("err", flags))):
        os.dup2(os.open(folder / name, mode, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            io.FileIO(number, mode, closefd=False), encoding="utf-8", write_through=True
        )
        for number, mode in enumerate("rww")
    )
    sys.argv = ["codewalk", *arguments]
    from codewalk.cli.main import main

    main()
