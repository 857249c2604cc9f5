"""The Pythons that the unit tests run on are found, and pyproject.toml names no other."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the scripts are for a Unix shell")


def add_python(pyenv: Path, release: str) -> Path:
    """Put this Python into pyenv's folder as another release of its version."""
    path = pyenv / "versions" / release / "bin" / f"python{VERSION}"
    path.parent.mkdir(parents=True)
    path.symlink_to(Path(sys.executable).resolve())
    return path


def find_python(version: str, shims: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Look for a version where PATH leads to pyenv's shims first, which find nothing."""
    shims.mkdir(parents=True)
    for name in ("python3", f"python{version}"):
        (shims / name).write_text("#!/bin/sh\nexit 127\n")
        (shims / name).chmod(0o755)
    path = os.pathsep.join([str(shims), "/usr/bin", "/bin"])
    return subprocess.run(
        [REPOSITORY / "scripts" / "find-python", version],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_newest_release_of_pyenv_is_found(tmp_path: Path) -> None:
    add_python(tmp_path, f"{VERSION}.9")
    newest = add_python(tmp_path, f"{VERSION}.10")
    found = find_python(VERSION, tmp_path / "bin", PYENV_ROOT=str(tmp_path))
    assert found.stdout == f"{newest}\n"


def test_pyenv_is_found_by_its_shims_where_the_home_is_another(tmp_path: Path) -> None:
    python = add_python(tmp_path, f"{VERSION}.1")
    found = find_python(VERSION, tmp_path / "shims", HOME=str(tmp_path / "empty"))
    assert found.stdout == f"{python}\n"


def test_a_version_that_is_nowhere_is_an_error(tmp_path: Path) -> None:
    found = find_python("3.2", tmp_path / "bin", PYENV_ROOT=str(tmp_path))
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "error: this machine has no Python 3.2\n"


def test_every_version_in_pyproject_is_one_that_is_tested() -> None:
    script = (REPOSITORY / "scripts" / "test-pythons").read_text(encoding="utf-8")
    [tested] = re.findall(r'(?m)^VERSIONS="(.+)"$', script)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r":: (3\.\d+)\b", "\n".join(project["classifiers"]))
    assert named == tested.split()[: len(named)]
    assert project["requires-python"] == f">={named[0]}"
