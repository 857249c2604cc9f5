"""The HTTP API, call by call, over a real socket."""

from pathlib import Path
from typing import Any

import codewalk
from tests.integration.web.running import API, Running, running
from tests.mock_behaviours import json_reply, page
from tests.mock_opencode import MockOpenCode

CLOSED = "http://127.0.0.1:9"
"""Nothing listens at the discard port of loopback."""

PASSWORD = "hunter2:ü"


async def add(web: Running, url: str, **more: Any) -> dict[str, Any]:
    status, server = await web.call("POST", "/servers", json={"url": url, **more})
    assert status == 201, server
    assert isinstance(server, dict)
    return server


async def problem(
    web: Running, method: str, path: str, status: int, code: str, **options: Any
) -> dict[str, Any]:
    """Makes a call that fails as expected; the problem's body."""
    async with web.client.request(method, f"{web.url}{API}{path}", **options) as answer:
        assert answer.content_type == "application/problem+json"
        body = await answer.json(content_type=None)
    assert (answer.status, body["status"], body["code"]) == (status, status, code)
    assert body["type"].endswith(code)
    assert body["title"]
    assert body["detail"]
    assert isinstance(body, dict)
    return body


async def test_a_server_is_checked_and_then_kept_and_the_first_is_active(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode(password=PASSWORD) as mock:
        body = {"url": f" {mock.url}/ ", "label": "Dev box", "password": PASSWORD}
        async with web.client.post(f"{web.url}{API}/servers", json=body) as answer:
            text = await answer.text()
            server = await answer.json()
        assert answer.status == 201
        assert answer.headers["location"] == f"{API}/servers/{server['id']}"
        assert PASSWORD not in text
        assert server["url"] == mock.url
        assert server["name"] == server["label"] == "Dev box"
        expected = {"enabled": True, "username": "opencode", "has_password": True}
        assert server["basic_auth"] == expected
        assert (server["active"], server["default"], server["managed"]) == (True, False, False)
        assert server["health"]["state"] == "healthy"
        assert server["health"]["version"] == "1.18.33"
        assert server["created_at"].endswith("Z")
        assert len(server["created_at"]) == len("2026-02-09T20:51:50.489Z")
        assert await web.call("GET", "/servers") == (200, [server])
        assert await web.call("GET", f"/servers/{server['id']}") == (200, server)
        assert await web.call("GET", "/active") == (200, server)


async def test_what_cannot_be_added_says_why_and_is_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode(password="right") as mock:
        refused = [
            ({"url": "ftp://x"}, 422, "invalid_url"),
            ({"url": mock.url, "username": "a:b"}, 422, "invalid_credentials"),
            ({"url": mock.url, "label": "a\nb"}, 422, "invalid_value"),
            ({"url": CLOSED}, 502, "server_unreachable"),
            ({"url": mock.url, "password": "wrong-one"}, 502, "server_unreachable"),
        ]
        for body, status, code in refused:
            told = await problem(web, "POST", "/servers", status, code, json=body)
            assert "wrong-one" not in str(told)
        assert await web.call("GET", "/servers") == (200, [])


async def test_an_unreachable_server_is_kept_where_no_check_is_wanted(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await add(web, CLOSED, check=False)
        assert server["health"]["state"] == "unknown"
        await problem(web, "POST", "/servers", 409, "duplicate_server", json={"url": CLOSED})


async def test_patch_changes_what_is_there_and_leaves_what_is_absent(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await add(web, CLOSED, label="A", username="ana", password=PASSWORD, check=False)
        path = f"/servers/{server['id']}"

        async def patch(**body: Any) -> dict[str, Any]:
            status, changed = await web.call("PATCH", path, json={"check": False, **body})
            assert status == 200, changed
            assert isinstance(changed, dict)
            return changed

        signed_in = {"enabled": True, "username": "ana", "has_password": True}
        assert (await patch())["label"] == "A"
        assert (await patch(label="B"))["label"] == "B"
        assert (await patch(label=""))["label"] is None
        assert (await patch(label="C"))["label"] == "C"
        assert (await patch(label=None))["label"] is None
        assert (await patch(url=f"{CLOSED}/p"))["url"] == f"{CLOSED}/p"
        assert (await patch(password=""))["basic_auth"] == signed_in
        assert (await patch(username="bo"))["basic_auth"] == signed_in | {"username": "bo"}
        off = {"enabled": False, "username": "opencode", "has_password": False}
        assert (await patch(password=None))["basic_auth"] == off


async def test_an_edit_is_checked_before_it_is_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await add(web, mock.url)
        body = {"url": CLOSED}
        path = f"/servers/{server['id']}"
        await problem(web, "PATCH", path, 502, "server_unreachable", json=body)
        assert (await web.call("GET", path))[1]["url"] == mock.url


async def test_removing_the_active_one_tells_which_follows(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        first = await add(web, f"{CLOSED}/1", check=False)
        second = await add(web, f"{CLOSED}/2", check=False)
        gone = await web.call("DELETE", f"/servers/{first['id']}")
        assert gone == (200, {"removed": first["id"], "active": second["id"]})
        gone = await web.call("DELETE", f"/servers/{second['id']}")
        assert gone == (200, {"removed": second["id"], "active": None})
        await problem(web, "GET", "/active", 409, "no_active_server")
        await problem(web, "GET", "/sessions", 409, "no_active_server")


async def test_an_id_is_taken_exactly(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await add(web, CLOSED, label="box", check=False)
        for ref in ("box", server["id"][:8], "-", "%20", "nobody"):
            for method in ("GET", "DELETE"):
                await problem(web, method, f"/servers/{ref}", 404, "server_not_found")
            await problem(web, "PUT", "/active", 404, "server_not_found", json={"id": ref})
        assert len((await web.call("GET", "/servers"))[1]) == 1


async def test_a_check_finds_a_server_that_went_down(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await add(web, mock.url)
        mock.script("*", page())
        await mock.seen("/global/health")
        status, checked = await web.call("POST", f"/servers/{server['id']}/check")
        while checked["health"]["state"] == "healthy":  # a result is reused for 750 ms
            status, checked = await web.call("POST", f"/servers/{server['id']}/check")
        assert status == 200
        assert checked["health"]["reason"] == "not_opencode"


async def test_an_unhealthy_server_becomes_active_by_force_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        good = await add(web, mock.url)
        bad = await add(web, CLOSED, check=False)
        await problem(web, "PUT", "/active", 409, "server_unhealthy", json={"id": bad["id"]})
        assert (await web.call("GET", "/active"))[1]["id"] == good["id"]
        status, now = await web.call("PUT", "/active", json={"id": bad["id"], "force": True})
        assert (status, now["id"], now["active"]) == (200, bad["id"], True)


async def test_the_default_is_set_shown_and_cleared(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await add(web, CLOSED, check=False)
        assert await web.call("GET", "/default") == (200, {"default": None})
        status, now = await web.call("PUT", "/default", json={"id": server["id"]})
        assert (status, now["default"]) == (200, True)
        assert (await web.call("GET", "/default"))[1]["id"] == server["id"]
        assert await web.call("DELETE", "/default") == (200, {"default": None})
        assert await web.call("GET", "/default") == (200, {"default": None})


async def test_sessions_are_the_active_servers_live_or_as_last_fetched(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        mock.world.add_session("First")
        mock.world.add_session("Elsewhere", directory="/else")
        server = await add(web, mock.url)
        status, live = await web.call("GET", "/sessions")
        assert (status, live["source"], live["server_id"]) == (200, "live", server["id"])
        assert [s["title"] for s in live["sessions"]] == ["Elsewhere", "First"]
        _, there = await web.call("GET", "/sessions", params={"directory": "/else"})
        assert [s["title"] for s in there["sessions"]] == ["Elsewhere"]
        assert there["directory"] == "/else"
        mock.script("/session", json_reply({}, status=500))
        await problem(web, "GET", "/sessions", 502, "server_unreachable")
        _, kept = await web.call("GET", "/sessions", params={"cached": "true"})
        assert (kept["source"], kept["sessions"]) == ("cache", live["sessions"])


async def test_a_body_that_cannot_be_used_is_a_problem(tmp_path: Path) -> None:
    unusable = [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 50_000, 400),
        (b"[]", 422),
        (b'{"url": "http://x", "colour": 1}', 422),
        (b'{"url": 1}', 422),
        (b"{}", 422),
        (b'{"url": "http://x", "check": "yes"}', 422),
        (b'{"url": "http://x", "label": "\\ud800"}', 422),
    ]
    headers = {"content-type": "application/json"}
    async with running(tmp_path) as web:
        for data, status in unusable:
            sent: dict[str, Any] = {"data": data, "headers": headers}
            await problem(web, "POST", "/servers", status, "invalid_value", **sent)


async def test_a_refused_body_is_never_repeated(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        for body in ({"url": 5, "password": PASSWORD}, {"url": "http://x", "password": [PASSWORD]}):
            told = await problem(web, "POST", "/servers", 422, "invalid_value", json=body)
            assert PASSWORD not in str(told)
        told = await problem(web, "POST", "/servers", 422, "invalid_value", json={"uri": "x"})
        assert {"pointer": "/url", "detail": "Field required"} in told["errors"]


async def test_a_body_over_64_kib_is_refused_with_and_without_its_length(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        big = b'{"url": "' + b"x" * 2**16 + b'"}'
        headers = {"content-type": "application/json"}

        async def chunks() -> Any:
            yield big

        for data in (big, chunks()):
            await problem(web, "POST", "/servers", 413, "invalid_value", data=data, headers=headers)


async def test_unknown_addresses_and_methods_are_problems(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        await problem(web, "GET", "/nowhere", 404, "not_found")
        await problem(web, "PUT", "/servers", 405, "method_not_allowed")


async def test_a_fault_tells_the_caller_nothing_of_the_inside(tmp_path: Path) -> None:
    async with running(tmp_path) as web:

        @web.web.get(f"{API}/broken")
        async def broken() -> None:
            raise RuntimeError("the inside")

        told = await problem(web, "GET", "/broken", 500, "error")
        assert "inside CodeWalk" in told["detail"]
        assert "RuntimeError" not in str(told)


async def test_healthz_needs_no_token_and_the_document_lists_every_call(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        alive = await web.call("GET", "/healthz", headers={"Authorization": ""})
        assert alive == (200, {"ok": True, "version": codewalk.__version__})
        _, document = await web.call("GET", "/openapi.json")
        listed = {
            f"{method.upper()} {path.removeprefix(API)}"
            for path, item in document["paths"].items()
            for method in item
        }
        assert listed == {
            "GET /servers",
            "POST /servers",
            "GET /servers/{id}",
            "PATCH /servers/{id}",
            "DELETE /servers/{id}",
            "POST /servers/{id}/check",
            "GET /active",
            "PUT /active",
            "GET /default",
            "PUT /default",
            "DELETE /default",
            "GET /sessions",
            "GET /events",
            "GET /healthz",
        }
