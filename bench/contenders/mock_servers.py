"""Mock OpenCode servers that take 30 ms for a list of sessions.

`python -m bench.contenders.mock_servers SESSIONS [SESSIONS …]` starts one for each number, prints
`urls URL [URL …]`, and serves until it is terminated. The titles tell the servers apart: `MARKS`.
"""

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from typing import Final

from bench.contenders.protocol import print_line
from tests.mock_behaviours import delayed
from tests.mock_opencode import MockOpenCode

RESPONSE_DELAY: Final = 0.03
MARKS: Final = ("of Alpha", "of Beta", "of Gamma", "of Delta")
"""A text in each title of the first server, of the second …, and in those of no other."""


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        servers = []
        for mark, sessions in zip(MARKS, map(int, sys.argv[1:]), strict=False):
            server = await stack.enter_async_context(MockOpenCode())
            _fill(server, mark, sessions)
            servers.append(server)
        print_line("urls", *(server.url for server in servers))
        await stop.wait()


def _fill(server: MockOpenCode, mark: str, sessions: int) -> None:
    for number in range(sessions):
        server.world.add_session(f"Session {number} {mark}, some project with a longer title")
    answer = server.world.handler("GET", "/session")
    assert answer is not None
    server.script("/session", delayed(RESPONSE_DELAY, answer))


if __name__ == "__main__":
    asyncio.run(main())
