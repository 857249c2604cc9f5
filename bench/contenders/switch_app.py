"""The app, switching between two servers.

`python -m bench.contenders.switch_app DATA_FOLDER SWITCHES URL URL` prints `measured JSON`: the
milliseconds of each switch, of each cached list, and of both together, and how many of the lists
had been fetched again since the last switch to that server.
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
from bench.contenders.protocol import print_line
from codewalk.cli.garbage_collection import collect_garbage_less_often

PAUSES = (0.0, 0.01, 0.05, 0.1)
"""Seconds between a list and the next switch.

Some switches come while the fresh list is being fetched or stored, and some after that.
"""


async def main() -> None:
    settings = codewalk.Settings(data_dir=Path(sys.argv[1]))
    switches, urls = int(sys.argv[2]), sys.argv[3:]
    durations: dict[str, list[float]] = {"whole": [], "switch": [], "list": []}
    async with codewalk.open(settings, watch=True) as app:
        servers = [await app.add_server(url) for url in urls]
        counts = [await _fetch(app, server.id) for server in servers]
        pauses = cycle(PAUSES)
        collect_garbage_less_often()  # as `codewalk up` does once it is ready
        fetch_times: set[datetime | None] = set()
        for number in range(switches):
            target = servers[number % 2]
            started = perf_counter()
            await app.switch_to(target.id)
            switched = perf_counter()
            session_list = await app.work.sessions(cached=True)
            ended = perf_counter()
            assert (session_list.server_id, len(session_list.sessions)) == (
                target.id,
                counts[number % 2],
            )
            durations["switch"].append((switched - started) * 1000)
            durations["list"].append((ended - switched) * 1000)
            durations["whole"].append((ended - started) * 1000)
            fetch_times.add(session_list.fetched_at)
            await asyncio.sleep(next(pauses))
    print_line("measured", json.dumps({**durations, "fresh": len(fetch_times) - len(servers)}))


async def _fetch(app: codewalk.App, server_id: str) -> int:
    await app.switch_to(server_id)
    return len((await app.work.sessions()).sessions)


if __name__ == "__main__":
    uvloop.run(main())
