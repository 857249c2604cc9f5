"""Mock OpenCode servers on a host of their own: far_host.py ADDRESS PORT…, until its input ends."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from tests.mock_opencode import MockOpenCode


async def main(address: str, ports: Sequence[int]) -> None:
    async with AsyncExitStack() as stack:
        for port in ports:
            await stack.enter_async_context(MockOpenCode(host=address, port=port))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], [int(port) for port in sys.argv[2:]]))
