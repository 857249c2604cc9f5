"""Real servers that come and go, and waiting for their live links."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from codewalk.app.app import App
from codewalk.health.link import LinkState
from tests.real.servers import CURRENT, RealServer, Wanted, running


async def started(stack: AsyncExitStack, folder: Path, port: int) -> RealServer:
    """A current server on this port, or on any with 0, until the stack is closed."""
    folder.mkdir()
    context = running(Wanted(release=CURRENT, folder=folder, port=port))
    [server] = await asyncio.to_thread(context.__enter__)
    stack.push_async_callback(asyncio.to_thread, context.__exit__, None, None, None)
    return server


async def linked(app: App, ref: str) -> None:
    """Waits until a server's link is live, which nothing announces."""
    pause = asyncio.Event()
    asyncio.get_running_loop().call_later(30, pause.set)
    while app.server(ref).link is not LinkState.LIVE and not pause.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(pause.wait(), 0.05)
    assert app.server(ref).link is LinkState.LIVE
