"""How soon a page shows that a real server is gone, and that it is back."""

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

from bench import screen
from bench.chromium import chromium
from bench.process import free_port, load
from bench.table import Report, Target, spread
from bench.up import environment, keep, up, url_of
from bench.upstream import serving
from tests.browser.outages import Rows, Shown, first_answer, live

KILLS: Final = 20
STOPS: Final = 3
RED_WITHIN: Final = 1.0
GREEN_WITHIN: Final = 2.0
SILENT_WITHIN: Final = 20.0

VICTIM: Final = "Victim"
OTHERS: Final = ("Steady one", "Steady two")

_PATIENCE: Final = 60.0
"""Seconds for what takes as long as it takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Seconds: from a kill to red, from the first answer to green, from a stop to red. `changes`
    are those of the other servers, of which there should be none."""

    red: list[float] = field(default_factory=list)
    green: list[float] = field(default_factory=list)
    silent: list[float] = field(default_factory=list)
    changes: list[Shown] = field(default_factory=list)


async def run() -> Report:
    """Kills and restarts one of three servers again and again, then stops it; at the manager."""
    before = load()
    found = Found()
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        env = environment(folder)
        ports = [free_port() for _ in (VICTIM, *OTHERS)]
        await keep(env, [_url(port) for port in ports], (VICTIM, *OTHERS))
        async with AsyncExitStack() as stack:
            browser = await stack.enter_async_context(chromium())
            for name, port in zip(OTHERS, ports[1:], strict=True):
                await stack.enter_async_context(serving(folder / name, port=port))
                await first_answer(_url(port))
            address = await stack.enter_async_context(up(env))
            page, _ = await stack.enter_async_context(browser.cold_page(let_in=address))
            await page.goto(url_of(address) + screen.MANAGER)
            await _measure(page, folder / VICTIM, ports[0], found)
    return _report(found, loads=(before, load()))


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def _measure(page: Page, home: Path, port: int, found: Found) -> None:
    for name in OTHERS:
        await live(page, name)
    rows = await Rows.watch(page)
    for name in OTHERS:
        await rows.until(name, "healthy", within=_PATIENCE)
    for number in range(KILLS):
        async with serving(home, port=port) as process:
            answered = await first_answer(_url(port))
            green, others = await rows.until(VICTIM, "healthy", within=_PATIENCE)
            found.green.append(green - answered)
            found.changes.extend(others)
            await live(page, VICTIM)
            for _ in range(STOPS if number == KILLS - 1 else 0):
                await _stop(process.pid, rows, found)
                await live(page, VICTIM)
            killed = time.time()
            process.kill()
            red, others = await rows.until(VICTIM, "unhealthy", within=_PATIENCE)
            found.red.append(red - killed)
            found.changes.extend(others)
            await process.wait()


async def _stop(pid: int, rows: Rows, found: Found) -> None:
    """The server accepts connections and never answers, until it goes on."""
    # At any moment of its round of checks, as it happens.
    await asyncio.sleep(len(found.silent) * 3.0)
    stopped = time.time()
    os.kill(pid, signal.SIGSTOP)
    try:
        red, others = await rows.until(VICTIM, "unhealthy", within=_PATIENCE)
    finally:
        os.kill(pid, signal.SIGCONT)
    found.silent.append(red - stopped)
    found.changes.extend(others)
    await rows.until(VICTIM, "healthy", within=_PATIENCE)


def _report(found: Found, *, loads: tuple[float, float]) -> Report:
    return Report(
        title="outages: a real server killed, restarted and stopped, as the manager shows it",
        columns=("milliseconds", "median (range)", "p95", "of"),
        rows=[
            _row("killed, until red", found.red),
            _row("answering again, until green", found.green),
            _row("stopped, until red", found.silent),
        ],
        targets=(
            Target(
                what="red after a kill: p95", measured=_p95(found.red), limit=RED_WITHIN, unit="s"
            ),
            Target(
                what="green after the first answer: most",
                measured=max(found.green),
                limit=GREEN_WITHIN,
                unit="s",
            ),
            Target(
                what="red after a stop: most",
                measured=max(found.silent),
                limit=SILENT_WITHIN,
                unit="s",
            ),
            Target(
                what="changes of the other servers",
                measured=len(found.changes),
                limit=1,
                unit="changes",
            ),
        ),
        notes=(f"load before {loads[0]:.1f}, after {loads[1]:.1f}, this run's own included",),
        raw={"red": found.red, "green": found.green, "silent": found.silent},
    )


def _row(name: str, seconds: Sequence[float]) -> list[str]:
    milliseconds = [value * 1000 for value in seconds]
    return [name, spread(milliseconds), f"{_p95(milliseconds):,.0f}", str(len(seconds))]


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[18]
