"""Access to the app, and the headers of every response."""

from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from codewalk.web.assets import ADDRESSES
from tests.integration.web.web_app import API, TOKEN, RunningApp, running


def stranger() -> aiohttp.ClientSession:
    """A client without the token, and without cookies of its own."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())


async def cookie_of(web: RunningApp, client: aiohttp.ClientSession) -> str:
    async with client.get(web.login_address, allow_redirects=False) as answer:
        return answer.headers["set-cookie"].partition(";")[0]


async def test_without_the_token_nothing_is_revealed(tmp_path: Path) -> None:
    async with running(tmp_path) as web, stranger() as client:
        await web.app.add_server("http://127.0.0.1:9", label="Secret box", check=False)
        for wrong in ("", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN):
            await refused(web, client, wrong)


async def refused(web: RunningApp, client: aiohttp.ClientSession, authorization: str) -> None:
    headers = {"Authorization": authorization}
    for path in (f"{API}/servers", f"{API}/openapi.json", f"{API}/nowhere", f"{API}/events"):
        async with client.get(web.url + path, headers=headers) as got:
            body = await got.json(content_type=None)
            assert (got.status, body["code"]) == (401, "unauthorized")
            assert got.headers["www-authenticate"] == "Bearer"
    for path in ("/", "/servers", "/live", "/nowhere", f"/servers?token={TOKEN}x"):
        async with client.get(web.url + path, headers=headers) as got:
            text = await got.text()
            assert got.status == 401
            assert "codewalk up" in text
            assert "Secret box" not in text
            assert TOKEN not in text


async def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web, stranger() as client:
        there = f"{web.url}/servers?a=1&token={TOKEN}&b=%2F"
        async with client.get(there, allow_redirects=False) as answer:
            assert answer.status == 303
            assert answer.headers["location"] == "/servers?a=1&b=%2F"
            assert answer.headers["referrer-policy"] == "no-referrer"
            cookie = answer.headers["set-cookie"]
        name, _, rest = cookie.partition("=")
        assert name == f"codewalk_{web.port}"
        assert TOKEN not in cookie
        for part in ("HttpOnly", "SameSite=strict", "Path=/"):
            assert part in rest
        headers = {"Cookie": cookie.partition(";")[0] + "; other=1"}
        async with client.get(f"{web.url}/servers", headers=headers) as page:
            assert page.status == 200
        async with client.get(f"{web.url}{API}/servers", headers=headers) as answer:
            assert answer.status == 200


async def test_the_redirect_stays_on_this_host(tmp_path: Path) -> None:
    async with running(tmp_path) as web, stranger() as client:
        for path in ("//evil.example/", "/\\evil.example/", "/%2Fevil.example", "/%5C/evil"):
            there = URL(f"{web.url}{path}?token={TOKEN}", encoded=True)
            async with client.get(there, allow_redirects=False) as answer:
                assert answer.status == 303
                assert not answer.headers["location"].startswith(("//", "/\\", "http"))


async def test_a_token_in_the_address_does_not_open_the_api(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        status, _ = await web.call("GET", f"/servers?token={TOKEN}", headers={"Authorization": ""})
        assert status == 401


async def test_a_foreign_host_name_is_refused_even_with_the_token(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        foreign = ("evil.example", f"evil.example:{web.port}", f"10.0.0.9:{web.port}")
        for host in (*foreign, "127.0.0.1.evil.example:4090", ""):
            for path in (f"{API}/healthz", f"{API}/servers", "/servers", ADDRESSES["app.css"]):
                async with web.client.get(web.url + path, headers={"Host": host}) as answer:
                    assert answer.status == 403
                    assert "set-cookie" not in answer.headers


async def test_loopback_and_the_given_names_are_allowed(tmp_path: Path) -> None:
    hosts = ("devbox", "fe80::1", "proxy.example:8443")
    async with running(tmp_path, hosts=hosts) as web:
        own = [f"{name}:{web.port}" for name in ("127.0.0.1", "LOCALHOST", "[::1]", "devbox")]
        for host in (*own, f"[fe80::1]:{web.port}", "proxy.example:8443"):
            _status, body = await web.call("GET", "/healthz", headers={"Host": host})
            assert body.get("ok"), host
        status, _ = await web.call("GET", "/healthz", headers={"Host": "proxy.example"})
        assert status == 403


TUNNEL = "127.0.0.1:5299"


async def test_a_browser_comes_in_through_a_tunnel_from_another_port(tmp_path: Path) -> None:
    async with running(tmp_path) as web, stranger() as client:
        tunnel = {"Host": TUNNEL}
        for path in ("/servers", f"{API}/servers", f"/servers?token={TOKEN}x"):
            async with client.get(web.url + path, headers=tunnel) as answer:
                assert answer.status == 401
        async with client.get(
            f"{web.url}/servers?token={TOKEN}", headers=tunnel, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["location"]) == (303, "/servers")
            cookie = answer.headers["set-cookie"].partition(";")[0]
        # A CodeWalk on the browser's machine may have this app's port, and a cookie of that name.
        assert cookie.startswith("codewalk_5299=")
        for host, status in ((TUNNEL, 200), (f"127.0.0.1:{web.port}", 401)):
            async with client.get(
                f"{web.url}/servers", headers={"Host": host, "Cookie": cookie}
            ) as answer:
                assert answer.status == status


async def test_pages_of_other_ports_change_nothing_through_a_tunnel(tmp_path: Path) -> None:
    async with running(tmp_path) as web, stranger() as client:
        path = f"{web.url}/?token={TOKEN}"
        async with client.get(path, headers={"Host": TUNNEL}, allow_redirects=False) as answer:
            cookie = answer.headers["set-cookie"].partition(";")[0]
        cases: list[tuple[dict[str, str], int]] = [
            ({"Origin": f"http://{TUNNEL}"}, 201),
            ({"Sec-Fetch-Site": "same-origin"}, 201),
            # The app's own port is another page's origin here, like any port.
            ({"Origin": web.url}, 403),
            ({"Origin": "http://127.0.0.1:6666"}, 403),
            ({"Origin": f"https://{TUNNEL}"}, 403),
            ({"Origin": f"http://{TUNNEL}", "Sec-Fetch-Site": "same-site"}, 403),
            ({}, 403),
        ]
        for number, (headers, status) in enumerate(cases):
            body = {"url": f"http://127.0.0.1:9/{number}", "check": False}
            sent = headers | {"Cookie": cookie, "Host": TUNNEL}
            async with client.post(f"{web.url}{API}/servers", json=body, headers=sent) as answer:
                assert answer.status == status, headers


async def test_a_reverse_proxy_that_is_named_serves_over_https(tmp_path: Path) -> None:
    name = "codewalk.example"
    async with running(tmp_path, allowed_hosts=[name]) as web, stranger() as client:
        proxied = {"Host": name, "X-Forwarded-Proto": "https"}
        path = f"{web.url}/servers?token={TOKEN}"
        async with client.get(path, headers=proxied, allow_redirects=False) as answer:
            assert answer.status == 303
            cookie, _, attributes = answer.headers["set-cookie"].partition(";")
        assert cookie.startswith("codewalk_443=")
        assert "Secure" in attributes.split("; ")
        cases = ((f"https://{name}", 201), (f"http://{name}", 403), ("https://evil.example", 403))
        for origin, status in cases:
            sent = proxied | {"Cookie": cookie, "Origin": origin}
            body = {"url": "http://127.0.0.1:9", "check": False}
            async with client.post(f"{web.url}{API}/servers", json=body, headers=sent) as answer:
                assert answer.status == status, origin
        for host in ("evil.example", f"evil.{name}", f"{name}.evil.example"):
            sent = proxied | {"Host": host, "Cookie": cookie, "Authorization": f"Bearer {TOKEN}"}
            async with client.get(f"{web.url}{API}/servers", headers=sent) as answer:
                body = await answer.json(content_type=None)
                assert answer.status == 403
                assert "`codewalk up --allow-host NAME`" in body["detail"]
                assert host not in body["detail"]


async def test_without_https_the_cookie_is_sent_over_http_too(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as web,
        stranger() as client,
        client.get(web.login_address, allow_redirects=False) as answer,
    ):
        assert "Secure" not in answer.headers["set-cookie"]


async def test_listening_everywhere_takes_any_address_but_no_name(tmp_path: Path) -> None:
    async with running(tmp_path, hosts=["0.0.0.0"]) as web:
        for host, expected in (("192.0.2.7", 200), ("[2001:db8::1]", 200), ("evil.example", 403)):
            headers = {"Host": f"{host}:{web.port}"}
            status, _ = await web.call("GET", "/healthz", headers=headers)
            assert status == expected


async def test_a_change_by_cookie_comes_from_our_own_pages_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as web, stranger() as client:
        cookies = await cookie_of(web, client)
        own = {"Origin": web.url}
        cases: list[tuple[dict[str, str], int]] = [
            ({"Sec-Fetch-Site": "same-origin"}, 201),
            (own, 201),
            (own | {"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "none"}, 403),
            ({"Origin": "http://127.0.0.1:1"}, 403),
            ({"Origin": "null"}, 403),
            ({}, 403),
        ]
        for number, (headers, status) in enumerate(cases):
            body = {"url": f"http://127.0.0.1:9/{number}", "check": False}
            sent = headers | {"Cookie": cookies}
            async with client.post(f"{web.url}{API}/servers", json=body, headers=sent) as answer:
                assert answer.status == status, headers
        assert len(web.app.servers()) == 2


async def test_a_page_that_has_no_address_is_no_fault(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        for path in ("/servers/check", "/appearance"):
            for header in ("Referer", "HX-Current-URL"):
                headers = {header: "http://["}
                async with web.client.post(
                    web.url + path, data={"theme": "dark"}, headers=headers, allow_redirects=False
                ) as answer:
                    assert answer.status == 303


async def test_only_a_link_leads_here_from_another_sites_page(tmp_path: Path) -> None:
    async with running(tmp_path) as web, stranger() as client:
        cookies = await cookie_of(web, client)
        cases = [
            ("same-site", "navigate", "document", 200),
            ("same-site", "no-cors", "script", 403),
            ("same-site", "cors", "empty", 403),
            ("cross-site", "no-cors", "image", 403),
            ("same-site", "navigate", "iframe", 403),
            ("same-origin", "cors", "empty", 200),
            ("none", "navigate", "document", 200),
        ]
        for site, mode, dest, status in cases:
            sent = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
            async with client.get(
                f"{web.url}/servers", headers=sent | {"Cookie": cookies}
            ) as answer:
                assert answer.status == status, (site, mode, dest)


async def test_every_answer_carries_the_protecting_headers(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        style = ADDRESSES["app.css"]
        for path in ("/servers", "/nowhere", f"{API}/servers", f"{API}/nowhere", style):
            async with web.client.get(web.url + path) as answer:
                headers = answer.headers
            policy = headers["content-security-policy"]
            for rule in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
                assert rule in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert headers["referrer-policy"] in {"no-referrer", "same-origin"}
            expected = "public, max-age=31536000, immutable" if path == style else "no-store"
            assert headers["cache-control"] == expected


@pytest.mark.parametrize(
    ("site", "cut"),
    [("none", False), ("same-origin", False), ("same-site", True), ("cross-site", True)],
)
async def test_a_page_that_another_site_leads_to_is_cut_off_from_it(
    tmp_path: Path, site: str, cut: bool
) -> None:
    async with running(tmp_path) as web:
        visit = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        for path in ("/servers", "/nowhere"):
            async with web.client.get(web.url + path, headers=visit) as answer:
                policy = answer.headers.get("cross-origin-opener-policy")
            assert policy == ("same-origin" if cut else None)


async def test_a_page_whose_token_is_no_longer_right_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as web, aiohttp.ClientSession() as stranger:
        url, headers = f"{web.url}/servers/check", {"HX-Request": "true"}
        async with stranger.post(url, headers=headers) as answer:
            text = await answer.text()
        assert answer.status == 401
        assert text.startswith('<hx-partial hx-target="#alerts"')
        assert "The access token is missing or wrong." in text
