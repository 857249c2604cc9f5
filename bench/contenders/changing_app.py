"""CodeWalk's web app, while the health of its servers changes all the time.

`python -m bench.contenders.changing_app DATA_FOLDER URLS CHANGES_A_SECOND SECONDS` prints
`ready ADDRESS`. After a line on its stdin it changes one server after the other between healthy
and unhealthy, and then prints `changed N`. It serves until its stdin ends.

The servers are not checked, so that no check of the app interferes; everything that follows from a
change (link, store, announcement, page) is the app's own work.
"""

import asyncio
import sys
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import uvloop

from bench.contenders.protocol import print_line
from codewalk.app.composition import Parts
from codewalk.health.status import HealthStatus
from codewalk.reason import Reason, State
from tests.integration.web.web_app import running

BATCH_INTERVAL = 0.01
"""Seconds between two batches of changes."""


async def main() -> None:
    folder, urls = Path(sys.argv[1]), Path(sys.argv[2]).read_text().split()
    per_second, seconds = float(sys.argv[3]), float(sys.argv[4])
    async with running(folder, watch=True) as web:
        for number, url in enumerate(urls):
            server = await web.app.add_server(url, label=f"Box {number:03}", check=False)
            web.parts.monitor.pause(server.id, _status(healthy=True))
        print_line("ready", web.login_address)
        await asyncio.to_thread(sys.stdin.readline)
        print_line("changed", await _change(web.parts, per_second, seconds))
        await asyncio.to_thread(sys.stdin.read)


async def _change(parts: Parts, per_second: float, seconds: float) -> int:
    """Change servers in turn, evenly, and return the number of changes."""
    loop = asyncio.get_running_loop()
    servers = cycle([server.id for server in parts.app.servers()])
    began, done = loop.time(), 0
    while (passed := loop.time() - began) < seconds:
        while done < passed * per_second:
            server_id = next(servers)
            state = parts.monitor.state(server_id)
            parts.monitor.set_status(server_id, _status(healthy=state is not State.HEALTHY))
            done += 1
        await asyncio.sleep(BATCH_INTERVAL)
    return done


def _status(*, healthy: bool) -> HealthStatus:
    now = datetime.now(UTC)
    if healthy:
        return HealthStatus(
            state=State.HEALTHY,
            reason=Reason.OK,
            version="1.18.33",
            latency_ms=2.5,
            checked_at=now,
            since=now,
        )
    return HealthStatus(
        state=State.UNHEALTHY,
        reason=Reason.REFUSED,
        detail="Nothing listens at this address.",
        version="1.18.33",
        checked_at=now,
        since=now,
        failures=2,
    )


if __name__ == "__main__":
    uvloop.run(main())
