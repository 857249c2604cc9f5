"""How soon the command answers and the app is ready."""

import asyncio
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final

import codewalk
from bench.table import Report, Target, spread
from bench.up import COMMAND, environment, up
from codewalk.settings import Settings

SERVERS: Final = 100
LISTS: Final = 15
STARTS: Final = 7
LIST_WITHIN: Final = 0.4
UP_WITHIN: Final = 1.5

LIST: Final = "codewalk server list --json, 100 servers"
UP_FIRST: Final = "codewalk up, first start"
UP_LATER: Final = "codewalk up, 100 servers kept"

_FLOORS: Final = {
    "python alone": "pass",
    "python and SQLAlchemy": "import sqlalchemy",
    "python and SQLAlchemy's asyncio": "import sqlalchemy.ext.asyncio",
}


async def run() -> Report:
    """Each command in a fresh process, one after the other, from nothing to its answer."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        env = environment(folder)
        await _fill(env)
        for name, code in _FLOORS.items():
            seconds[name] = await _several(LISTS, env, sys.executable, "-c", code)
        seconds[LIST] = await _several(LISTS, env, COMMAND, "server", "list", "--json")
        fresh = [{**env, "CODEWALK_DATA_DIR": str(folder / f"up-{n}")} for n in range(STARTS + 1)]
        seconds[UP_FIRST] = [await _ready(each) for each in fresh][1:]
        seconds[UP_LATER] = [await _ready(env) for _ in range(STARTS)]
    return _report(seconds)


async def _fill(env: Mapping[str, str]) -> None:
    """Servers that aren't there: port 1 of loopback addresses refuses."""
    async with codewalk.open(Settings.from_environment(env)) as app:
        for number in range(SERVERS):
            await app.add_server(
                f"http://127.2.0.{number + 1}:1",
                label=f"Server {number + 1}",
                password=codewalk.Secret(f"password {number}"),
                check=False,
            )


async def _several(times: int, env: Mapping[str, str], *command: str | Path) -> list[float]:
    await _ended(env, *command)
    return [await _ended(env, *command) for _ in range(times)]


async def _ended(env: Mapping[str, str], *command: str | Path) -> float:
    """The seconds until the command has ended."""
    before = perf_counter()
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=DEVNULL)
    status = await asyncio.wait_for(process.wait(), 30)
    seconds = perf_counter() - before
    if status:
        raise RuntimeError(f"{command} ended with status {status}")
    return seconds


async def _ready(env: Mapping[str, str]) -> float:
    """The seconds until the app says that it is ready; then it is stopped."""
    before = perf_counter()
    async with up(env):
        return perf_counter() - before


def _report(seconds: Mapping[str, list[float]]) -> Report:
    rows = [[name, spread(found, ".3f"), str(len(found))] for name, found in seconds.items()]
    return Report(
        title="start: from the command line to the answer",
        columns=("", "seconds", "runs"),
        rows=rows,
        targets=tuple(
            Target(what=name, measured=median(seconds[name]), limit=limit, unit="s")
            for name, limit in ((LIST, LIST_WITHIN), (UP_FIRST, UP_WITHIN), (UP_LATER, UP_WITHIN))
        ),
        raw=dict(seconds),
    )
