"""Benchmark of start-up: how soon a command answers, and the app is ready."""

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
from bench.app import COMMAND, make_environment, run_app
from bench.report import Report, Target, spread
from codewalk.settings import Settings

SERVERS: Final = 100
LIST_RUNS: Final = 15
UP_RUNS: Final = 7
MAX_LIST_SECONDS: Final = 0.4
MAX_UP_SECONDS: Final = 1.5

LIST: Final = "codewalk server list --json, 100 servers"
UP_FIRST: Final = "codewalk up, first start"
UP_LATER: Final = "codewalk up, 100 servers stored"

_BASELINES: Final = {
    "python alone": "pass",
    "python and SQLAlchemy": "import sqlalchemy",
    "python and SQLAlchemy's asyncio": "import sqlalchemy.ext.asyncio",
}


async def run() -> Report:
    """Run each command in a new process, one after the other."""
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        env = make_environment(folder)
        await _add_servers(env)
        for name, code in _BASELINES.items():
            seconds[name] = await _measure_runs(LIST_RUNS, env, sys.executable, "-c", code)
        seconds[LIST] = await _measure_runs(LIST_RUNS, env, COMMAND, "server", "list", "--json")
        fresh = [{**env, "CODEWALK_DATA_DIR": str(folder / f"up-{n}")} for n in range(UP_RUNS + 1)]
        seconds[UP_FIRST] = [await _measure_up(each) for each in fresh][1:]
        seconds[UP_LATER] = [await _measure_up(env) for _ in range(UP_RUNS)]
    return _report(seconds)


async def _add_servers(env: Mapping[str, str]) -> None:
    """Add servers that don't exist: port 1 of loopback addresses refuses connections."""
    async with codewalk.open(Settings.from_environment(env)) as app:
        for number in range(SERVERS):
            await app.add_server(
                f"http://127.2.0.{number + 1}:1",
                label=f"Server {number + 1}",
                password=codewalk.Secret(f"password {number}"),
                check=False,
            )


async def _measure_runs(times: int, env: Mapping[str, str], *command: str | Path) -> list[float]:
    await _measure_run(env, *command)
    return [await _measure_run(env, *command) for _ in range(times)]


async def _measure_run(env: Mapping[str, str], *command: str | Path) -> float:
    """Return the seconds until the command has ended."""
    before = perf_counter()
    process = await asyncio.create_subprocess_exec(*command, env=env, stdout=DEVNULL)
    status = await asyncio.wait_for(process.wait(), 30)
    seconds = perf_counter() - before
    if status:
        raise RuntimeError(f"{command} ended with status {status}")
    return seconds


async def _measure_up(env: Mapping[str, str]) -> float:
    """Return the seconds until the app is ready; then it is stopped."""
    before = perf_counter()
    async with run_app(env):
        return perf_counter() - before


def _report(seconds: Mapping[str, list[float]]) -> Report:
    rows = [[name, spread(runs, ".3f"), str(len(runs))] for name, runs in seconds.items()]
    return Report(
        title="start: from the command line to the answer",
        columns=("", "seconds", "runs"),
        rows=rows,
        targets=tuple(
            Target(what=name, measured=median(seconds[name]), limit=limit, unit="s")
            for name, limit in (
                (LIST, MAX_LIST_SECONDS),
                (UP_FIRST, MAX_UP_SECONDS),
                (UP_LATER, MAX_UP_SECONDS),
            )
        ),
        raw=dict(seconds),
    )
