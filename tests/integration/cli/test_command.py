"""Every command: help, version, completion, quick starts, and ends without noise."""

import asyncio
import json
import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from codewalk import __version__
from codewalk.app.composition import open_app
from codewalk.settings import Settings
from tests.integration.cli.command import CodeWalk, read_until
from tests.mock_behaviours import page as html_page
from tests.mock_opencode import MockOpenCode

SERVER = ("list", "show", "add", "edit", "remove", "default", "use", "check")
COMMANDS = (
    *("up", "attach", "doctor", *(f"server {name}" for name in SERVER)),
    *("session list", "model list", "model use", "state list", "state clear"),
)


async def test_help_lists_every_command_and_version_prints_the_version(codewalk: CodeWalk) -> None:
    root = await codewalk("--help")
    for group in dict.fromkeys(command.split()[0] for command in COMMANDS):
        assert re.search(rf"^  {group} ", root.out, re.MULTILINE)
    assert (await codewalk("--version")).out == f"codewalk {__version__}\n"
    nothing = await codewalk()
    assert (nothing.status, nothing.out) == (2, "")
    assert "Usage: codewalk" in nothing.err
    assert not codewalk.data_dir.exists()


async def test_help_of_each_command_has_an_example(codewalk: CodeWalk) -> None:
    # In one process, which is much quicker than one for each.
    script = "from codewalk.cli.main import run\n" + "".join(
        f"assert run({[*command.split(), '-h']}) == 0\n" for command in COMMANDS
    )
    result = await codewalk.python("-c", script)
    assert (result.status, result.err) == (0, "")
    for command in COMMANDS:
        assert f"Example: codewalk {command}" in result.out


async def test_listing_servers_loads_no_heavy_module(codewalk: CodeWalk) -> None:
    async with open_app(Settings(data_dir=codewalk.data_dir)) as app:
        await app.add_server("http://devbox:4096", label="Devbox", check=False)
    script = (
        "import sys; from codewalk.cli.main import run; run(['server', 'list', '--json']); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    result = await codewalk.python("-c", script)
    assert json.loads(result.out)[0]["name"] == "Devbox"
    heavy = {"aiohttp", "alembic", "cryptography", "fastapi", "keyring", "pydantic", "rich"}
    assert not heavy & set(result.err.split())


async def test_ctrl_c_ends_a_command_without_output(
    codewalk: CodeWalk, server: MockOpenCode
) -> None:
    gate = server.hold("/global/health")
    async with codewalk.started("server", "add", server.url) as process:
        await gate.arrived.wait()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


async def test_closed_pipe_prints_no_error(codewalk: CodeWalk) -> None:
    read, write = os.pipe()
    os.close(read)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "codewalk", "server", "list", "--json"),
        stdout=write,
        stderr=asyncio.subprocess.PIPE,
        env=codewalk.process_environment(),
    )
    os.close(write)
    _, err = await process.communicate()
    assert (process.returncode, err) == (1, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="as a shell of Unix does it")
@pytest.mark.parametrize(
    "line", [("server", "list"), ("server", "list", "--json"), ("--version",), ("--help",)]
)
async def test_closed_or_full_output_prints_no_traceback(
    codewalk: CodeWalk, line: tuple[str, ...]
) -> None:
    async def run(redirected: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", f'exec "$@" {redirected}', "sh"),
            *(sys.executable, "-m", "codewalk", *line),
            stderr=asyncio.subprocess.PIPE,
            env=codewalk.process_environment(),
        )
        _, err = await process.communicate()
        return process.returncode, err.decode()

    status, err = await run(">&- <&-")
    assert (status, err.count("\n")) == (0, 1 if line == ("server", "list") else 0)
    if line == ("server", "list"):  # it has nothing to say on stdout, where there is no server
        assert err.startswith("There are no servers yet")
    elif Path("/dev/full").exists():
        status, err = await run("> /dev/full")
        assert (status, err.count("\n")) == (1, 1)
        assert "no space is left" in err


async def test_unreadable_store_is_reported_in_one_line(codewalk: CodeWalk) -> None:
    codewalk.data_dir.mkdir()
    store = codewalk.data_dir / "codewalk.db"
    store.write_bytes(b"not a database" * 1000)
    result = await codewalk("server", "list")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith("error: ")
    assert str(store) in result.err
    result = await codewalk("doctor", "--json")
    assert result.status == 1
    broken = [check for check in json.loads(result.out)["checks"] if not check["ok"]]
    assert {check["name"] for check in broken} >= {"store"}


@pytest.mark.parametrize(
    ("environment", "detail"),
    [
        (
            {"https_proxy": "http://u:s3cr3t@p:3128", "ALL_PROXY": "socks5://p"},
            "not used, though set: https_proxy, ALL_PROXY; servers are reached directly",
        ),
        ({}, "none set; CodeWalk uses none; servers are reached directly"),
    ],
)
async def test_doctor_says_which_proxies_are_not_used(
    codewalk: CodeWalk, environment: dict[str, str], detail: str
) -> None:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    unset = {written: "" for name in names for written in (name, name.lower())}
    result = await replace(codewalk, environment=unset | environment)("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.out)["checks"]}
    assert checks["proxy"] == {"name": "proxy", "ok": True, "detail": detail}


async def test_doctor_passes_and_creates_nothing_where_nothing_exists(codewalk: CodeWalk) -> None:
    clean = replace(codewalk, environment={"CODEWALK_OPENCODE": "", "PATH": "/nowhere"})
    result = await clean("doctor", "--json")
    assert result.status == 0
    checks = {check["name"]: check for check in result.json["checks"]}
    assert checks.keys() >= {"python", "data folder", "store", "secret key", "opencode", "app"}
    assert "npm install -g opencode-ai" in checks["opencode"]["detail"]
    assert not codewalk.data_dir.exists()


async def test_shell_completes_labels_and_ids(codewalk: CodeWalk) -> None:
    words = {"COMP_WORDS": "codewalk server show ", "COMP_CWORD": "3"}
    shell = replace(codewalk, environment={**words, "_CODEWALK_COMPLETE": "complete_bash"})
    assert (await shell()).out.strip() == ""
    assert not codewalk.data_dir.exists()
    async with open_app(Settings(data_dir=codewalk.data_dir)) as app:
        await app.add_server("http://a:4096", label="Devbox", check=False)
        unsafe = await app.add_server("http://b:4096", label="$(reboot) box", check=False)
    assert (await shell()).out.split() == ["Devbox", unsafe.id[:8]]


async def test_terminal_gets_prompts_and_colours(codewalk: CodeWalk, server: MockOpenCode) -> None:
    colourful = replace(codewalk, environment={"TERM": "xterm-256color"})
    gate = server.hold("/global/health")
    add = ("server", "add", server.url, "--label", "Dev", "--password-stdin")
    async with colourful.started(*add, terminal=True) as process:
        assert process.stdin is not None
        await read_until(process.stdout, "Password: ")
        process.stdin.write(b"hunter2\n")
        seen = await read_until(process.stdout, "checking the server")
        gate.release()
        seen += await read_until(process.stdout, "healthy")
        assert "hunter2" not in seen
    async with colourful.started("server", "list", terminal=True) as process:
        seen = await read_until(process.stdout, "managed by CodeWalk")
        assert re.search(r"\x1b\[[0-9;]*32m✓ healthy", seen)
    async with colourful.started("server", "remove", "dev", terminal=True) as process:
        assert process.stdin is not None
        await read_until(process.stdout, "[y/N]: ")
        process.stdin.write(b"n\n")
        await read_until(process.stdout, "error: Nothing was removed.")
        assert await process.wait() == 1
    plain = replace(colourful, environment={"TERM": "xterm-256color", "NO_COLOR": "1"})
    async with plain.started("server", "list", terminal=True) as process:
        seen = await read_until(process.stdout, "managed by CodeWalk")
        assert "32m" not in seen


@pytest.fixture
def attaching(codewalk: CodeWalk, tmp_path: Path) -> CodeWalk:
    """A CodeWalk whose `opencode` prints its arguments and its environment."""
    fake = tmp_path / "opencode"
    fake.write_text('#!/bin/sh\necho "$*"\nenv\nexit 7\n')
    fake.chmod(0o755)
    environment = {
        "CODEWALK_OPENCODE": str(fake),
        "CODEWALK_SECRET_KEY": "the key",
        "OPENCODE_SERVER_PASSWORD": "for another server",
    }
    return replace(codewalk, environment=environment)


async def test_attach_passes_credentials_in_the_environment_alone(
    codewalk: CodeWalk, attaching: CodeWalk, server: MockOpenCode
) -> None:
    async with MockOpenCode(username="me", password="a: ü") as locked:
        await attaching("server", "add", server.url, "--label", "open")
        await attaching(
            *("server", "add", locked.url, "--label", "locked"),
            *("--username", "me", "--password-stdin", "--use"),
            stdin="a: ü\n",
        )
        result = await attaching("attach", "--", "--continue", "-s", "x")
    assert result.status == 7
    line, *environment = result.out.splitlines()
    assert line == f"attach {locked.url} --continue -s x"
    assert "OPENCODE_SERVER_USERNAME=me" in environment
    assert "OPENCODE_SERVER_PASSWORD=a: ü" in environment
    assert "the key" not in result.out
    result = await attaching("attach", "open")
    assert result.out.splitlines()[0] == f"attach {server.url}"
    assert "OPENCODE_SERVER" not in result.out
    missing = await codewalk("attach", "open", "--", "--json")
    assert (missing.status, missing.out) == (1, "")
    assert "CODEWALK_OPENCODE names" in missing.err


async def test_attach_refuses_a_server_that_is_unhealthy_and_says_why(
    attaching: CodeWalk, server: MockOpenCode
) -> None:
    await attaching("server", "add", server.url, "--label", "Dev box")
    server.script("*", html_page())
    refused = await attaching("attach")
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith("error: Dev box is unhealthy: ")
    assert refused.err.count("\n") == 1
    await server.stop()
    refused = await attaching("attach", "dev box")
    assert (refused.status, refused.out) == (1, "")
    address = server.url.removeprefix("http://")
    detail = f"Nothing listens at {address} (connection refused)."
    assert refused.err == f"error: Dev box is unhealthy: {detail}\n"
