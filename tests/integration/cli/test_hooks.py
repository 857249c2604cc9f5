"""`codewalk hook`, as programs use it, and a running app that runs its hooks."""

import asyncio
import json
import sys
from pathlib import Path

from codewalk.app.composition import open_app
from codewalk.secret import Secret
from codewalk.servers.draft import Change
from codewalk.settings import Settings
from tests.integration.cli.command import CodeWalk
from tests.mock_opencode import MockOpenCode

URL = "https://hooks.example/T0/s3cret"


async def test_hook_is_added_listed_tested_and_removed(codewalk: CodeWalk, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"
    added = await codewalk.fresh(
        *("hook", "add", "command", "--on", "down,up", "--json", "--"),
        *(sys.executable, "-c", code, str(out)),
    )
    assert added.json["command"] == [sys.executable, "-c", code, str(out)]
    assert added.json["events"] == ["down", "up"]
    webhook = await codewalk("hook", "add", "webhook", "-", "--json", stdin=f"{URL}\n")
    assert (webhook.json["url"], webhook.json["events"]) == (
        "https://hooks.example/…",
        ["down", "up", "version"],
    )
    listed = await codewalk.fresh("hook", "list", "--json")
    assert listed.json == [added.json, webhook.json]
    printed = await codewalk("hook", "list")
    assert "s3cret" not in printed.out + listed.out + webhook.out
    tested = await codewalk.fresh("hook", "test", added.json["id"][:13])
    assert (tested.status, tested.err) == (0, "")
    assert json.loads(out.read_text())["event"] == "test"
    for hook in (added, webhook):
        removed = await codewalk("hook", "remove", hook.json["id"], "--json")
        assert removed.json == {"removed": hook.json["id"]}
    assert (await codewalk("hook", "list", "--json")).json == []


async def test_refusals_are_reported_in_json(codewalk: CodeWalk) -> None:
    failing = await codewalk(
        "hook", "add", "command", "--json", "--", sys.executable, "-c", "exit(3)"
    )
    refusals = {
        ("hook", "add", "pigeon", "x"): (2, "usage"),
        ("hook", "add", "command", "--on", "moved", "x"): (2, "usage"),
        ("hook", "add", "command", "--on", "", "x"): (2, "usage"),  # not each event: none
        ("hook", "add", "command", "--on", "up,", "x"): (2, "usage"),
        ("hook", "add", "webhook", "https://a", "https://b"): (2, "usage"),
        ("hook", "add", "webhook", "ftp://a"): (1, "invalid_url"),
        ("hook", "add", "command", ""): (1, "invalid_value"),
        ("hook", "remove", "nobody"): (1, "hook_not_found"),
        ("hook", "test", failing.json["id"]): (1, "hook_failed"),
    }
    for arguments, (status, code) in refusals.items():
        refused = await codewalk(*arguments, "--json")
        assert (refused.status, refused.error["code"]) == (status, code), arguments


async def test_running_app_runs_hooks_when_a_server_goes_down_and_comes_back(
    codewalk: CodeWalk, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=codewalk.data_dir,
        secret_key=Secret("key of the test"),
        legacy_preferences=tmp_path / "none.json",
    )
    async with (
        MockOpenCode() as server,
        MockOpenCode() as receiver,
        open_app(settings, watch=True) as app,
    ):
        await app.add_server(server.url, label="Dev box")
        await app.edit_server("Dev box", Change(health_check={"interval": 1}))
        await app.hooks.add_webhook(f"{receiver.url}/hook")
        await asyncio.wait_for(server.wait_for_requests("/global/event"), 20)
        await server.stop()
        await asyncio.wait_for(receiver.wait_for_requests("/hook"), 20)
        await server.start()
        await asyncio.wait_for(receiver.wait_for_requests("/hook", 2), 20)
    down, up = (json.loads(seen.body) for seen in receiver.requests)
    assert (down["event"], up["event"]) == ("down", "up")
    assert down["server"]["name"] == "Dev box"
    assert down["server"]["health"]["reason"] == "refused"
    assert up["server"]["health"]["state"] == "healthy"
    assert up["downtime_s"] >= 5
    assert down["at"] < up["at"]
