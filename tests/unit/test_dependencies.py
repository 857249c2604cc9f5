"""The versions of what CodeWalk depends on."""

import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize("name", ["aiohttp", "fastapi", "typer", "uvicorn"])
def test_what_is_used_beyond_its_documentation_has_an_upper_bound(name: str) -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    [required] = [
        requirement
        for requirement in map(Requirement, project["dependencies"])
        if requirement.name == name
    ]
    installed = Version(version(name))
    assert installed in required.specifier
    # The next release that may change anything, as these projects number theirs.
    following = Version(f"{installed.major}.{installed.minor + 1}")
    assert following not in required.specifier
