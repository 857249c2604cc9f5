#!/usr/bin/env python3
"""Makes OpenCode releases from npm runnable.

The npm package `opencode-ai` holds no program: each platform's is in a package of its own, and
an install script is to put it in place. This project lets no package run code while it is
installed (see `.npmrc`), so the link is made here instead:

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
    """Names of the packages that may hold this machine's program, the best first."""
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


def installed_programs(modules: Path, package: str, version: str) -> Iterator[Path]:
    """Programs of exactly this release that npm has put below `modules`."""
    for name in platform_packages():
        # npm puts a release below its own package where another one has the place at the top.
        for folder in (modules / package / "node_modules" / name, modules / name):
            manifest = folder / "package.json"
            if manifest.is_file() and json.loads(manifest.read_text())["version"] == version:
                yield folder / "bin" / "opencode"


def fetched_programs(modules: Path, version: str) -> Iterator[Path]:
    """Programs fetched now, by exact version: the lock was made on another platform."""
    for name in platform_packages():
        prefix = modules / ".opencode" / version
        prefix.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-save", "--no-package-lock", "--ignore-scripts"]
        command += ["--loglevel=error", "--prefix", str(prefix), f"{name}@{version}"]
        if subprocess.run(command, check=False).returncode == 0:
            yield prefix / "node_modules" / name / "bin" / "opencode"


def runs(program: Path, version: str) -> bool:
    """Whether the program starts here and says that it is this release."""
    program.chmod(0o755)
    with tempfile.TemporaryDirectory() as home:
        # Its first start writes into the home folder: not into the user's.
        places = {f"XDG_{name}_HOME": home for name in ("CACHE", "CONFIG", "DATA", "STATE")}
        environment = os.environ | places | {"HOME": home}
        try:
            done = subprocess.run(
                [program, "--version"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return done.returncode == 0 and version in done.stdout


def link(modules: Path, package: str, command: str) -> None:
    """Makes `.bin/command` start the release that `package` pins."""
    version = json.loads((modules / package / "package.json").read_text())["version"]

    def candidates() -> Iterator[Path]:
        yield from installed_programs(modules, package, version)
        yield from fetched_programs(modules, version)

    program = next((found for found in candidates() if runs(found, version)), None)
    if program is None:
        sys.exit(f"error: no program of OpenCode {version} runs on this machine")
    target = modules / ".bin" / command
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(os.path.relpath(program, target.parent))


def main(folder: str, *links: str) -> None:
    """Makes each link `PACKAGE=COMMAND` below the folder."""
    modules = Path(folder) / "node_modules"
    for pair in links:
        package, _, command = pair.partition("=")
        link(modules, package, command)


if __name__ == "__main__":
    main(*sys.argv[1:])
