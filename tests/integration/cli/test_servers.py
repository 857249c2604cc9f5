"""`codewalk server`, `session`, `model` and `state`, as programs use them."""

import asyncio
import socket
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from codewalk.app.composition import open_app
from codewalk.settings import Settings
from tests.certificates import server_context, write_certificate
from tests.integration.cli.command import CodeWalk
from tests.mock_behaviours import json_reply, never, page
from tests.mock_opencode import MockOpenCode

PASSWORD = "pass:wörd with a space "


def dead_url() -> str:
    """Return a URL where nothing listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


async def test_a_server_from_its_addition_to_its_removal(codewalk: CodeWalk) -> None:
    async with MockOpenCode(password=PASSWORD) as server:
        added = await codewalk.fresh(
            *("server", "add", server.url, "--label", "Dev box"),
            *("--password-stdin", "--default", "--json"),
            stdin=f"{PASSWORD}\n",
        )
        assert added.status == 0
        profile = added.json
        assert profile["active"]
        assert profile["default"]
        assert profile["basic_auth"] == {
            "enabled": True,
            "username": "opencode",
            "has_password": True,
        }
        assert profile["health"]["state"] == "healthy"
        listed = await codewalk.fresh("server", "list", "--json")
        assert [s["id"] for s in listed.json] == [profile["id"]]
        checked = await codewalk.fresh("server", "check", "dev BOX", profile["id"][:8], "--json")
        assert (checked.status, len(checked.json)) == (0, 1)
        printed = await codewalk.fresh("server", "show", server.url)
        assert "opencode, with a password" in printed.out
        assert PASSWORD.strip() not in added.out + listed.out + checked.out + printed.out
        removed = await codewalk.fresh("server", "remove", "Dev box", "--yes", "--json")
        assert removed.json == {"removed": profile["id"], "active": None}
    assert (await codewalk.fresh("server", "list", "--json")).json == []


async def test_the_list_shows_what_a_healthy_server_fails_at(codewalk: CodeWalk) -> None:
    async with MockOpenCode() as server:
        await codewalk("server", "add", server.url, "--label", "Box")
        server.script("/session", json_reply({"message": "Out of \x1b[31mspace"}, status=500))
        failed = await codewalk("session", "list")
        assert failed.status == 1
        assert "(status 500): Out of" in failed.err
        listed = await codewalk("server", "list")
        assert "healthy ⚠" in listed.out
        assert "⚠ Box: Answers, but its sessions can't be listed: " in listed.err
        assert "\x1b" not in listed.out + listed.err
        shown = await codewalk("server", "show", "Box")
        assert "Answers, but its sessions can't be listed: " in " ".join(shown.out.split())
        server.script("/session")
        await codewalk("session", "list")
        listed = await codewalk("server", "list")
        assert "⚠" not in listed.out + listed.err


async def test_a_server_is_moved_before_another_and_to_the_end(codewalk: CodeWalk) -> None:
    for name in ("a", "b", "c"):
        await codewalk("server", "add", name, "--label", name, "--no-check")
    moved = await codewalk("server", "move", "c", "--before", "a", "--json")
    assert moved.json["label"] == "c"
    to_the_end = await codewalk("server", "move", "a")
    assert (to_the_end.status, to_the_end.out) == (0, "Moved a (http://a): ? unknown\n")
    listed = await codewalk("server", "list", "--json")
    assert [server["label"] for server in listed.json] == ["c", "b", "a"]
    refused = await codewalk("server", "move", "a", "--before", "nobody", "--json")
    assert (refused.status, refused.error["code"]) == (1, "server_not_found")


async def test_several_servers_are_edited_switched_and_made_default(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    first = (await codewalk("server", "add", server.url, "--json")).json
    second = (
        await codewalk("server", "add", dead_url(), "--label", "b", "--no-check", "--use", "--json")
    ).json
    assert (first["active"], second["active"]) == (True, True)
    back = await codewalk("server", "use", "-", "--json")
    assert back.json["id"] == first["id"]
    refused = await codewalk("server", "use", "b", "--json")
    assert (refused.status, refused.error["code"]) == (1, "server_unhealthy")
    forced = await codewalk("server", "use", "b", "--force", "--json")
    assert forced.json["active"]
    edited = await codewalk("server", "edit", "b", "--label", "c", "--json")
    assert edited.json["label"] == "c"
    chosen = await codewalk("server", "default", "c", "--json")
    assert chosen.json["default"]
    cleared = await codewalk("server", "default", "--clear", "--json")
    assert cleared.json == {"default": None}
    checked = await codewalk("server", "check", "--timeout", "1", "--json")
    assert checked.status == 1
    assert [s["health"]["state"] for s in checked.json] == ["healthy", "unhealthy"]


async def test_health_check_settings_are_saved_and_used(codewalk: CodeWalk) -> None:
    async with MockOpenCode() as slow:
        slow.script("*", never())
        await codewalk("server", "add", slow.url, "--label", "slow", "--no-check")
        edited = await codewalk(
            *("server", "edit", "slow", "--interval", "30", "--timeout", "0.2"),
            *("--rise", "2", "--fall", "3", "--json"),
        )
        settings = {"interval_s": 30.0, "timeout_s": 0.2, "rise": 2, "fall": 3}
        assert edited.json["health_check"] == settings
        printed = await codewalk("server", "show", "slow")
        assert "every 30 s, for 0.2 s at most; " in printed.out
        assert "healthy after 2 good checks, unhealthy after 3 failed checks" in printed.out
        # Its own timeout, unless another is asked for.
        for options, seconds in (((), "0.2"), (("--timeout", "0.1"), "0.1")):
            checked = await codewalk("server", "check", "slow", *options, "--json")
            assert checked.json[0]["health"]["detail"] == f"No answer within {seconds} s."
        back = await codewalk(
            *("server", "edit", "slow", "--interval", "default", "--timeout", "Default", "--json")
        )
        assert back.json["health_check"] == settings | {"interval_s": 10.0, "timeout_s": 3.0}
        for option, value, status, code in (
            ("--interval", "0", 2, "usage"),
            ("--fall", "nan", 2, "usage"),
            ("--rise", "1.5", 2, "usage"),
            ("--timeout", "long", 2, "usage"),
        ):
            refused = await codewalk("server", "edit", "slow", option, value, "--json")
            assert (refused.status, refused.error["code"]) == (status, code)
            assert value in refused.error["message"]


async def test_notifications_are_switched_for_each_server(codewalk: CodeWalk) -> None:
    await codewalk("server", "add", dead_url(), "--label", "a", "--no-check")
    for typed, stored in (("on", "on"), (" OFF", "off"), ("default", "default"), ("on", "on")):
        edited = await codewalk("server", "edit", "a", "--notify", typed, "--json")
        assert edited.json["notify"] == stored
    assert "notify" in (await codewalk("server", "show", "a")).out
    refused = await codewalk("server", "edit", "a", "--notify", "maybe", "--json")
    assert (refused.status, refused.error["code"]) == (2, "usage")


async def test_a_server_is_snoozed_for_a_while(codewalk: CodeWalk) -> None:
    await codewalk("server", "add", dead_url(), "--label", "a", "--no-check")
    snoozed = await codewalk("server", "snooze", "a", "--for", "2h", "--json")
    left = datetime.fromisoformat(snoozed.json["snoozed_until"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=58) < left <= timedelta(hours=2)
    assert "snoozed" in (await codewalk("server", "show", "a")).out
    woken = await codewalk("server", "snooze", "a", "--clear", "--json")
    assert woken.json["snoozed_until"] is None
    for options, status, code in (
        ((), 2, "usage"),
        (("--for", "2h", "--clear"), 2, "usage"),
        (("--for", "soon"), 2, "usage"),
        (("--for", "0h"), 2, "usage"),
        (("--for", "400d"), 2, "usage"),
    ):
        refused = await codewalk("server", "snooze", "a", *options, "--json")
        assert (refused.status, refused.error["code"]) == (status, code)


async def test_refusals_are_reported_in_json(codewalk: CodeWalk, server: MockOpenCode) -> None:
    await codewalk("server", "add", server.url, "--label", "a")
    refusals = {
        ("server", "add", "ftp://x"): "invalid_url",
        ("server", "add", server.url): "duplicate_server",
        ("server", "add", dead_url()): "server_unreachable",
        ("server", "show", "nobody"): "server_not_found",
        ("server", "add", dead_url(), "--username", "a:b"): "invalid_credentials",
        ("server", "add", dead_url(), "--password-stdin"): "invalid_credentials",
    }
    results = await asyncio.gather(*(codewalk(*line, "--json") for line in refusals))
    assert [(r.status, r.error["code"]) for r in results] == [(1, c) for c in refusals.values()]


async def test_a_pasted_address_is_refused_and_names_the_server_that_is_meant(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    for pasted in (
        f"{server.url}/L2hvbWU/session/ses_1",
        f"{server.url}/api",
        f"{server.url}/global/health",
        f"opencode server listening on {server.url}",
        f"http://{server.url}",
        f"{server.url}/?auth_token=s3cr3t",
    ):
        refused = await codewalk("server", "add", pasted, "--json")
        assert (refused.status, refused.out) == (1, "")
        assert f" Is it {server.url}?" in refused.err
        assert "s3cr3t" not in refused.err
    assert (await codewalk("server", "list", "--json")).json == []
    # Never changed silently, and never forbidden: it may really be a base path.
    added = await codewalk("server", "add", f"{server.url}/api", "--no-check", "--json")
    assert added.json["url"] == f"{server.url}/api"


async def test_another_program_is_called_so_in_every_command(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    server.script("*", page(status=404))
    verdict = (
        f"This is not an OpenCode server (127.0.0.1:{server.port} answered /path with status 404)."
    )
    refused = await codewalk("server", "add", server.url)
    assert f"isn't saved: {verdict}" in refused.err
    added = await codewalk("server", "add", server.url, "--no-check")
    assert added.status == 0
    checked = await codewalk("server", "check", "--json")
    assert checked.json[0]["health"]["detail"] == verdict
    listed = await codewalk("server", "list")
    assert "✗ unhealthy: not an OpenCode server" in listed.out
    used = await codewalk("server", "use", server.url)
    assert verdict in used.err


async def test_certificates_of_a_private_authority_are_trusted_by_a_variable(
    codewalk: CodeWalk, tmp_path: Path
) -> None:
    file = write_certificate(tmp_path, host="127.0.0.1", days=30)
    trusting = replace(codewalk, environment={"SSL_CERT_FILE": str(file)})
    async with MockOpenCode(ssl_context=server_context(file)) as server:
        refused = await codewalk.fresh("server", "add", server.url, "--json")
        assert "isn't trusted: self-signed certificate" in refused.error["message"]
        added = await trusting.fresh("server", "add", server.url, "--json")
        assert added.json["health"]["state"] == "healthy"


async def test_another_name_of_this_machine_is_noted_and_saved(codewalk: CodeWalk) -> None:
    await codewalk("server", "add", "http://127.0.0.1:9", "--label", "Local", "--no-check")
    added = await codewalk("server", "add", "http://localhost:9", "--no-check")
    assert added.status == 0
    assert added.err == (
        "note: http://localhost:9 may be the same server as Local (http://127.0.0.1:9).\n"
    )
    other = await codewalk("server", "add", "http://localhost:10", "--no-check")
    assert other.err == ""
    edited = await codewalk("server", "edit", "http://localhost:10", "--label", "B", "--no-check")
    assert edited.err == ""
    edited = await codewalk("server", "edit", "B", "--url", "[::1]:9", "--no-check")
    assert edited.err.startswith("note: http://[::1]:9 may be the same server as ")
    every = await codewalk("server", "add", "http://0.0.0.0:11", "--no-check", "--json")
    assert (every.json["url"], every.err) == ("http://127.0.0.1:11", "")


async def test_wrong_usage_is_status_2(codewalk: CodeWalk) -> None:
    lines = (
        ("server", "add", "--json"),
        ("server", "list", "--jsn", "--json"),
        ("server", "default", "--json"),
        ("server", "default", "a", "--clear", "--json"),
        ("server", "edit", "a", "--json"),
        ("server", "remove", "a", "--json"),
        ("server", "check", "--timeout", "0", "--json"),
        ("servr", "--json"),
    )
    results = await asyncio.gather(*(codewalk(*line) for line in lines))
    assert [(r.status, r.error["code"]) for r in results] == [(2, "usage")] * len(lines)
    assert not codewalk.data_dir.exists()


async def test_hostile_titles_and_labels_are_printed_as_plain_text(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    server.world.add_session("\x1b]0;owned\x07 [red]x[/red] \u202e\nend")
    server.world.add_session("second")
    added = await codewalk("server", "add", server.url, "--label", "Dev \u202ebox")
    assert added.status == 0
    listed = await codewalk("server", "list")
    sessions = await codewalk("session", "list")
    assert "Dev \ufffdbox" in listed.out
    assert "●" in listed.out
    assert "\ufffd]0;owned\ufffd [red]x[/red] \ufffd end" in sessions.out
    assert sessions.out.index("second") < sessions.out.index("owned")
    for text in (added.out, listed.out, sessions.out):
        assert not set(text) & set("\x1b\x07\u202e")
        assert not any(line.endswith(" ") for line in text.splitlines())


async def test_archived_and_child_sessions_are_listed_on_request(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    parent = server.world.add_session(" \n")
    server.world.add_session("child")["parentID"] = parent["id"]
    server.world.add_session("old one")["time"]["archived"] = 1
    await codewalk("server", "add", server.url)
    for more in ((), ("--cached",)):
        listed = await codewalk("session", "list", *more)
        assert "Untitled" in listed.out
        assert "child" not in listed.out
        assert "old one" not in listed.out
        everything = await codewalk("session", "list", "--archived", *more)
        assert "old one (archived)" in everything.out
        found = (await codewalk("session", "list", "--json", *more)).json["sessions"]
        assert [(s["title"], s["parent_id"]) for s in found] == [
            ("child", parent["id"]),
            (" \n", None),
        ]
        found = (await codewalk("session", "list", "--json", "--archived", *more)).json["sessions"]
        assert [s["archived"] for s in found] == [True, False, False]


async def test_sessions_models_and_stored_state(codewalk: CodeWalk, server: MockOpenCode) -> None:
    nobody = await codewalk.fresh("session", "list", "--json")
    assert (nobody.status, nobody.error["code"]) == (1, "no_active_server")
    session = server.world.add_session("one")
    server_id = (await codewalk("server", "add", server.url, "--json")).json["id"]
    live = (await codewalk.fresh("session", "list", "--json")).json
    assert live["source"] == "live"
    assert [s["id"] for s in live["sessions"]] == [session["id"]]
    model = await codewalk.fresh("model", "use", "local/tiny", "--json")
    assert model.json["selected"] == "local/tiny"
    for wrong_usage in (("model", "use"), ("model", "use", "local/tiny", "--clear")):
        assert (await codewalk(*wrong_usage)).status == 2
    cleared_model = await codewalk("model", "use", "--clear")
    assert (cleared_model.status, cleared_model.out) == (0, "Selected none; the server decides.\n")
    none = await codewalk("model", "use", "--clear", "--json")
    assert none.json["selected"] is None
    assert (await codewalk("model", "list", "--json")).json["selected"] is None
    await codewalk("model", "use", "local/tiny")
    wrong = await codewalk("model", "use", "local/tinny", "--json")
    assert "local/tiny" in wrong.error["message"]
    await server.stop()
    cached = (await codewalk("session", "list", "--cached", "--json")).json
    assert (cached["source"], cached["sessions"]) == ("cache", live["sessions"])
    down = await codewalk("session", "list", "--json")
    assert (down.status, down.error["code"]) == (1, "server_unreachable")
    entries = (await codewalk("state", "list", "--server", server_id, "--json")).json
    assert {entry["key"] for entry in entries} == {
        f"cached_models::{server_id}",
        f"cached_sessions::{server_id}::/srv/project",
        f"own_directory::{server_id}",
        f"selected_model::{server_id}",
        f"selected_provider::{server_id}",
    }
    cleared = await codewalk.fresh("state", "clear", server_id, "--json")
    assert cleared.json == {"cleared": 5}


async def test_a_password_never_shows_in_the_process_list_or_the_folder(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    gate = server.hold("/global/health")
    secret = "correct-horse-battery"
    arguments = ("server", "add", server.url, "--password-stdin")
    async with codewalk.started(*arguments) as process:
        assert process.stdin is not None
        process.stdin.write(f"{secret}\n".encode())
        process.stdin.close()
        await gate.arrived.wait()
        line = await asyncio.to_thread(open, f"/proc/{process.pid}/cmdline", "rb")
        with line:
            assert secret.encode() not in line.read()
        gate.release()
        out, err = await process.communicate()
    assert secret.encode() not in out + err
    files = [path for path in codewalk.data_dir.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    async with open_app(Settings(data_dir=codewalk.data_dir)) as app:
        assert [s.profile.url for s in app.servers()] == [server.url]


async def test_sessions_and_models_of_a_server_that_is_not_active(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    async with MockOpenCode() as other:
        other.world.add_session("Elsewhere", directory="/else", project_id="else")
        other.world.add_session("Here")
        await codewalk("server", "add", server.url)
        second = (await codewalk("server", "add", other.url, "--label", "Laptop", "--json")).json
        assert not second["active"]
        listed = (await codewalk("session", "list", "--server", "laptop", "--json")).json
        assert listed["server_id"] == second["id"]
        assert listed["directory"] is None
        assert [s["title"] for s in listed["sessions"]] == ["Here"]  # its own project's
        there = ("session", "list", "--server", second["id"][:8], "--directory", "/else")
        assert [s["title"] for s in (await codewalk(*there, "--json")).json["sessions"]] == [
            "Elsewhere"
        ]
        used = await codewalk("model", "use", "local/tiny", "--server", "laptop", "--json")
        assert used.json["server_id"] == second["id"]
        models = (await codewalk("model", "list", "--server", "laptop", "--json")).json
        assert models["selected"] == "local/tiny"
        assert (await codewalk("model", "list", "--json")).json["selected"] is None
        assert server.count("/session") == 0
        nobody = await codewalk("session", "list", "--server", "nobody", "--json")
        assert (nobody.status, nobody.error["code"]) == (1, "server_not_found")
    down = await codewalk("session", "list", "--server", "laptop", "--json")
    assert (down.status, down.error["code"]) == (1, "server_unreachable")
    cached = await codewalk("session", "list", "--server", "laptop", "--cached", "--json")
    assert cached.json["sessions"] == listed["sessions"]
