"""The choice between light and dark, stored by the browser that made it."""

from pathlib import Path

import aiohttp
import pytest

from tests.integration.web.web_app import RunningApp, running


async def choose(web: RunningApp, theme: str, **headers: str) -> aiohttp.ClientResponse:
    there = f"{web.url}/appearance"
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    async with web.client.post(
        there, data={"theme": theme}, headers=sent, allow_redirects=False
    ) as answer:
        await answer.read()
        return answer


async def test_a_choice_is_stored_and_every_page_follows_it(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        answer = await choose(web, "dark")
        assert answer.status == 303
        cookie = answer.headers["set-cookie"]
        for part in ("codewalk_theme=dark;", "Max-Age=31536000", "SameSite=strict", "HttpOnly"):
            assert part in cookie
        headers = {"Cookie": cookie.partition(";")[0]}
        for path in ("/servers", "/servers/new", "/nowhere"):
            async with web.client.get(web.url + path, headers=headers) as page:
                assert 'data-theme="dark"' in await page.text()
        # Who isn't let in is answered in his colours too.
        headers["Authorization"] = "Bearer wrong"
        async with web.client.get(f"{web.url}/servers", headers=headers) as page:
            assert page.status == 401
            assert 'data-theme="dark"' in await page.text()


async def test_an_unknown_theme_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        for theme in ("", "blue", "DARK", "dark; Path=/"):
            answer = await choose(web, theme)
            assert answer.status == 422
            assert "set-cookie" not in answer.headers


async def test_it_leads_back_to_the_page_it_was_made_on(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        other = f"http://127.0.0.1:{web.port + 1}"
        cases = {
            f"{web.url}/servers/new": "/servers/new",
            f"{web.url}/servers?a=b%20c&d": "/servers?a=b%20c&d",
            # What another site's page, or nobody, says it came from.
            f"{other}/servers/new": "/",
            "https://evil.example/servers/new": "/",
            f"http://evil.example@127.0.0.1:{web.port}/servers/new": "/",
            "": "/",
            # What can't be asked for again: the answer to a form, and what isn't there.
            f"{web.url}/servers/018f/use": "/",
            f"{web.url}/nowhere": "/",
            f"{web.url}//evil.example/servers": "/",
        }
        for came, back in cases.items():
            answer = await choose(web, "light", Referer=came)
            assert answer.headers["location"] == back, came


async def test_htmx_gets_the_buttons_and_the_cookie(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        answer = await choose(web, "light", HX_Request="true")
        text = await answer.text()
        assert answer.status == 200
        assert text.startswith('<hx-partial hx-target="#appearance"')
        assert 'value="light" aria-pressed="true"' in text
        assert "codewalk_theme=light" in answer.headers["set-cookie"]


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
async def test_another_sites_page_chooses_nothing(tmp_path: Path, site: str) -> None:
    jar = aiohttp.CookieJar(unsafe=True)  # it takes cookies of an address too
    async with running(tmp_path) as web, aiohttp.ClientSession(cookie_jar=jar) as browser:
        async with browser.get(web.login_address) as page:
            assert page.status == 200
        headers = {"Sec-Fetch-Site": site}
        there = f"{web.url}/appearance"
        async with browser.post(there, data={"theme": "dark"}, headers=headers) as answer:
            assert answer.status == 403
            assert "set-cookie" not in answer.headers
