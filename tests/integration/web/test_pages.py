"""The pages as a browser without JavaScript gets them, and the parts that htmx gets."""

from pathlib import Path

from codewalk.secret import Secret
from tests.integration.web.browsing import CLOSED, PASSWORD, Browser, row
from tests.integration.web.running import running
from tests.mock_opencode import MockOpenCode


async def test_the_front_door_leads_to_the_active_server_or_to_all(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        browser = Browser(web)
        server = await web.app.add_server(CLOSED, check=False)
        await browser.get("/")
        assert browser.path == f"/s/{server.id}/"
        await web.app.remove_server(server.id)
        text = await browser.get("/")
        assert browser.path == "/servers"
        assert '<h1 id="servers-heading">Servers</h1>' in text
        assert "No servers yet." in text


async def test_a_server_is_added_by_a_form_and_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode(password=PASSWORD) as mock:
        browser = Browser(web)
        form = await browser.get("/servers/new")
        assert 'name="username" value="opencode"' in form
        text = await browser.post(
            "/servers/new",
            url=mock.url,
            label="Dev box",
            username="opencode",
            password=PASSWORD,
            action="save",
        )
        assert browser.path == "/servers"
        shown = row(text, "Dev box")
        for part in ("healthy", "1.18.33", mock.url, "Active", "opencode"):
            assert part in shown
        assert web.app.servers()[0].profile.basic_auth_enabled


async def test_the_preset_user_name_alone_is_no_credential(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        await Browser(web).post("/servers/new", url=mock.url, username="opencode", action="save")
        assert not web.app.servers()[0].profile.basic_auth_enabled


async def test_a_refused_form_keeps_what_was_typed_but_the_password(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        browser = Browser(web)
        typed = {"label": "Böx", "username": "ana", "password": PASSWORD}
        text = await browser.post("/servers/new", url="ftp://x", action="save", **typed)
        assert browser.status == 422
        assert 'id="url-told" class="error"' in text
        assert "not http or https" in text
        for part in ('value="ftp://x"', 'value="Böx"', 'value="ana"'):
            assert part in text
        assert "Save anyway" not in text
        text = await browser.post("/servers/new", url=CLOSED, action="save", **typed)
        assert "Nothing listens" in text
        assert "Save anyway" in text
        assert web.app.servers() == []
        text = await browser.post("/servers/new", url=CLOSED, action="anyway", **typed)
        assert "unknown" in row(text, "Böx")
        text = await browser.post("/servers/new", url=CLOSED, action="anyway", **typed)
        assert 'id="url-told" class="error"' in text
        assert "already kept" in text


async def test_a_connection_is_tested_and_nothing_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        browser = Browser(web)
        text = await browser.post("/servers/new", url=mock.url, action="test")
        assert "OpenCode 1.18.33." in text
        text = await browser.post("/servers/new", url=CLOSED, action="test")
        assert "Nothing listens" in text
        assert web.app.servers() == []


async def test_an_edit_keeps_the_password_unless_told_to_forget_it(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode(password=PASSWORD) as mock:
        server = await web.app.add_server(mock.url, password=Secret(PASSWORD))
        browser = Browser(web)
        path = f"/servers/{server.id}/edit"
        assert "A password is stored" in await browser.get(path)
        typed = {"url": mock.url, "label": "New name", "username": "opencode", "password": ""}
        assert "OpenCode 1.18.33." in await browser.post(path, action="test", **typed)
        row(await browser.post(path, action="save", **typed), "New name")
        assert web.app.server("New name").profile.basic_auth_password is not None
        await browser.post(path, action="forget", **typed)
        assert not web.app.server("New name").profile.basic_auth_enabled


async def test_an_edit_says_where_a_stored_password_goes(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        url, warning = "http://127.0.0.1:9", "The stored password is sent there"
        guarded = await web.app.add_server(url, password=Secret(PASSWORD), check=False)
        bare = await web.app.add_server("http://127.0.0.1:8", check=False)
        browser = Browser(web)
        for server, typed, warned in (
            (guarded, "http://127.0.0.1:7", True),
            (guarded, "https://127.0.0.1:9", True),
            (guarded, f"{url}/prefix/", False),
            (guarded, url, False),
            (bare, "http://127.0.0.1:7", False),
        ):
            text = await browser.post(f"/servers/{server.id}/preview", url=typed)
            assert (warning in text) is warned, typed


async def test_credentials_in_the_first_url_come_back_and_the_password_is_in_no_address(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web:
        browser = Browser(web)
        assert 'method="post" action="/servers/begin"' in await browser.get("/servers")
        address, again = "/servers/new?url=http%3A%2F%2F127.0.0.1%3A9", "enter it here"
        for userinfo, query, username, lost in (
            ("", "", "opencode", False),
            ("ana@", "&username=ana", "ana", False),
            (f"ana:{PASSWORD}@", "&username=ana&lost=true", "ana", True),
            (f":{PASSWORD}@", "&lost=true", "opencode", True),
        ):
            typed = {"url": f"http://{userinfo}127.0.0.1:9"}
            async with web.client.post(
                f"{web.url}/servers/begin", data=typed, allow_redirects=False
            ) as answer:
                assert answer.headers["location"] == address + query
            text = await browser.post("/servers/begin", **typed)
            assert 'value="http://127.0.0.1:9"' in text
            assert f'name="username" value="{username}"' in text
            assert (again in text) is lost, typed
            assert PASSWORD not in text


async def test_a_server_is_removed_after_a_question(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Old", check=False)
        browser = Browser(web)
        path = f"/servers/{server.id}/remove"
        text = await browser.get(path)
        assert "its password" in text
        assert len(web.app.servers()) == 1
        assert "No servers yet." in await browser.post(path)
        assert "No servers yet." in await browser.post(path)  # sent twice


async def test_the_default_is_set_and_cleared_by_id(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        first = await web.app.add_server(f"{CLOSED}/1", label="One", check=False)
        second = await web.app.add_server(f"{CLOSED}/2", label="Two", check=False)
        browser = Browser(web)
        text = await browser.post(f"/servers/{second.id}/default")
        assert ">Default<" in row(text, "Two")
        assert "Clear default" in await browser.get(f"/servers/{second.id}/menu")
        # A tab that still shows the first as the default doesn't clear the second.
        await browser.post(f"/servers/{first.id}/default/clear")
        assert web.app.default() is not None
        text = await browser.post(f"/servers/{second.id}/default/clear")
        assert ">Default<" not in text


async def test_an_unhealthy_server_is_switched_to_only_when_insisted(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="Good")
        bad = await web.app.add_server(CLOSED, label="Bad <b>", check=False)
        browser = Browser(web)
        text = await browser.post(f"/servers/{bad.id}/use")
        assert browser.status == 409
        assert "Bad &lt;b&gt; is unhealthy: Nothing listens" in text
        assert f'action="/servers/{bad.id}/use?force=true"' in text
        assert "Active" in row(text, "Good")
        text = await browser.post(f"/servers/{bad.id}/use?force=true")
        assert browser.path == f"/s/{bad.id}/"
        assert "Active" in row(await browser.get("/servers"), "Bad &lt;b&gt;")


async def test_checks_are_run_for_one_and_for_all(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        await web.app.add_server(mock.url, label="Good", check=False)
        bad = await web.app.add_server(CLOSED, label="Bad", check=False)
        browser = Browser(web)
        text = await browser.post(f"/servers/{bad.id}/check")
        assert "unhealthy" in row(text, "Bad")
        assert "unknown" in row(text, "Good")
        text = await browser.post("/servers/check")
        assert "1.18.33" in row(text, "Good")


async def test_a_form_for_a_server_that_is_gone_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        browser = Browser(web)
        for path in ("use", "default", "check", "edit"):
            text = await browser.post(f"/servers/gone/{path}")
            assert browser.status == 404
            assert "No server has the id" in text
            answer = await browser.send(f"/servers/gone/{path}")
            assert answer.status == 404
            assert 'hx-target="#notices"' in await answer.text()


async def test_htmx_gets_the_parts_that_change(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        browser = Browser(web)
        answer = await browser.send("/servers/new", url="ftp://x", action="save")
        text = await answer.text()
        assert answer.status == 200
        assert text.startswith('<hx-partial hx-target="#server-form"')
        assert "<html" not in text
        answer = await browser.send("/servers/new", url=mock.url, action="save")
        assert (answer.status, answer.headers["hx-redirect"]) == (204, "/servers")
        server = web.app.servers()[0]
        answer = await browser.send(f"/servers/{server.id}/check")
        assert f'hx-target="#server-{server.id}"' in await answer.text()
        # Not boosted forms' own addresses into the browser's history.
        assert answer.headers["hx-push-url"] == "false"
