"""How fast servers are checked, beside others that do the same."""

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
from bench.process import ROOT, Usage, cores, free_port, line_of, started, until
from bench.table import Report, Target, spread

SERVERS: Final = 1000
PER_SECOND: Final = 2000.0
TIMES_BLACKBOX: Final = 3.0
TIMES_FETCH: Final = 1.5
OURS: Final = "CodeWalk"
BLACKBOX: Final = "blackbox_exporter"
FETCH: Final = "Node fetch"
BARE: Final = "aiohttp alone"

_WARM_UP: Final = 30.0
_MODULES: Final = {
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
    """One contender's run: checks a second, CPU seconds a check, peak memory in bytes."""

    rate: float
    cpu: float
    peak: int
    requests: float
    """What nginx answered for each check: 1, unless a contender asks twice or connects in vain."""


class Field:
    """The servers and the contenders, and where each runs."""

    def __init__(self, servers: LoopbackServers, folder: Path, seconds: float) -> None:
        self._servers = servers
        self._folder = folder
        self._seconds = seconds
        self._urls = folder / "urls"
        self._urls.write_text("\n".join(servers.urls))
        self._core, self._other_core = cores()

    async def run(self, name: str) -> Round:
        if name != BLACKBOX:
            async with started(*self._command(name), core=self._core) as contender:
                return await self._measure(contender, contender.pid)
        async with (
            self._exporter() as (exporter, url),
            started(*self._command(name), url, core=self._other_core) as client,
        ):
            return await self._measure(client, exporter)

    async def _measure(self, client: asyncio.subprocess.Process, measured: int) -> Round:
        await line_of(client, "begin", within=_WARM_UP)
        before, asked = Usage.of(measured), await self._servers.requests()
        done = int(await line_of(client, "end", within=self._seconds + 10))
        after, answered = Usage.of(measured), await self._servers.requests()
        assert client.stdin is not None
        client.stdin.close()
        await asyncio.wait_for(client.wait(), 10)
        if client.returncode:
            raise RuntimeError(f"a contender failed with status {client.returncode}")
        return Round(
            rate=done / self._seconds,
            cpu=(after.cpu - before.cpu) / done,
            peak=after.peak,
            requests=(answered - asked) / done,
        )

    def _command(self, name: str) -> list[str | Path]:
        python = [sys.executable, "-m"]
        urls, seconds = self._urls, str(self._seconds)
        if name == OURS:
            data = tempfile.mkdtemp(dir=self._folder)
            return [*python, "bench.contenders.codewalk", urls, seconds, data]
        if name == BLACKBOX:
            return [*python, "bench.contenders.blackbox_client", urls, seconds]
        if name == FETCH:
            return ["node", ROOT / "bench/contenders/fetch.mjs", urls, seconds]
        return [*python, "bench.contenders.bare", urls, seconds]

    @asynccontextmanager
    async def _exporter(self) -> AsyncIterator[tuple[int, str]]:
        """The exporter's process id and URL."""
        program = shutil.which("prometheus-blackbox-exporter") or shutil.which("blackbox_exporter")
        if program is None:
            raise RuntimeError("prometheus-blackbox-exporter is missing")
        # JSON is YAML too.
        config = self._folder / "blackbox.yml"
        config.write_text(json.dumps(_MODULES))
        address = f"127.0.0.1:{free_port()}"
        async with started(
            program,
            f"--config.file={config}",
            f"--web.listen-address={address}",
            "--log.level=error",
            core=self._core,
            env={**os.environ, "GOMAXPROCS": "1"},
        ) as process:
            await until(lambda: _listens(address))
            yield process.pid, f"http://{address}"


async def run(*, seconds: float, rounds: int) -> Report:
    """Every contender in turn, `rounds` times, `seconds` each."""
    names = (OURS, BLACKBOX, FETCH, BARE)
    found: dict[str, list[Round]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="codewalk-bench-") as temporary:
        folder = Path(temporary)
        async with loopback_servers(SERVERS, folder, core=cores()[1]) as servers:
            field = Field(servers, folder, seconds)
            for _ in range(rounds):
                for name in names:
                    found[name].append(await field.run(name))
    return _report(found, seconds)


def _report(found: dict[str, list[Round]], seconds: float) -> Report:
    rate, cpu = median(r.rate for r in found[OURS]), median(r.cpu for r in found[OURS])
    rows = []
    for name, rounds in found.items():
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
    rounds_run = len(found[OURS])
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
                limit=PER_SECOND,
                unit="checks a second",
                at_least=True,
            ),
            *(
                Target(
                    what=f"CodeWalk's rate, of {name}'s",
                    measured=rate / median(r.rate for r in found[name]),
                    limit=times,
                    unit="times",
                    at_least=True,
                )
                for name, times in ((BLACKBOX, TIMES_BLACKBOX), (FETCH, TIMES_FETCH))
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
            for name, rounds in found.items()
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
