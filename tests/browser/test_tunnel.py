"""CodeWalk behind a tunnel whose port is another than the app's, as `ssh -L` makes it."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.elements import CLOSED, button, expect_servers, field, save, wait_for_stream
from tests.chaos import ChaosProxy
from tests.integration.web.web_app import TOKEN, running

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_two_apps_are_used_side_by_side_one_of_them_through_a_tunnel(
    chromium: Browser, tmp_path: Path
) -> None:
    async with (
        running(tmp_path / "here", watch=True) as here,
        running(tmp_path / "there", watch=True) as there,
        ChaosProxy(there.port) as tunnel,
    ):
        context = await chromium.new_context()
        near, far = await context.new_page(), await context.new_page()
        await near.goto(f"{here.url}/?token={TOKEN}")
        await far.goto(f"{tunnel.url}/servers?token={TOKEN}")
        assert far.url == f"{tunnel.url}/servers"
        names = {cookie.get("name", "") for cookie in await context.cookies()}
        ports = {url.rpartition(":")[2] for url in (here.url, tunnel.url)}
        assert names == {f"codewalk_{port}" for port in ports}

        # A form of its own page, and its event stream.
        await wait_for_stream(far)
        await far.goto(f"{tunnel.url}/servers/new")
        await field(far, "URL").fill(CLOSED)
        await field(far, "Label").fill("Far")
        await button(far, "Save").click()
        await save(far, "Save anyway")
        await expect_servers(far, "Far")
        assert [server.name for server in there.app.servers()] == ["Far"]
        assert here.app.servers() == []
        await context.close()
