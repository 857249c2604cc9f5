"""The lower limit: aiohttp and a JSON parser, nothing else.

`python -m bench.contenders.bare_aiohttp URLS SECONDS`
"""

import asyncio
from itertools import cycle

import aiohttp
import orjson
import uvloop

from bench.contenders.protocol import measure, parse_arguments
from bench.nginx import VERSION

CONCURRENCY = 100


async def main() -> None:
    urls, seconds = parse_arguments()
    targets = cycle([url + "/global/health" for url in urls])
    done = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal done
        while True:
            async with session.get(next(targets)) as answer:
                body = orjson.loads(await answer.read())
            assert answer.status == 200
            assert body == {"healthy": True, "version": VERSION}
            done += 1

    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
        asyncio.TaskGroup() as group,
    ):
        workers = [group.create_task(work(session)) for _ in range(CONCURRENCY)]
        await measure(lambda: done, servers=len(urls), seconds=seconds)
        for worker in workers:
            worker.cancel()


if __name__ == "__main__":
    uvloop.run(main())
