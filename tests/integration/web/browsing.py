"""A browser without JavaScript, as far as tests need one, and what it reads."""

import re
from typing import Any, Final

import aiohttp

from tests.integration.web.running import Running

CLOSED: Final = "http://127.0.0.1:9"
PASSWORD: Final = "hunter2-never-shown"
HTMX: Final = {"HX-Request": "true"}


class Browser:
    """Follows what a page says, as a browser without JavaScript does."""

    def __init__(self, web: Running) -> None:
        self._web = web

    async def get(self, path: str) -> str:
        return await self._text("GET", path)

    async def post(self, path: str, **fields: str) -> str:
        """The page after a form was sent, wherever that led."""
        return await self._text("POST", path, data=fields)

    async def send(self, path: str, **fields: str) -> aiohttp.ClientResponse:
        """The answer that htmx gets."""
        url = self._web.url + path
        async with self._web.client.post(url, data=fields, headers=HTMX) as answer:
            await answer.read()
            return answer

    async def _text(self, method: str, path: str, **options: Any) -> str:
        async with self._web.client.request(method, self._web.url + path, **options) as answer:
            text = await answer.text()
            self.status = answer.status
            self.path = answer.url.path
        assert PASSWORD not in text
        return text


def row(text: str, name: str) -> str:
    """The list item of the server that is named so."""
    found = [
        li for li in re.findall(r'<li id="server-.*?</li>', text, re.DOTALL) if f">{name}<" in li
    ]
    assert len(found) == 1, f"{len(found)} rows are named {name}"
    return str(found[0])
