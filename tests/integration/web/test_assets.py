"""The files for browsers, and how answers are packed on their way."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from codewalk.web.assets import ADDRESSES, ASSETS, VERSION
from tests.integration.web.web_app import API, TOKEN, RunningApp, running

PACKED = {"Accept-Encoding": "br, gzip"}
PLAIN = {"Accept-Encoding": "identity"}


@asynccontextmanager
async def plain_client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that shows what is sent, as it is sent."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers, auto_decompress=False) as client:
        yield client


async def test_a_file_of_this_version_may_be_cached_for_good(tmp_path: Path) -> None:
    async with running(tmp_path) as web, aiohttp.ClientSession() as client:
        for path, asset in ASSETS.items():
            async with client.get(web.url + ADDRESSES[path]) as answer:
                assert answer.status == 200
                assert answer.content_type == asset.media_type
                assert "immutable" in answer.headers["cache-control"]
                assert await answer.read() == asset.body


async def test_a_file_of_another_version_is_not_had(tmp_path: Path) -> None:
    paths = ("0123/app.js", "app.js", f"{VERSION}/none.css", "", f"{VERSION}/", VERSION)
    around = (f"{VERSION}/../server.py", f"{VERSION}/%2e%2e/server.py", f"{VERSION}//app.js")
    async with running(tmp_path) as web:
        for path in (*paths, *around):
            there = URL(f"{web.url}/static/{path}", encoded=True)
            async with web.client.get(there) as answer:
                assert (answer.status, answer.headers["cache-control"]) == (404, "no-store")


async def test_files_and_pages_are_compressed_for_clients_that_accept_it(tmp_path: Path) -> None:
    async with running(tmp_path) as web, plain_client() as client:
        for path in (ADDRESSES["app.css"], "/servers", "/nowhere"):
            async with client.get(web.url + path, headers=PLAIN) as answer:
                plain = await answer.read()
                assert "content-encoding" not in answer.headers
                assert answer.headers["vary"] == "Accept-Encoding"
            async with client.get(web.url + path, headers=PACKED) as answer:
                packed = await answer.read()
                assert answer.headers["content-encoding"] == "gzip"
                assert answer.headers["vary"] == "Accept-Encoding"
                assert "default-src 'self'" in answer.headers["content-security-policy"]
            assert gzip.decompress(packed) == plain
            assert len(packed) < len(plain) / 1.5


async def test_a_small_body_is_not_compressed(tmp_path: Path) -> None:
    async with running(tmp_path) as web, plain_client() as client:
        for path in (ADDRESSES["icon.svg"], f"{API}/healthz"):
            async with client.get(web.url + path, headers=PACKED) as answer:
                assert answer.status == 200
                assert "content-encoding" not in answer.headers


async def test_event_streams_are_not_compressed(tmp_path: Path) -> None:
    async with running(tmp_path) as web, plain_client() as client:
        for path in ("/live", f"{API}/events"):
            await expect_uncompressed_stream(web, client, path)


async def expect_uncompressed_stream(
    web: RunningApp, client: aiohttp.ClientSession, path: str
) -> None:
    async with client.get(web.url + path, headers=PACKED) as stream:
        assert "content-encoding" not in stream.headers
        assert stream.headers["cache-control"] == "no-cache"
        line = b""
        while not line.startswith(b"data: "):  # the test's time limit ends a wait for nothing
            line = await stream.content.readline()
