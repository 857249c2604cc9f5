"""The docs list every command, option, variable and error code, and every module."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from codewalk import settings
from codewalk.cli.main import run
from codewalk.errors import CodeWalkError
from codewalk.web.problems import problem_of

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/codewalk"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    path.relative_to(ROOT) for pattern in ("*.md", "docs/**/*.md") for path in ROOT.glob(pattern)
)
COMMANDS = [
    "up",
    "server list",
    "server show",
    "server add",
    "server edit",
    "server move",
    "server remove",
    "server default",
    "server use",
    "server history",
    "server check",
    "server snooze",
    "session list",
    "model list",
    "model use",
    "state list",
    "state clear",
    "hook list",
    "hook add",
    "hook remove",
    "hook test",
    "attach",
    "doctor",
]
COMMON = {"--help", "--json", "--version", "--install-completion", "--show-completion"}


def subcommands(help_text: str) -> set[str]:
    commands = help_text.partition("Commands:")[2]
    return set(re.findall(r"^  ([a-z]+) ", commands, re.MULTILINE))


def errors(root: type[CodeWalkError]) -> Iterator[type[CodeWalkError]]:
    for error in root.__subclasses__():
        yield error
        yield from errors(error)


def test_every_command_is_tested_here(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    groups = subcommands(capsys.readouterr().out)
    commands = set()
    for group in groups:
        run([group, "--help"])
        names = subcommands(capsys.readouterr().out)
        commands |= {f"{group} {name}" for name in names} or {group}
    assert commands == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_and_its_options_are_in_the_readme(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), "--help"]) == 0
    help_text = capsys.readouterr().out
    (row,) = {
        line for line in README.splitlines() if re.search(rf"^\| .*`codewalk {command}[` ]", line)
    }
    options = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", help_text, re.MULTILINE)) - COMMON
    assert options <= set(re.findall(r"--[a-z-]+", row))
    assert "Example: codewalk " in help_text


def test_every_error_code_is_in_the_readme() -> None:
    table = README.partition("## Errors")[2]
    codes = {CodeWalkError.code} | {error.code for error in errors(CodeWalkError)}
    codes |= {problem_of(HTTPException(status)).code for status in range(400, 600)}
    missing = codes - set(re.findall(r"`(\w+)`", table))
    assert missing == set()


def test_every_variable_is_in_the_readme() -> None:
    source = Path(settings.__file__).read_text(encoding="utf-8")
    variables = set(re.findall(r"CODEWALK_[A-Z]+[A-Z_]*[A-Z]", source))
    assert variables
    assert variables <= set(re.findall(r"^\| `(CODEWALK_[A-Z_]+)`", README, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_names_a_file_that_exists(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = set(re.findall(r"\]\(((?!https?:)[^)#\s]+)", text))
    assert [link for link in targets if not (ROOT / page.parent / link).exists()] == []


def layout() -> dict[str, set[str]]:
    """Return the modules of each package in CONTRIBUTING's tree; "" is the top level."""
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = contributing.partition("## Layout")[2].split("```")[1]
    packages: dict[str, set[str]] = {"": set()}
    package = ""
    for line in tree.splitlines():
        if match := re.match(r"  (\w+)/  ", line):
            package = match[1]
            packages[package] = set()
        elif line.startswith("    "):
            packages[package] |= set(line.strip().split(" · "))
        elif match := re.match(r"  (\w+)\.py  ", line):
            packages[""].add(match[1])
    return packages


def test_every_package_and_module_is_in_the_layout_and_no_other() -> None:
    packages = {"": SOURCE} | {
        path.parent.name: path.parent for path in SOURCE.glob("*/__init__.py")
    }
    modules = {
        name: {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
        for name, folder in packages.items()
    }
    folders = {
        name: {f"{path.name}/" for path in folder.iterdir() if path.is_dir()} - {"__pycache__/"}
        for name, folder in packages.items()
        if name
    }
    assert layout() == {name: names | folders.get(name, set()) for name, names in modules.items()}


def test_heavy_modules_are_not_imported_before_they_are_needed() -> None:
    """`server list` has 0.4 s in all; each of these would take a good part of it."""
    heavy = {"aiohttp", "alembic", "cryptography", "fastapi", "keyring", "rich", "uvicorn"}
    heavy |= {"sqlalchemy.orm", "jinja2", "asyncpg", "prometheus_client"}
    assert heavy.isdisjoint(modules_of("codewalk.app.composition"))
    assert heavy.isdisjoint(modules_of("codewalk.cli.main, codewalk.cli.servers"))


def modules_of(modules: str) -> set[str]:
    code = f"import {modules}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
