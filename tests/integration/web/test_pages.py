"""The pages as a browser without JavaScript gets them, and the parts that htmx gets."""

from pathlib import Path
from urllib.parse import urlencode

from codewalk.app.composition import open_app
from codewalk.secret import Secret
from codewalk.servers.draft import Change
from codewalk.servers.profile import NotifySetting
from tests.integration.web.plain_browser import CLOSED, PASSWORD, PlainBrowser, fields, row
from tests.integration.web.web_app import running, settings_in
from tests.mock_opencode import MockOpenCode


async def test_the_front_door_leads_to_the_active_server_or_to_all(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        browser = PlainBrowser(web)
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
        browser = PlainBrowser(web)
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
        listed = row(text, "Dev box")
        for part in ("healthy", "1.18.33", mock.url, "Active", "opencode"):
            assert part in listed
        assert web.app.servers()[0].profile.basic_auth_enabled


async def test_the_preset_user_name_alone_is_no_credential(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        await PlainBrowser(web).post(
            "/servers/new", url=mock.url, username="opencode", action="save"
        )
        assert not web.app.servers()[0].profile.basic_auth_enabled


async def test_a_refused_form_keeps_what_was_typed_but_the_password(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        browser = PlainBrowser(web)
        typed = {"label": "Böx", "username": "ana", "password": PASSWORD}
        text = await browser.post("/servers/new", url="ftp://x", action="save", **typed)
        assert browser.status == 422
        assert 'id="url-message" class="error"' in text
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
        assert 'id="url-message" class="error"' in text
        assert "already saved" in text


async def test_a_connection_is_tested_and_nothing_is_saved(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        browser = PlainBrowser(web)
        text = await browser.post("/servers/new", url=mock.url, action="test")
        assert "OpenCode 1.18.33." in text
        text = await browser.post("/servers/new", url=CLOSED, action="test")
        assert "Nothing listens" in text
        assert web.app.servers() == []


async def test_an_edit_keeps_the_password_unless_told_to_forget_it(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode(password=PASSWORD) as mock:
        server = await web.app.add_server(mock.url, password=Secret(PASSWORD))
        browser = PlainBrowser(web)
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
        browser = PlainBrowser(web)
        for server, typed, warned in (
            (guarded, "http://127.0.0.1:7", True),
            (guarded, "https://127.0.0.1:9", True),
            (guarded, f"{url}/prefix/", False),
            (guarded, url, False),
            (bare, "http://127.0.0.1:7", False),
        ):
            text = await browser.post(f"/servers/{server.id}/preview", url=typed)
            assert (warning in text) is warned, typed


async def test_a_pasted_address_offers_the_server_that_is_meant(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        browser = PlainBrowser(web)
        offer = f'name="try_url" value="{mock.url}"'
        for pasted in (
            f"{mock.url}/L2hvbWU/session/ses_1",
            f"{mock.url}/api",
            f"opencode server listening on {mock.url}",
            f"http//{mock.url.removeprefix('http://')}",
            f"{mock.url}/?auth_token=s3cr3t",
        ):
            for action in ("test", "save"):
                text = await browser.post("/servers/new", url=pasted, action=action)
                assert offer in text, pasted
                assert "s3cr3t" not in text
            assert "s3cr3t" not in await browser.post("/servers/preview", url=pasted)
        assert web.app.servers() == []
        text = await browser.post("/servers/new", url="x", try_url=mock.url)
        assert "OpenCode 1.18.33." in text
        assert 'name="try_url"' not in text
        _, problem = await web.call("POST", "/servers", json={"url": "http://h?auth_token=s3cr3t"})
        assert problem["code"] == "invalid_url"
        assert "s3cr3t" not in str(problem)


async def test_the_form_says_which_server_another_name_of_this_machine_may_be(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server("http://127.0.0.1:9", label="Local", check=False)
        browser = PlainBrowser(web)
        hint = "This may be the same server as Local (http://127.0.0.1:9)"
        assert hint in await browser.post("/servers/preview", url="localhost:9")
        assert hint not in await browser.post("/servers/preview", url="localhost:10")
        path = f"/servers/{server.id}/preview"
        assert "may be the same" not in await browser.post(path, url="localhost:9")
        text = await browser.post("/servers/preview", url="http://0.0.0.0:10")
        assert "Saved as http://127.0.0.1:10" in text


async def test_the_first_page_adds_a_server_and_shows_the_form_only_where_that_fails(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        browser = PlainBrowser(web)
        assert 'id="server-form" class="inline" method="post" action="/servers/new"' in (
            await browser.get("/servers")
        )
        text = await browser.post("/servers/new", url=CLOSED)
        assert (browser.path, browser.status) == ("/servers/new", 422)
        assert "Nothing listens" in text
        assert f'value="{CLOSED}"' in text
        assert web.app.servers() == []
        text = await browser.post("/servers/new", url=mock.url)
        assert browser.path == "/servers"
        assert "healthy" in row(text, mock.url.removeprefix("http://"))


async def test_credentials_in_the_first_url_come_back_in_their_fields_but_for_the_password(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web:
        browser = PlainBrowser(web)
        for userinfo, username, lost in (
            ("", "opencode", False),
            ("ana@", "ana", False),
            (f"ana:{PASSWORD}@", "ana", True),
            (f":{PASSWORD}@", "opencode", True),
        ):
            url = f"http://{userinfo}127.0.0.1:9"
            for text in (
                await browser.post("/servers/new", url=url),
                await browser.get(f"/servers/new?{urlencode({'url': url})}"),
            ):
                assert f'value="{CLOSED}"' in text
                assert f'name="username" value="{username}"' in text
                assert ("enter it here" in text) is lost, url
                assert PASSWORD not in text


async def test_an_edit_that_was_opened_earlier_reverts_nothing(tmp_path: Path) -> None:
    """Each field that the form had was sent, and compared with the profile as it was by then."""
    async with running(tmp_path) as web, MockOpenCode(password=PASSWORD) as mock:
        server = await web.app.add_server(CLOSED, password=Secret(PASSWORD), check=False)
        browser, path = PlainBrowser(web), f"/servers/{server.id}/edit"
        form = fields(await browser.get(path))
        newer = Change(url=mock.url, health_check={"interval": 30}, notify=NotifySetting.OFF)
        await web.app.edit_server(server.id, newer)
        row(await browser.post(path, **{**form, "label": "Renamed"}), "Renamed")
        profile = web.app.server(server.id).profile
        assert (profile.url, profile.label) == (mock.url, "Renamed")
        assert (profile.health_check.interval, profile.notify) == (30, NotifySetting.OFF)


async def test_an_edit_of_what_was_changed_elsewhere_is_refused_and_keeps_both_values(
    tmp_path: Path,
) -> None:
    """Another process has changed it: the app here doesn't know that yet."""
    newer = Change(label="Theirs", health_check={"interval": 30})
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        browser, path = PlainBrowser(web), f"/servers/{server.id}/edit"
        form = fields(await browser.get(path))
        async with open_app(settings_in(tmp_path)) as other:
            await other.edit_server(server.id, newer)
        text = await browser.post(path, **{**form, "label": "Mine", "interval": "60", "fall": "5"})
        assert browser.status == 422
        assert "was changed elsewhere meanwhile (label, seconds between checks)" in text
        assert "Now “Theirs”. Changed elsewhere since this form was opened." in text
        assert "Seconds between checks: Now “30”. Changed elsewhere" in text
        again = fields(text)
        assert (again["label"], again["interval"], again["fall"]) == ("Mine", "60", "5")
        assert web.app.server(server.id).profile.label == "Theirs"

        # Either way is one click: the newer value …
        taken = fields(await browser.post(path, **again, use_current="label"))
        assert (taken["label"], taken["interval"]) == ("Theirs", "60")
        # … or the own one, once more.
        row(await browser.post(path, **again), "Mine")
        checks = web.app.server(server.id).profile.health_check
        assert (checks.interval, checks.fall) == (60, 5)


async def test_a_test_of_the_connection_finds_the_conflict_too(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await web.app.add_server(CLOSED, label="Box", check=False)
        browser, path = PlainBrowser(web), f"/servers/{server.id}/edit"
        form = fields(await browser.get(path))
        await web.app.edit_server(server.id, Change(url=mock.url))
        typed = {**form, "password": PASSWORD, "action": "test"}
        text = await browser.post(path, **typed)
        assert "was changed elsewhere meanwhile (URL)" in text
        assert f'value="{mock.url}"' in text
        assert "Basic" not in str([request.headers for request in mock.requests])
        # What was left alone is tested as it is now.
        text = await browser.post(path, **{**form, "label": "Mine", "action": "test"})
        assert "OpenCode 1.18.33." in text
        assert f'value="{mock.url}"' in text
        assert "Changed elsewhere since this form was opened." in text


async def test_a_server_is_removed_after_a_question(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await web.app.add_server(CLOSED, label="Old", check=False)
        browser = PlainBrowser(web)
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
        browser = PlainBrowser(web)
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
        browser = PlainBrowser(web)
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
        browser = PlainBrowser(web)
        text = await browser.post(f"/servers/{bad.id}/check")
        assert "unhealthy" in row(text, "Bad")
        assert "unknown" in row(text, "Good")
        text = await browser.post("/servers/check")
        assert "1.18.33" in row(text, "Good")


async def test_a_form_for_a_server_that_is_gone_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        browser = PlainBrowser(web)
        for path in ("use", "default", "check", "edit"):
            text = await browser.post(f"/servers/gone/{path}")
            assert browser.status == 404
            assert "No server has the id" in text
            answer = await browser.send(f"/servers/gone/{path}")
            assert answer.status == 404
            assert 'hx-target="#alerts"' in await answer.text()


async def test_htmx_gets_the_parts_that_change(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        browser = PlainBrowser(web)
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
