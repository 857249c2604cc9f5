"""A program with a managed local server, for a test to kill: run_local.py EXECUTABLE DATA."""

import asyncio
import sys
from pathlib import Path

from codewalk.local.server import LocalServer, LocalStatus, Phase


async def main(executable: Path, data: Path) -> None:
    async def tell(status: LocalStatus) -> None:
        if status.phase is Phase.RUNNING:
            sys.stdout.write("running\n")
            sys.stdout.flush()

    async with LocalServer(executable, data, on_change=tell):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
