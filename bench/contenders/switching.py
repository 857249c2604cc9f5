"""The app, switching between two servers.

`python -m bench.contenders.switching DATA_FOLDER SWITCHES URL URL` prints `found JSON`: the
milliseconds of each switch, of each cached list, and of both together, and how many of the lists
had been fetched anew since the server's last one.
"""

import asyncio
import json
import sys
from datetime import datetime
from itertools import cycle
from pathlib import Path
from time import perf_counter

import uvloop

import codewalk
from bench.contenders.pace import say
from codewalk.cli.garbage_collection import collect_garbage_less_often

PAUSES = (0.0, 0.01, 0.05, 0.1)
"""Seconds between a list and the next switch: some come while the fresh list is on its way, some
while it is being kept, and some after that."""


async def main() -> None:
    settings = codewalk.Settings(data_dir=Path(sys.argv[1]))
    switches, urls = int(sys.argv[2]), sys.argv[3:]
    found: dict[str, list[float]] = {"whole": [], "switch": [], "list": []}
    async with codewalk.open(settings, watch=True) as app:
        servers = [await app.add_server(url) for url in urls]
        fetched = [await _fetch(app, server.id) for server in servers]
        pauses = cycle(PAUSES)
        collect_garbage_less_often()  # as `codewalk up` does once it is ready
        seen: set[datetime | None] = set()
        for number in range(switches):
            target = servers[number % 2]
            started = perf_counter()
            await app.switch_to(target.id)
            switched = perf_counter()
            shown = await app.work.sessions(cached=True)
            ended = perf_counter()
            assert (shown.server_id, len(shown.sessions)) == (target.id, fetched[number % 2])
            found["switch"].append((switched - started) * 1000)
            found["list"].append((ended - switched) * 1000)
            found["whole"].append((ended - started) * 1000)
            seen.add(shown.fetched_at)
            await asyncio.sleep(next(pauses))
    say("found", json.dumps({**found, "fresh": len(seen) - len(servers)}))


async def _fetch(app: codewalk.App, server_id: str) -> int:
    await app.switch_to(server_id)
    return len((await app.work.sessions()).sessions)


if __name__ == "__main__":
    uvloop.run(main())
