"""The HTTP API, call by call, over a real socket."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import codewalk
from codewalk.times import rfc3339
from tests.integration.web.web_app import API, RunningApp, running
from tests.mock_behaviours import json_reply, page
from tests.mock_opencode import MockOpenCode

CLOSED = "http://127.0.0.1:9"
"""Nothing listens at the discard port of loopback."""

PASSWORD = "hunter2:ü"


async def add(web: RunningApp, url: str, **more: Any) -> dict[str, Any]:
    status, server = await web.call("POST", "/servers", json={"url": url, **more})
    assert status == 201, server
    assert isinstance(server, dict)
    return server


async def problem(
    web: RunningApp, method: str, path: str, status: int, code: str, **options: Any
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


async def test_a_server_is_checked_and_then_saved_and_the_first_is_active(tmp_path: Path) -> None:
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


async def test_a_server_that_cannot_be_added_says_why_and_is_not_saved(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode(password="right") as mock:
        refused = [
            ({"url": "ftp://x"}, 422, "invalid_url"),
            ({"url": mock.url, "username": "a:b"}, 422, "invalid_credentials"),
            ({"url": mock.url, "label": "a\nb"}, 422, "invalid_value"),
            ({"url": CLOSED}, 502, "server_unreachable"),
            ({"url": mock.url, "password": "wrong-one"}, 502, "server_unreachable"),
        ]
        for body, status, code in refused:
            answer = await problem(web, "POST", "/servers", status, code, json=body)
            assert "wrong-one" not in str(answer)
        assert await web.call("GET", "/servers") == (200, [])


async def test_a_servers_history_is_that_of_the_command(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await add(web, mock.url)
        path = f"/servers/{server['id']}/history"
        assert (await web.call("POST", f"/servers/{server['id']}/check"))[0] == 200
        status, answer = await web.call("GET", path)
        assert status == 200
        history = await web.app.history(server["id"])
        assert answer == history.to_json() | {"since": answer["since"], "until": answer["until"]}
        assert [t["to"] for t in answer["transitions"]] == ["healthy"]
        assert [c["ok"] for c in answer["checks"]] == [True]
        assert answer["uptime"]["last_24h"].keys() == {"percent", "monitored_s"}
        _, week = await web.call("GET", path, params={"since": "7d"})
        assert week["since"] < answer["since"]
        _, before = await web.call("GET", path, params={"since": "7d", "until": "24h"})
        assert (before["transitions"], before["periods"]) == ([], [])
        assert before["uptime"] == week["uptime"]
        _, later = await web.call("GET", path, params={"since": "0m"})
        assert later["transitions"] == []
        assert later["checks"] == answer["checks"]


async def test_a_history_that_cannot_be_asked_for_says_why(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await add(web, CLOSED, check=False)
        path = f"/servers/{server['id']}/history"
        answer = await problem(web, "GET", f"{path}?since=soon", 422, "invalid_value")
        assert "'soon'" in answer["detail"]
        assert "24h" in answer["detail"]
        await problem(web, "GET", f"{path}?since=2999-01-01T00:00:00Z", 422, "invalid_value")
        answer = await problem(web, "GET", f"{path}?since=1h&until=2h", 422, "invalid_value")
        assert "give a later end" in answer["detail"]
        await problem(web, "GET", f"{path}?from=24h", 422, "invalid_value")
        await problem(web, "GET", "/servers/nobody/history", 404, "server_not_found")


async def test_an_unreachable_server_is_saved_without_a_check(tmp_path: Path) -> None:
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


async def test_patch_sets_how_a_server_is_checked(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await add(web, CLOSED, check=False)
        default = {"interval_s": 10.0, "timeout_s": 3.0, "rise": 1, "fall": 2}
        assert server["health_check"] == default
        path = f"/servers/{server['id']}"

        async def patch(settings: Any) -> Any:
            # Not checked: where the server answers is not what changes.
            status, changed = await web.call("PATCH", path, json={"health_check": settings})
            assert status == 200, changed
            return changed["health_check"]

        assert await patch({"interval_s": 30, "fall": 3}) == default | {
            "interval_s": 30.0,
            "fall": 3,
        }
        assert await patch({"interval_s": None, "timeout_s": 7.5}) == default | {
            "timeout_s": 7.5,
            "fall": 3,
        }
        assert await patch(None) == default
        assert (await web.call("GET", path))[1]["health_check"] == default
        for wrong in ({"interval_s": 0}, {"fall": 1.5}, {"retries": 1}, {"rise": True}, 5):
            body = {"health_check": wrong}
            await problem(web, "PATCH", path, 422, "invalid_value", json=body)


async def test_the_notify_setting_is_changed(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await add(web, CLOSED, check=False)
        path = f"/servers/{server['id']}"
        assert server["notify"] == "default"
        for given, stored in (("off", "off"), (None, "off"), ("on", "on"), ("default", "default")):
            _, changed = await web.call("PATCH", path, json={"notify": given, "check": False})
            assert changed["notify"] == stored
        for wrong in ("maybe", True, 1):
            await problem(web, "PATCH", path, 422, "invalid_value", json={"notify": wrong})


async def test_a_server_is_snoozed_and_woken(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        server = await add(web, CLOSED, check=False)
        assert server["snoozed_until"] is None
        path = f"/servers/{server['id']}/snooze"
        moment = datetime.now(UTC) + timedelta(hours=2)
        for until in (moment, moment.astimezone(timezone(timedelta(hours=9)))):
            body = {"until": until.isoformat()}
            status, snoozed = await web.call("PUT", path, json=body)
            assert (status, snoozed["snoozed_until"]) == (200, rfc3339(moment))
        status, woken = await web.call("DELETE", path)
        assert (status, woken["snoozed_until"]) == (200, None)
        too_early, too_late = moment - timedelta(hours=3), moment + timedelta(days=400)
        for wrong in (
            too_early.isoformat(),
            too_late.isoformat(),
            "2099-01-01T00:00:00",
            "soon",
            5,
            None,
        ):
            await problem(web, "PUT", path, 422, "invalid_value", json={"until": wrong})


async def test_an_edit_is_checked_before_it_is_saved(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await add(web, mock.url)
        body = {"url": CLOSED}
        path = f"/servers/{server['id']}"
        await problem(web, "PATCH", path, 502, "server_unreachable", json=body)
        assert (await web.call("GET", path))[1]["url"] == mock.url


async def test_the_race_of_two_changes_of_one_server_keeps_both(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        path = f"/servers/{(await add(web, CLOSED, check=False))['id']}"
        changes = (
            {"label": "Box"},
            {"health_check": {"interval_s": 30}},
            {"health_check": {"fall": 4}},
            {"notify": "off"},
        )
        async with asyncio.TaskGroup() as group:
            for change in changes:
                group.create_task(web.call("PATCH", path, json=change), name=str(change))
        _, server = await web.call("GET", path)
        assert (server["label"], server["notify"], server["url"]) == ("Box", "off", CLOSED)
        assert (server["health_check"]["interval_s"], server["health_check"]["fall"]) == (30, 4)


async def test_the_race_of_a_change_whose_server_is_changed_while_it_is_checked(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as web, MockOpenCode(password=PASSWORD) as mock:
        path = f"/servers/{(await add(web, mock.url, check=False))['id']}"
        gate = mock.hold("/global/health")
        async with asyncio.TaskGroup() as group:
            body = {"password": PASSWORD}
            call = problem(web, "PATCH", path, 409, "edit_conflict", json=body)
            group.create_task(call, name="change")
            await gate.arrived.wait()
            await web.call("PATCH", path, json={"url": f"{CLOSED}/new", "check": False})
            gate.release()
        _, server = await web.call("GET", path)
        assert (server["url"], server["basic_auth"]["has_password"]) == (f"{CLOSED}/new", False)


async def test_removing_the_active_server_returns_the_next_active_one(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        first = await add(web, f"{CLOSED}/1", check=False)
        second = await add(web, f"{CLOSED}/2", check=False)
        gone = await web.call("DELETE", f"/servers/{first['id']}")
        assert gone == (200, {"removed": first["id"], "active": second["id"]})
        gone = await web.call("DELETE", f"/servers/{second['id']}")
        assert gone == (200, {"removed": second["id"], "active": None})
        await problem(web, "GET", "/active", 409, "no_active_server")
        await problem(web, "GET", "/sessions", 409, "no_active_server")


async def test_a_removed_server_can_be_had_back(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        first = await add(web, f"{CLOSED}/1", label="One", password=PASSWORD, check=False)
        await add(web, f"{CLOSED}/2", check=False)
        await problem(web, "POST", "/servers/nobody/restore", 404, "server_not_found")
        await web.call("DELETE", f"/servers/{first['id']}")
        assert await web.call("POST", f"/servers/{first['id']}/restore") == (200, first)
        assert (await web.call("GET", "/servers"))[1][0] == first
        await web.call("DELETE", f"/servers/{first['id']}")
        await add(web, f"{CLOSED}/3", label="one", check=False)
        path = f"/servers/{first['id']}/restore"
        await problem(web, "POST", path, 409, "duplicate_server")


async def test_a_server_moves_before_another_or_to_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as web:
        ids = [(await add(web, f"{CLOSED}/{n}", check=False))["id"] for n in range(3)]
        path = f"/servers/{ids[2]}/move"
        status, moved = await web.call("POST", path, json={"before": ids[0]})
        assert (status, moved["id"]) == (200, ids[2])
        await web.call("POST", f"/servers/{ids[0]}/move", json={"before": None})
        listed = [server["id"] for server in (await web.call("GET", "/servers"))[1]]
        assert listed == [ids[2], ids[1], ids[0]]
        await problem(web, "POST", path, 422, "invalid_value", json={})
        await problem(web, "POST", path, 404, "server_not_found", json={"before": ids[0][:8]})
        nobody = "/servers/nobody/move"
        await problem(web, "POST", nobody, 404, "server_not_found", json={"before": None})


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
        await mock.wait_for_requests("/global/health")
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


async def test_the_default_is_set_returned_and_cleared(tmp_path: Path) -> None:
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
        _, stored = await web.call("GET", "/sessions", params={"cached": "true"})
        assert (stored["source"], stored["sessions"]) == ("cache", live["sessions"])


async def test_projects_and_models_are_the_active_servers(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        mock.world.add_project("/srv/shop")
        server = await add(web, mock.url)
        status, live = await web.call("GET", "/projects")
        assert (status, live["source"], live["server_id"]) == (200, "live", server["id"])
        projects = [(p["name"], p["directory"], p["own"]) for p in live["projects"]]
        assert projects == [("shop", "/srv/shop", False), ("project", "/srv/project", True)]
        status, models = await web.call("GET", "/models")
        assert (status, models["server_id"], models["selected"]) == (200, server["id"], None)
        assert len(models["models"]) == 3
        for path, before in (("/projects", live["projects"]), ("/models", models["models"])):
            mock.script("*", json_reply({}, status=500))
            await problem(web, "GET", path, 502, "server_unreachable")
            _, stored = await web.call("GET", path, params={"cached": "true"})
            assert stored[path[1:]] == before


async def test_the_sessions_of_a_server_that_is_not_active(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock, MockOpenCode() as other:
        await add(web, mock.url)
        second = await add(web, other.url)
        other.world.add_session("Elsewhere", directory="/else")
        other.world.add_session("Here")
        path = f"/servers/{second['id']}/sessions"
        status, listed = await web.call("GET", path)
        assert status == 200
        assert listed["server_id"] == second["id"]
        assert [s["title"] for s in listed["sessions"]] == ["Here", "Elsewhere"]
        _, there = await web.call("GET", path, params={"directory": "/else"})
        assert [s["title"] for s in there["sessions"]] == ["Elsewhere"]
        await other.stop()
        await problem(web, "GET", path, 502, "server_unreachable")
        _, stored = await web.call("GET", path, params={"cached": "true"})
        assert (stored["source"], stored["sessions"]) == ("cache", listed["sessions"])
        assert mock.count("/session") == 0
        await problem(web, "GET", "/servers/nobody/sessions", 404, "server_not_found")


async def test_archived_sessions_are_listed_on_request(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        parent = mock.world.add_session("Open")
        mock.world.add_session("Child")["parentID"] = parent["id"]
        mock.world.add_session("Archived")["time"]["archived"] = 1
        await web.app.add_server(mock.url)
        for cached in ("false", "true"):
            params = {"cached": cached}
            _, listed = await web.call("GET", "/sessions", params=params)
            titles = [(s["title"], s["parent_id"], s["archived"]) for s in listed["sessions"]]
            assert titles == [("Child", parent["id"], False), ("Open", None, False)]
            _, listed = await web.call("GET", "/sessions", params={**params, "archived": "true"})
            assert [(s["title"], s["archived"]) for s in listed["sessions"]] == [
                ("Archived", True),
                ("Child", False),
                ("Open", False),
            ]


async def test_a_session_is_made_on_the_server_that_is_meant_or_not_at_all(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock, MockOpenCode() as other:
        first, second = await add(web, mock.url), await add(web, other.url)
        meant = {"server_id": first["id"], "directory": "/p", "title": "Mine"}
        status, made = await web.call("POST", "/sessions", json=meant)
        assert (status, made["title"], made["directory"]) == (201, "Mine", "/p")
        assert [session["id"] for session in mock.world.sessions] == [made["id"]]
        await web.call("PUT", "/active", json={"id": second["id"], "force": True})
        await problem(web, "POST", "/sessions", 409, "superseded", json=meant)
        for path in ("/sessions", "/projects", "/models"):
            for cached in ("true", "false"):
                params = {"server_id": first["id"], "cached": cached}
                await problem(web, "GET", path, 409, "superseded", params=params)
        assert len(mock.world.sessions) == 1
        assert other.world.sessions == []


async def test_a_session_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    async with running(tmp_path) as web, MockOpenCode() as mock:
        server = await add(web, mock.url)
        await problem(web, "POST", "/sessions", 422, "invalid_value", json={})
        for wrong in ({"title": "two\nlines"}, {"title": "x" * 501}, {"directory": "/" * 5000}):
            body = wrong | {"server_id": server["id"]}
            await problem(web, "POST", "/sessions", 422, "invalid_value", json=body)
        assert mock.world.sessions == []


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
            answer = await problem(web, "POST", "/servers", 422, "invalid_value", json=body)
            assert PASSWORD not in str(answer)
        answer = await problem(web, "POST", "/servers", 422, "invalid_value", json={"uri": "x"})
        assert {"pointer": "/url", "detail": "Field required"} in answer["errors"]


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


async def test_an_internal_error_reveals_nothing_of_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as web:

        @web.web.get(f"{API}/broken")
        async def broken() -> None:
            raise RuntimeError("the inside")

        answer = await problem(web, "GET", "/broken", 500, "internal")
        assert "inside CodeWalk" in answer["detail"]
        assert "RuntimeError" not in str(answer)


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
            "PUT /servers/{id}/snooze",
            "DELETE /servers/{id}/snooze",
            "DELETE /servers/{id}",
            "POST /servers/{id}/check",
            "GET /servers/{id}/history",
            "GET /servers/{id}/sessions",
            "POST /servers/{id}/move",
            "POST /servers/{id}/restore",
            "GET /active",
            "PUT /active",
            "GET /default",
            "PUT /default",
            "DELETE /default",
            "GET /sessions",
            "POST /sessions",
            "GET /projects",
            "GET /models",
            "GET /events",
            "GET /healthz",
        }
