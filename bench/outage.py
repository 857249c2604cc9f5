"""Benchmark of outages: how soon a page shows that a real server is down, and up again."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Final

from playwright.async_api import Page

from bench import locators
from bench.app import add_servers, base_url, make_environment, run_app
from bench.chromium import chromium
from bench.opencode import run_server
from bench.process import free_port, load
from bench.report import Report, Target, spread
from tests.browser.row_watcher import RowState, RowWatcher, first_answer, wait_for_link

KILLS: Final = 20
STOPS: Final = 3
MAX_RED_SECONDS: Final = 1.0
MAX_GREEN_SECONDS: Final = 2.0
MAX_SILENT_SECONDS: Final = 20.0

VICTIM: Final = "Victim"
OTHERS: Final = ("Steady one", "Steady two")

_TIMEOUT: Final = 60.0
"""Seconds to wait for anything; a measurement that takes so long is worthless."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurements:
    """Times in seconds, and unexpected changes.

    Attributes:
        red: From a kill until the page shows red.
        green: From the first answer until it shows green.
        silent: From a stop until it shows red.
        changes: Changes of the other servers, of which there should be none.
    """

    red: list[float] = field(default_factory=list)
    green: list[float] = field(default_factory=list)
    silent: list[float] = field(default_factory=list)
    changes: list[RowState] = field(default_factory=list)


async def run() -> Report:
    """Kill and restart one of three servers repeatedly, then stop it, while the manager is open."""
    before = load()
    measurements = Measurements()
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        env = make_environment(folder)
        ports = [free_port() for _ in (VICTIM, *OTHERS)]
        await add_servers(env, [_url(port) for port in ports], (VICTIM, *OTHERS))
        async with AsyncExitStack() as stack:
            browser = await stack.enter_async_context(chromium())
            for name, port in zip(OTHERS, ports[1:], strict=True):
                await stack.enter_async_context(run_server(folder / name, port=port))
                await first_answer(_url(port))
            address = await stack.enter_async_context(run_app(env))
            page, _ = await stack.enter_async_context(browser.cold_page(invitation=address))
            await page.goto(base_url(address) + locators.MANAGER)
            await _measure(page, folder / VICTIM, ports[0], measurements)
    return _report(measurements, loads=(before, load()))


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def _measure(page: Page, home: Path, port: int, measurements: Measurements) -> None:
    for name in OTHERS:
        await wait_for_link(page, name)
    rows = await RowWatcher.watch(page)
    for name in OTHERS:
        await rows.until(name, "healthy", within=_TIMEOUT)
    for number in range(KILLS):
        async with run_server(home, port=port) as process:
            answered = await first_answer(_url(port))
            green, others = await rows.until(VICTIM, "healthy", within=_TIMEOUT)
            measurements.green.append(green - answered)
            measurements.changes.extend(others)
            await wait_for_link(page, VICTIM)
            for _ in range(STOPS if number == KILLS - 1 else 0):
                await _stop(process.pid, rows, measurements)
                await wait_for_link(page, VICTIM)
            killed = time.time()
            process.kill()
            red, others = await rows.until(VICTIM, "unhealthy", within=_TIMEOUT)
            measurements.red.append(red - killed)
            measurements.changes.extend(others)
            await process.wait()


async def _stop(pid: int, rows: RowWatcher, measurements: Measurements) -> None:
    """Stop the server's process: it accepts connections and never answers, until it continues."""
    # At different moments between two checks.
    await asyncio.sleep(len(measurements.silent) * 3.0)
    stopped = time.time()
    os.kill(pid, signal.SIGSTOP)
    try:
        red, others = await rows.until(VICTIM, "unhealthy", within=_TIMEOUT)
    finally:
        os.kill(pid, signal.SIGCONT)
    measurements.silent.append(red - stopped)
    measurements.changes.extend(others)
    await rows.until(VICTIM, "healthy", within=_TIMEOUT)


def _report(measurements: Measurements, *, loads: tuple[float, float]) -> Report:
    return Report(
        title="outages: a real server killed, restarted and stopped, as the manager shows it",
        columns=("milliseconds", "median (range)", "p95", "of"),
        rows=[
            _row("killed, until red", measurements.red),
            _row("answering again, until green", measurements.green),
            _row("stopped, until red", measurements.silent),
        ],
        targets=(
            Target(
                what="red after a kill: p95",
                measured=_p95(measurements.red),
                limit=MAX_RED_SECONDS,
                unit="s",
            ),
            Target(
                what="green after the first answer: maximum",
                measured=max(measurements.green),
                limit=MAX_GREEN_SECONDS,
                unit="s",
            ),
            Target(
                what="red after a stop: maximum",
                measured=max(measurements.silent),
                limit=MAX_SILENT_SECONDS,
                unit="s",
            ),
            Target(
                what="changes of the other servers",
                measured=len(measurements.changes),
                limit=1,
                unit="changes",
            ),
        ),
        notes=(f"load before {loads[0]:.1f}, after {loads[1]:.1f}, this run's own included",),
        raw={"red": measurements.red, "green": measurements.green, "silent": measurements.silent},
    )


def _row(name: str, seconds: Sequence[float]) -> list[str]:
    milliseconds = [value * 1000 for value in seconds]
    return [name, spread(milliseconds), f"{_p95(milliseconds):,.0f}", str(len(seconds))]


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[18]
