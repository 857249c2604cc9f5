"""The active server's home as a browser without JavaScript gets it, and the parts for htmx."""

import asyncio
import re
from pathlib import Path
from time import time
from urllib.parse import urlencode

import pytest
from aiohttp.web import Request, StreamResponse
from aiohttp.web import json_response as web_json

from codewalk.errors import ServerUnreachable
from codewalk.workspace.directories import ALL
from tests.integration.web.plain_browser import CLOSED, HTMX, PlainBrowser, fields
from tests.integration.web.web_app import RunningApp, running
from tests.mock_behaviours import close, json_reply
from tests.mock_opencode import MockOpenCode, Release


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
        for path in ("/session", "/experimental/session"):
            mock.script(path, json_reply({}, status=500))
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
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form))
        text = await browser.post(f"/s/{server.id}/model", model=chosen, **hidden)
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
        form = fields(text, "new-session")
        assert form["title"] == 'Fix "it"'
        selected = re.search(r'<select id="new-folder" name="at">\s*<option value="([^"]*)"', text)
        assert selected
        assert selected[1] == "/srv/x"


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
        failing = ("/session", "/experimental/session", "/config/providers")
        for path in failing:
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
        for path in failing:
            mock.script(path)
        text = await browser.post(f"{home}refresh")
        assert "Answers, but" not in text
        assert "Models not available" not in text


async def two_projects(web: RunningApp, mock: MockOpenCode) -> str:
    """The home of a server with two projects, whose lists were fetched."""
    server = await web.app.add_server(mock.url, label="Box")
    mock.world.add_project("/srv/shop")
    mock.world.add_session("Of the own folder")
    mock.world.add_session("Of the shop", directory="/srv/shop", project_id="shop")
    await web.app.work.projects()
    await web.app.work.sessions(ALL)
    return f"/s/{server.id}/"


async def test_all_folders_are_listed_first_and_the_search_covers_them(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        browser, home = PlainBrowser(web), await two_projects(web, mock)
        text = await browser.get(home)
        links = re.findall(r'<a id="project-[^>]*>.*?</bdi></a>', text)
        assert [re.sub("<[^>]+>", "", link) for link in links] == [
            *("All folders", "shop", "project")
        ]
        assert ['aria-current="page"' in link for link in links] == [True, False, False]
        assert re.findall(r'class="name" dir="auto">(Of [^<]+)<', text) == [
            *("Of the shop", "Of the own folder")
        ]
        assert "/srv/shop" in text
        text = await browser.get(f"{home}?q=own+folder")
        assert "Of the own folder" in text
        assert "Of the shop" not in text
        text = await browser.get(f"{home}?own=true")
        assert "Of the own folder" in text
        assert "Of the shop" not in text
        text = await browser.get(f"{home}?own=true&q=shop")
        assert "No session here has" in text
        assert f'<a href="{home}?q=shop">Search all folders</a>' in text
        assert "Of the shop" in await browser.get(f"{home}?q=shop")


async def test_a_session_is_created_in_the_folder_that_is_chosen(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        browser, home = PlainBrowser(web), await two_projects(web, mock)
        form = fields(await browser.get(home), "new-session")
        text = await browser.post(f"{home}sessions", **form | {"title": "A", "at": "/srv/shop"})
        assert mock.world.sessions[-1]["directory"] == "/srv/shop"
        assert "Of the own folder" in text  # all folders are listed still
        shop = f"{home}?directory=%2Fsrv%2Fshop"
        form = fields(await browser.get(shop), "new-session")
        action = f"{home}sessions?directory=%2Fsrv%2Fshop"
        text = await browser.post(action, **form | {"title": "B", "at": "/srv/shop"})
        assert "Of the own folder" not in text
        text = await browser.post(action, **form | {"title": "C", "at": ""})
        assert mock.world.sessions[-1]["directory"] == "/srv/project"
        assert "Of the own folder" in text
        assert "Of the shop" not in text


async def test_a_form_that_is_sent_twice_makes_one_session(tmp_path: Path) -> None:
    """A browser without scripts sends a form as often as its button is clicked."""
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box")
        browser, home = PlainBrowser(web), f"/s/{server.id}/"
        await web.app.work.sessions(ALL)
        form = fields(await browser.get(home), "new-session") | {"title": "Once"}
        gate = mock.hold("/session")
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(browser.send(f"{home}sessions", **form))
            await gate.arrived.wait()
            gate.release()
        assert "Once" in await browser.post(f"{home}sessions", **form)
        assert [session["title"] for session in mock.world.sessions] == ["Once"]
        again = fields(await browser.get(home), "new-session") | {"title": "Once"}
        await browser.post(f"{home}sessions", **again)
        assert len(mock.world.sessions) == 2


async def test_a_lost_answer_is_explained_by_what_the_server_lists(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url, label="Box")
        browser, home = PlainBrowser(web), f"/s/{server.id}/"
        await web.app.work.sessions()

        async def create_and_close(request: Request) -> StreamResponse:
            if request.method == "POST":
                mock.world.add_session("Kept", updated=int(time() * 1000))
                return await close()(request)
            return web_json(mock.world.sessions)

        mock.script("/session", create_and_close)
        text = await browser.post(f"{home}sessions", title="Kept")
        assert browser.status == 200
        assert "Box didn&#39;t answer, but the session was created." in text
        assert [session["title"] for session in mock.world.sessions] == ["Kept"]

        async def close_only(request: Request) -> StreamResponse:
            if request.method == "POST":
                return await close()(request)
            return web_json(mock.world.sessions)

        mock.script("/session", close_only)
        text = await browser.post(f"{home}sessions", title="Lost")
        assert browser.status == 502
        assert "No new session has appeared there." in text
        mock.script("/session", close())
        text = await browser.post(f"{home}sessions", title="Lost")
        assert "The session may have been created all the same." in text


async def test_a_model_can_be_unchosen(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(mock.url)
        chosen = (await web.app.work.models()).models[-1].ref
        browser, address = PlainBrowser(web), f"/s/{server.id}/model"
        assert f'value="{chosen}" selected>' in await browser.post(address, model=chosen)
        text = await browser.post(address, model="")
        assert '<option value="" selected>Server decides</option>' in text
        names = {size.key.partition("::")[0] for size in await web.app.stored_state()}
        assert not names & {"selected_model", "selected_provider"}


async def test_an_old_release_is_asked_for_each_folder_by_a_refresh_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode(release=Release.OLD) as mock:
        browser, home = PlainBrowser(web), await two_projects(web, mock)
        text = await browser.get(home)
        assert "This OpenCode release lists one folder at a time" in text
        assert "Of the shop" not in text
        text = await browser.post(f"{home}refresh")
        assert "lists one folder at a time" not in text
        assert "Of the shop" in text
        assert "Of the own folder" in text


async def test_a_server_that_is_down_offers_no_new_session(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Down", check=False)
        await web.app.check(server.id)
        text = (await PlainBrowser(web).get(f"/s/{server.id}/")).partition("<main")[2]
        assert text.count("Nothing listens") == 1
        assert 'popovertarget="new-session" disabled>' in text
        assert "Never fetched" in text
