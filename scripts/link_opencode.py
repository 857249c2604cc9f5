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


def installed(modules: Path, package: str, version: str, name: str) -> Path | None:
    """The program of exactly this release that npm has put below `modules`."""
    # npm puts a release below its own package where another one has the place at the top.
    for folder in (modules / package / "node_modules" / name, modules / name):
        manifest = folder / "package.json"
        if manifest.is_file() and json.loads(manifest.read_text())["version"] == version:
            return folder / "bin" / "opencode"
    return None


def fetched(modules: Path, version: str, name: str) -> Path | None:
    """The program fetched now, by exact version: npm passed the package over.

    It does so for an optional package that it couldn't get, without saying so.
    """
    prefix = modules / ".opencode" / f"{name}-{version}"
    prefix.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-save", "--no-package-lock", "--ignore-scripts"]
    command += ["--loglevel=silent", "--prefix", str(prefix), f"{name}@{version}"]
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode != 0:
        return None
    return prefix / "node_modules" / name / "bin" / "opencode"


def trouble(program: Path, version: str) -> str | None:
    """Why the program doesn't start here as this release; None where it does."""
    program.chmod(0o755)
    with tempfile.TemporaryDirectory() as home:
        # Its first start writes into the home folder: not into the user's.
        places = {f"XDG_{name}_HOME": home for name in ("CACHE", "CONFIG", "DATA", "STATE")}
        try:
            done = subprocess.run(
                [program, "--version"],
                env=os.environ | places | {"HOME": home},
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
    """Packages and programs to try; what npm installed, or else what can be fetched."""
    names = platform_packages()
    here = [(name, installed(modules, package, version, name)) for name in names]
    yield from ((name, program) for name, program in here if program)
    if not any(program for _, program in here):
        for name in names:
            if program := fetched(modules, version, name):
                yield name, program


def working_program(modules: Path, package: str, version: str) -> Path:
    """The first program of this release that starts; ends the script where none does."""
    report = []
    for name, program in candidates(modules, package, version):
        reason = trouble(program, version)
        if reason is None:
            return program
        report.append(f"  {name}: {reason}")
    report = report or [f"  npm could get none of {', '.join(platform_packages())}"]
    sys.exit("\n".join([f"error: no program of OpenCode {version} starts here:", *report]))


def link(modules: Path, package: str, command: str) -> None:
    """Makes `.bin/command` start the release that `package` pins."""
    version = json.loads((modules / package / "package.json").read_text())["version"]
    program = working_program(modules, package, version)
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
