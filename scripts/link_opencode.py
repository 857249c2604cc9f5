#!/usr/bin/env python3
"""Makes OpenCode releases from npm runnable.

The npm package `opencode-ai` contains no program: each platform's program is in another package,
and an install script puts it in place. This project lets no package run code during installation
(see `.npmrc`), so this script makes the link instead:

    link_opencode.py FOLDER PACKAGE=COMMAND...

makes `FOLDER/node_modules/.bin/COMMAND` a link to the first program for this platform that runs.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def platform_packages() -> list[str]:
    """Return the names of the packages that may have this machine's program, the best first."""
    system = _SYSTEMS.get(platform.system())
    machine = _MACHINES.get(platform.machine().lower())
    if system is None or machine is None:
        sys.exit(f"error: OpenCode has no release for {platform.system()} {platform.machine()}")
    base = f"opencode-{system}-{machine}"
    names = [base]
    if machine == "x64":  # for processors without AVX2
        names.append(f"{base}-baseline")
    if system == "linux":  # for C libraries other than glibc
        names += [f"{name}-musl" for name in names]
    return names


def find_installed(modules: Path, package: str, version: str, name: str) -> Path | None:
    """Return the program of exactly this release that npm has installed below `modules`."""
    # npm installs it below its own package where another release is at the top.
    for folder in (modules / package / "node_modules" / name, modules / name):
        manifest = folder / "package.json"
        if manifest.is_file() and json.loads(manifest.read_text())["version"] == version:
            return folder / "bin" / "opencode"
    return None


def fetch(modules: Path, version: str, name: str) -> Path | None:
    """Install the package by exact version, and return its program.

    npm skips an optional package that it can't get, without a message.
    """
    prefix = modules / ".opencode" / f"{name}-{version}"
    prefix.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-save", "--no-package-lock", "--ignore-scripts"]
    command += ["--loglevel=silent", "--prefix", str(prefix), f"{name}@{version}"]
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode != 0:
        return None
    return prefix / "node_modules" / name / "bin" / "opencode"


def find_problem(program: Path, version: str) -> str | None:
    """Return why the program doesn't start as this release; None if it does."""
    program.chmod(0o755)
    with tempfile.TemporaryDirectory() as home:
        # Its first start writes into the home folder, which must not be the user's.
        folders = {f"XDG_{name}_HOME": home for name in ("CACHE", "CONFIG", "DATA", "STATE")}
        try:
            done = subprocess.run(
                [program, "--version"],
                env=os.environ | folders | {"HOME": home},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    if done.returncode == 0 and version in done.stdout:
        return None
    return f"exit status {done.returncode}: {(done.stderr or done.stdout).strip()}"


def candidates(modules: Path, package: str, version: str) -> Iterator[tuple[str, Path]]:
    """Return packages and programs to try: what npm installed, or else what can be fetched."""
    names = platform_packages()
    installed = [(name, find_installed(modules, package, version, name)) for name in names]
    yield from ((name, program) for name, program in installed if program)
    if not any(program for _, program in installed):
        for name in names:
            if program := fetch(modules, version, name):
                yield name, program


def working_program(modules: Path, package: str, version: str) -> Path:
    """Return the first program of this release that starts; exit if none does."""
    report = []
    for name, program in candidates(modules, package, version):
        reason = find_problem(program, version)
        if reason is None:
            return program
        report.append(f"  {name}: {reason}")
    report = report or [f"  npm could get none of {', '.join(platform_packages())}"]
    sys.exit("\n".join([f"error: no program of OpenCode {version} starts here:", *report]))


def link(modules: Path, package: str, command: str) -> None:
    """Make `.bin/command` start the release that `package` pins."""
    version = json.loads((modules / package / "package.json").read_text())["version"]
    program = working_program(modules, package, version)
    target = modules / ".bin" / command
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(os.path.relpath(program, target.parent))


def main(folder: str, *links: str) -> None:
    """Make each link `PACKAGE=COMMAND` below the folder."""
    modules = Path(folder) / "node_modules"
    for pair in links:
        package, _, command = pair.partition("=")
        link(modules, package, command)


if __name__ == "__main__":
    main(*sys.argv[1:])
