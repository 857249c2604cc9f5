"""A browser without JavaScript, as far as tests need one, and what it reads."""

import re
from html.parser import HTMLParser
from typing import Any, Final

import aiohttp

from tests.integration.web.web_app import RunningApp

CLOSED: Final = "http://127.0.0.1:9"
PASSWORD: Final = "hunter2-never-shown"
HTMX: Final = {"HX-Request": "true"}


class PlainBrowser:
    """Follows what a page says, as a browser without JavaScript does."""

    def __init__(self, web: RunningApp) -> None:
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


class _Fields(HTMLParser):
    """Collects what a browser would send of a form."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._form_id = form_id
        self._inside = False
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._inside = given.get("id") == self._form_id
        elif tag == "select":
            self._select = given.get("name") or ""
        elif self._inside and tag == "input" and given.get("name"):
            self.values[given["name"] or ""] = given.get("value") or ""
        elif self._inside and tag == "option" and "selected" in given:
            self.values[self._select] = given.get("value") or ""


def fields(text: str, form_id: str = "server-form") -> dict[str, str]:
    """Return the fields of a form with the values that a page gives them."""
    parser = _Fields(form_id)
    parser.feed(text)
    return parser.values


def row(text: str, name: str) -> str:
    """The list item of the server that is named so."""
    rows = [
        li for li in re.findall(r'<li id="server-.*?</li>', text, re.DOTALL) if f">{name}<" in li
    ]
    assert len(rows) == 1, f"{len(rows)} rows are named {name}"
    return str(rows[0])
