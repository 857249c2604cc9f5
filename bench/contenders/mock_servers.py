"""Two mock OpenCode servers that take 30 ms for a list of sessions.

`python -m bench.contenders.mock_servers SESSIONS` prints `urls URL URL`, and serves until it is
ended.
"""

import asyncio
import signal
import sys

from bench.contenders.pace import say
from tests.mock_behaviours import delayed
from tests.mock_opencode import MockOpenCode

TAKES = 0.03


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with MockOpenCode() as alpha, MockOpenCode() as beta:
        for server in (alpha, beta):
            for number in range(int(sys.argv[1])):
                server.world.add_session(f"Session {number} of some project with a longer title")
            answer = server.world.handler("GET", "/session")
            assert answer is not None
            server.script("/session", delayed(TAKES, answer))
        say("urls", alpha.url, beta.url)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
