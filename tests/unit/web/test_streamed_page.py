"""A page whose head leaves before its body is made."""

import asyncio
from collections.abc import Iterator

from starlette.types import Message

from codewalk.web.views import StreamedPage


def test_the_head_is_sent_before_the_body_is_made() -> None:
    log: list[str] = []

    def pieces() -> Iterator[str]:
        for piece in ("<head>", "</head><body>", "first", "last"):
            log.append(f"made {piece}")
            yield piece

    async def send(message: Message) -> None:
        if body := message.get("body"):
            log.append(f"sent {body.decode()}")

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("the browser stays")

    async def answer() -> None:
        await StreamedPage(pieces(), 403)({"type": "http"}, receive, send)

    asyncio.run(answer())
    assert log == [
        "made <head>",
        "made </head><body>",
        "sent <head></head><body>",
        "made first",
        "made last",
        "sent firstlast",
    ]


def test_it_is_a_page_of_unknown_length() -> None:
    page = StreamedPage(iter(["<body>"]), 403)
    assert page.status_code == 403
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "content-length" not in page.headers
