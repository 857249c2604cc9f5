"""The active server's home as a browser without JavaScript gets it, and the parts for htmx."""

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from codewalk.errors import ServerUnreachable
from tests.integration.web.plain_browser import CLOSED, HTMX, PlainBrowser
from tests.integration.web.web_app import running
from tests.mock_behaviours import json_reply
from tests.mock_opencode import MockOpenCode


async def test_sessions_say_whether_they_are_cached(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box")
        mock.world.add_session("Fix the build", directory="/home/ana/code/shop")
        browser, home = PlainBrowser(web), f"/s/{server.id}/"
        text = await browser.get(home)
        assert "Fix the build" not in text
        assert "Fetching the sessions" in text
        text = await browser.post(f"{home}refresh")
        assert browser.path == home
        assert "Fix the build" in text
        assert "…/code/shop" in text
        assert ">cached<" not in text
        mock.script("/session", json_reply({}, status=500))
        text = await browser.post(f"{home}refresh")
        assert "Fix the build" in text
        assert "Retry" in text
        assert "500" in text


async def test_sessions_are_searched_and_paged_by_address(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url)
        for number in range(250):
            mock.world.add_session(f"Session {number}")
        await web.app.work.sessions()
        browser, home = PlainBrowser(web), f"/s/{server.id}/"
        text = await browser.get(f"{home}?page=5")
        assert "Session 49<" in text
        assert "Session 50<" not in text
        assert "201–250 of 250" in " ".join(re.sub("<[^>]+>", "", text).split())
        text = await browser.get(f"{home}?q=+SESSION++24")
        numbers = re.findall(r">Session (\d+)<", text)
        assert numbers == [*map(str, range(249, 239, -1)), "224", "124", "24"]
        assert "No session has" in await browser.get(f"{home}?q=nothing")
        for wrong in ("page=0", "page=x", f"q={'x' * 201}"):
            text = await browser.get(f"{home}?{wrong}")
            assert browser.status == 422
            assert "in the address must be" in text


async def test_the_page_of_a_server_that_isnt_active_says_so_and_shows_nothing_of_it(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        a.world.add_session("Of A")
        first = await web.app.add_server(a.url, label="Box A")
        await web.app.work.sessions()
        second = await web.app.add_server(b.url, label="Box B", use=True)
        browser = PlainBrowser(web)
        text = await browser.get(f"/s/{first.id}/")
        assert 'Switch to <bdi dir="auto">Box A</bdi>' in text
        assert f'href="/s/{second.id}/"' in text
        assert "Of A" not in text
        assert web.app.active() == web.app.server(second.id)
        assert "Of A" in await browser.post(f"/servers/{first.id}/use")
        await browser.get("/s/gone/")
        assert browser.status == 404


async def test_a_request_for_another_server_reaches_none(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        first = await web.app.add_server(a.url)
        await web.app.add_server(b.url, use=True)
        counts = (a.count("/session"), b.count("/session"))
        answer = await PlainBrowser(web).send(f"/s/{first.id}/refresh")
        assert "Nothing was sent." in await answer.text()
        url = f"{web.url}/s/{first.id}/sessions"
        async with web.client.get(url, headers=HTMX) as quiet:
            assert quiet.status == 204
        assert (a.count("/session"), b.count("/session")) == counts


async def test_a_server_that_is_down_shows_its_cached_sessions_and_a_switch_to_another(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        a.world.add_session("Of A")
        first = await web.app.add_server(a.url, label="A")
        other = await web.app.add_server(b.url, label="Box B")
        await web.app.work.sessions()
        await a.stop()
        await web.app.check(first.id)
        browser = PlainBrowser(web)
        text = await browser.get(f"/s/{first.id}/")
        assert "Of A" in text
        assert "Nothing listens" in text
        assert f'formaction="/servers/{other.id}/use"' in text
        await browser.post(f"/servers/{other.id}/use")
        assert browser.path == f"/s/{other.id}/"


async def test_a_switch_answers_with_the_other_servers_page_where_one_is_shown(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        b.world.add_session("Of B")
        first = await web.app.add_server(a.url, label="A")
        second = await web.app.add_server(b.url, label="B", use=True)
        await web.app.work.sessions()
        await web.app.switch_to(first.id)

        async def use(page: str) -> tuple[str, str | None]:
            headers = HTMX | {"HX-Current-URL": f"{web.url}{page}"}
            url = f"{web.url}/servers/{second.id}/use"
            async with web.client.post(url, headers=headers) as answer:
                return await answer.text(), answer.headers.get("hx-push-url")

        text, address = await use(f"/s/{first.id}/")
        assert address == f"/s/{second.id}/"
        assert "Of B" in text
        assert text.startswith('<title>B · CodeWalk</title><hx-partial hx-target=".home"')
        text, address = await use("/servers")
        assert address == "false"
        assert "Of B" not in text


async def test_a_name_in_the_list_switches_and_leads_to_the_home(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        first = await web.app.add_server(mock.url, label="A")
        bad = await web.app.add_server(CLOSED, label="Bad", check=False)
        headers = HTMX | {"HX-Current-URL": f"{web.url}/servers"}

        async def use(server_id: str, query: str = "home=true") -> tuple[str, str | None]:
            url = f"{web.url}/servers/{server_id}/use?{query}"
            async with web.client.post(url, headers=headers) as answer:
                return await answer.text(), answer.headers.get("hx-redirect")

        text, address = await use(bad.id)
        assert address is None
        assert f'action="/servers/{bad.id}/use?force=true&amp;home=true"' in text
        assert await use(bad.id, "force=true&home=true") == ("", f"/s/{bad.id}/")
        assert await use(first.id) == ("", f"/s/{first.id}/")
        browser = PlainBrowser(web)
        await browser.get("/servers")
        await browser.post(f"/servers/{bad.id}/use?force=true&home=true")
        assert browser.path == f"/s/{bad.id}/"


async def test_an_address_that_was_never_asked_for_is_no_server(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await web.app.add_server(CLOSED, label="One", check=False)
        browser = PlainBrowser(web)
        await browser.get("/s/one/")
        assert browser.status == 404


async def test_a_model_is_chosen_and_the_page_stays_in_its_directory(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url)
        chosen = (await web.app.work.models()).models[-1].ref
        browser, home = PlainBrowser(web), f"/s/{server.id}/?directory=%2Fsrv%2Fshop"
        text = await browser.get(home)
        (form,) = re.findall(r'<form id="model-.*?</form>', text, re.DOTALL)
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))
        text = await browser.post(f"/s/{server.id}/model", model=chosen, **fields)
        assert f'<option value="{chosen}" selected>' in text
        assert '<bdi class="path" dir="ltr">/srv/shop</bdi>' in text


async def test_a_directory_survives_every_form_of_its_page(tmp_path: Path) -> None:
    """A browser sends one line end for another, and an HTML parser takes no NUL."""
    odd = '/srv/a\rb\nc\x00 %2F"é'
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url)
        browser, home = PlainBrowser(web), f"/s/{server.id}/"
        await web.app.work.sessions(odd)
        text = await browser.get(f"{home}?{urlencode({'directory': odd})}")
        carried = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text)
        (at,) = {value for name, value in carried if name == "at"}
        assert not set(at) & set("\r\n\x00")
        await browser.post(f"{home}sessions", title="Mine", at=at)
        assert [session["directory"] for session in mock.world.sessions] == [odd]
        assert "Mine" in await browser.get(f"{home}?{urlencode({'at': at, 'q': 'mine'})}")


async def test_a_session_that_isnt_made_leaves_its_title_in_the_form(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box")
        await mock.stop()
        browser = PlainBrowser(web)
        text = await browser.post(f"/s/{server.id}/sessions", title='Fix "it"', at="/srv/x")
        assert browser.status == 502
        assert "Box: " in text
        assert 'value="Fix &#34;it&#34;"' in text
        assert '<bdi class="path" dir="ltr">/srv/x</bdi>' in text


async def test_without_a_script_nothing_is_said_to_be_asked(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url)
        text = await PlainBrowser(web).get(f"/s/{server.id}/")
        assert '<span class="needs-script">Fetching the sessions …</span>' in text
        assert '<span class="without-script">Not fetched yet.</span>' in text


async def test_a_link_that_is_followed_too_late_leads_nowhere(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as a, MockOpenCode() as b:
        first = await web.app.add_server(a.url, label="A")
        await web.app.add_server(b.url, label="B", use=True)
        async with web.client.get(f"{web.url}/s/{first.id}/", headers=HTMX) as answer:
            assert answer.status == 204


async def test_a_server_that_fails_at_its_lists_is_marked_on_every_page(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box")
        invalid = {"name": "ConfigInvalidError", "data": {"message": "No <b> here", "path": "/c"}}
        for path in ("/session", "/config/providers"):
            mock.script(path, json_reply(invalid, status=400))
        browser, home = PlainBrowser(web), f"/s/{server.id}/"
        await web.app.work.retry(server_id=server.id)
        text = await browser.post(f"{home}refresh")
        words = "(status 400): No &lt;b&gt; here (in /c)."
        assert "Answers, but its sessions can&#39;t be listed: " in text
        assert words in text
        with pytest.raises(ServerUnreachable):
            await web.app.work.models()
        text = await browser.get(home)
        assert "Models not available" in text
        assert "sessions and models" in text
        for path in ("/servers", f"/servers/{server.id}"):
            assert words in await browser.get(path)
        mock.script("/session")
        mock.script("/config/providers")
        text = await browser.post(f"{home}refresh")
        assert "Answers, but" not in text
        assert "Models not available" not in text
