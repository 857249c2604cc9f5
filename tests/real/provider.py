"""A model provider on loopback, so that a real OpenCode server works on a prompt."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web


class Provider:
    """Says "Done." to each prompt, once `go_on` is set; `asked` is set by the first."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.port = 0

    def configure(self, project: Path) -> None:
        """Configure OpenCode to use this provider for everything in a directory."""
        options = {"baseURL": f"http://127.0.0.1:{self.port}/v1", "apiKey": "none"}
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "options": options,
            "models": {"test": {"name": "Test", "tool_call": True}},
        }
        config: dict[str, Any] = {"provider": {"loopback": provider}}
        config |= {"model": "loopback/test", "small_model": "loopback/test"}
        (project / "opencode.json").write_text(json.dumps(config), "utf-8")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.set()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await self.go_on.wait()
        for delta, reason in (({"role": "assistant", "content": "Done."}, None), ({}, "stop")):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "test"}
            await response.write(f"data: {json.dumps(chunk | {'choices': [choice]})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


@asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    """A provider that answers while the block runs."""
    provider = Provider()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", provider.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.port = runner.addresses[0][1]
        yield provider
    finally:
        await runner.cleanup()
