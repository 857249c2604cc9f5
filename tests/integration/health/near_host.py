"""A CodeWalk on a host of its own: near_host.py DATA INTERVAL URL…, until its input ends.

It checks the servers at the URLs and one on its own loopback every INTERVAL seconds, and reports
each change on a line of JSON:
`{"name": "far 0", "state": …, "reason": …, "at": seconds of the monotonic clock}`.
At its end it reports the number of its checks: `{"checks": …}`.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import codewalk
from codewalk.app.app import App
from codewalk.events import Kind
from codewalk.secret import Secret
from codewalk.servers.draft import Change
from codewalk.settings import Settings
from tests.mock_opencode import MockOpenCode


async def main(data: Path, interval: float, urls: Sequence[str]) -> None:
    settings = Settings(
        data_dir=data, secret_key=Secret("key of the test"), legacy_preferences=data / "none.json"
    )
    async with MockOpenCode() as own, codewalk.open(settings, watch=True) as app:
        far = {f"far {number}": url for number, url in enumerate(urls)}
        for label, url in ({"own": own.url} | far).items():
            server = await app.add_server(url, label=label, check=False)
            await app.edit_server(server.id, Change(health_check={"interval": interval}))
        async with asyncio.TaskGroup() as group:
            reporting = group.create_task(report_changes(app), name="report")
            await asyncio.to_thread(sys.stdin.read)
            reporting.cancel()
        counters = [app.check_counts(server.id) for server in app.servers()]
        write({"checks": sum(each.good + each.failed for each in counters)})


async def report_changes(app: App) -> None:
    reported: dict[str, tuple[str, str]] = {}
    with app.announcer.listen() as events:
        while True:
            for server in app.servers():
                health = server.health.state.value, server.health.reason.value
                if reported.get(server.id) != health:
                    reported[server.id] = health
                    names = ("name", "state", "reason", "at")
                    write(dict(zip(names, (server.name, *health, monotonic()), strict=True)))
            while (await events.get()).kind is not Kind.HEALTH:
                pass


def write(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
