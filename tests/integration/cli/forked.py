"""Runs a command in a process that was forked where all that commands import is imported.

It is a process like any other, with its own environment, input, output and end; only the imports,
which take a command most of its time, are there already.
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

PRELOADED: Final = [
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
    """The exit status of `codewalk` with these arguments, its output and its errors.

    `folder` takes what goes in and comes out. A command that isn't waited for any more is killed.
    """
    _context.set_forkserver_preload(PRELOADED)
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
