"""Benchmark of health checks, beside other programs that do the same."""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.nginx import LoopbackServers, loopback_servers
from bench.process import ROOT, Usage, cores, free_port, read_line, started, wait_until
from bench.report import Report, Target, spread

SERVERS: Final = 1000
MIN_PER_SECOND: Final = 2000.0
MIN_BLACKBOX_RATIO: Final = 3.0
MIN_FETCH_RATIO: Final = 1.5
CODEWALK: Final = "CodeWalk"
BLACKBOX: Final = "blackbox_exporter"
FETCH: Final = "Node fetch"
BARE: Final = "aiohttp alone"

_WARM_UP_TIMEOUT: Final = 30.0
_EXPORTER_CONFIG: Final = {
    "modules": {
        "opencode": {
            "prober": "http",
            "timeout": "3s",
            "http": {
                "fail_if_body_not_matches_regexp": ['"healthy":true'],
                "preferred_ip_protocol": "ip4",
            },
        }
    }
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One run of a contender.

    Attributes:
        rate: Checks a second.
        cpu: CPU seconds for each check.
        peak: Peak memory in bytes.
        requests: Requests that nginx answered for each check. It is 1, unless a contender sends two
            or connects in vain.
    """

    rate: float
    cpu: float
    peak: int
    requests: float


class Contest:
    """Runs the contenders against the servers, each on its core."""

    def __init__(self, servers: LoopbackServers, folder: Path, seconds: float) -> None:
        self._servers = servers
        self._folder = folder
        self._seconds = seconds
        self._urls = folder / "urls"
        self._urls.write_text("\n".join(servers.urls))
        self._core, self._other_core = cores()

    async def run(self, name: str) -> Round:
        """Run one contender."""
        if name != BLACKBOX:
            async with started(*self._command(name), core=self._core) as contender:
                return await self._measure(contender, contender.pid)
        async with (
            self._exporter() as (exporter, url),
            started(*self._command(name), url, core=self._other_core) as client,
        ):
            return await self._measure(client, exporter)

    async def _measure(self, client: asyncio.subprocess.Process, measured: int) -> Round:
        await read_line(client, "begin", timeout=_WARM_UP_TIMEOUT)
        before, requests_before = Usage.of(measured), await self._servers.requests()
        checks = int(await read_line(client, "end", timeout=self._seconds + 10))
        after, requests_after = Usage.of(measured), await self._servers.requests()
        assert client.stdin is not None
        client.stdin.close()
        await asyncio.wait_for(client.wait(), 10)
        if client.returncode:
            raise RuntimeError(f"a contender failed with status {client.returncode}")
        return Round(
            rate=checks / self._seconds,
            cpu=(after.cpu - before.cpu) / checks,
            peak=after.peak,
            requests=(requests_after - requests_before) / checks,
        )

    def _command(self, name: str) -> list[str | Path]:
        python = [sys.executable, "-m"]
        urls, seconds = self._urls, str(self._seconds)
        if name == CODEWALK:
            data = tempfile.mkdtemp(dir=self._folder)
            return [*python, "bench.contenders.codewalk", urls, seconds, data]
        if name == BLACKBOX:
            return [*python, "bench.contenders.blackbox_client", urls, seconds]
        if name == FETCH:
            return ["node", ROOT / "bench/contenders/fetch.mjs", urls, seconds]
        return [*python, "bench.contenders.bare_aiohttp", urls, seconds]

    @asynccontextmanager
    async def _exporter(self) -> AsyncIterator[tuple[int, str]]:
        """Run the exporter for a block, and return its process id and URL."""
        program = shutil.which("prometheus-blackbox-exporter") or shutil.which("blackbox_exporter")
        if program is None:
            raise RuntimeError("prometheus-blackbox-exporter is missing")
        # JSON is a subset of YAML.
        config = self._folder / "blackbox.yml"
        config.write_text(json.dumps(_EXPORTER_CONFIG))
        address = f"127.0.0.1:{free_port()}"
        async with started(
            program,
            f"--config.file={config}",
            f"--web.listen-address={address}",
            "--log.level=error",
            core=self._core,
            env={**os.environ, "GOMAXPROCS": "1"},
        ) as process:
            await wait_until(lambda: _listens(address))
            yield process.pid, f"http://{address}"


async def run(*, seconds: float, rounds: int) -> Report:
    """Run every contender in turn, `rounds` times, for `seconds` each."""
    names = (CODEWALK, BLACKBOX, FETCH, BARE)
    results: dict[str, list[Round]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        async with loopback_servers(SERVERS, folder, core=cores()[1]) as servers:
            contest = Contest(servers, folder, seconds)
            for _ in range(rounds):
                for name in names:
                    results[name].append(await contest.run(name))
    return _report(results, seconds)


def _report(results: dict[str, list[Round]], seconds: float) -> Report:
    rate, cpu = median(r.rate for r in results[CODEWALK]), median(r.cpu for r in results[CODEWALK])
    rows = []
    for name, rounds in results.items():
        rows.append(
            [
                name,
                spread([r.rate for r in rounds]),
                spread([r.cpu * 1e6 for r in rounds]),
                f"{median(r.peak for r in rounds) / 2**20:.0f}",
                f"{rate / median(r.rate for r in rounds):.2f}x",
                f"{median(r.cpu for r in rounds) / cpu:.2f}x",
            ]
        )
    rounds_run = len(results[CODEWALK])
    return Report(
        title=f"health checks: {SERVERS:,} servers behind one nginx, one core for each contender",
        columns=(
            "",
            "checks a second",
            "CPU µs a check",
            "MB",
            "CodeWalk's rate is",
            "CPU of CodeWalk's",
        ),
        rows=rows,
        notes=(f"medians and ranges of {rounds_run} rounds of {seconds:g} s, in turn",),
        targets=(
            Target(
                what="CodeWalk, one core",
                measured=rate,
                limit=MIN_PER_SECOND,
                unit="checks a second",
                at_least=True,
            ),
            *(
                Target(
                    what=f"CodeWalk's rate, of {name}'s",
                    measured=rate / median(r.rate for r in results[name]),
                    limit=times,
                    unit="times",
                    at_least=True,
                )
                for name, times in ((BLACKBOX, MIN_BLACKBOX_RATIO), (FETCH, MIN_FETCH_RATIO))
            ),
        ),
        raw={
            name: [
                {
                    "per_second": r.rate,
                    "cpu_us": r.cpu * 1e6,
                    "peak_bytes": r.peak,
                    "requests_per_check": r.requests,
                }
                for r in rounds
            ]
            for name, rounds in results.items()
        },
    )


async def _listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True
