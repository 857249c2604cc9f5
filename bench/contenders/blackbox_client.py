"""Asks blackbox_exporter to probe the servers, as Prometheus does; only that is measured.

`python -m bench.contenders.blackbox_client URLS SECONDS EXPORTER_URL`
"""

import asyncio
import sys
from itertools import cycle
from urllib.parse import quote

import aiohttp
import uvloop

from bench.contenders.protocol import measure, parse_arguments

CONCURRENCY = 50


async def main() -> None:
    urls, seconds = parse_arguments()
    exporter = sys.argv[3]
    targets = cycle(
        [
            f"{exporter}/probe?module=opencode&target={quote(url, safe='')}/global/health"
            for url in urls
        ]
    )
    done = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while True:
            async with session.get(next(targets)) as answer:
                metrics = await answer.read()
            assert b"\nprobe_success 1\n" in metrics
            done += 1

    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        workers = [group.create_task(work(session)) for _ in range(CONCURRENCY)]
        await measure(lambda: done, servers=len(urls), seconds=seconds)
        for worker in workers:
            worker.cancel()


if __name__ == "__main__":
    uvloop.run(main())
