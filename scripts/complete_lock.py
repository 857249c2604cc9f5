#!/usr/bin/env python3
"""Completes a `package-lock.json` that was made without the packages of some platforms.

    complete_lock.py forget|add LOCK...

npm leaves an optional package that its registry doesn't have out of the lock, and `npm ci` then
refuses the lock everywhere. After npm, `add` adds such packages by exact version, for their own
platform, without a hash, since their content is not available. Before npm, `forget` removes them,
so that npm looks for them again and records a hash if it can.
"""

import json
import sys
from pathlib import Path
from typing import Any

_SYSTEMS = {"darwin", "linux", "windows"}
_MACHINES = {"arm64", "x64"}


def platform_of(name: str) -> dict[str, list[str]]:
    """Return the lock's `os`, `cpu` and `libc` for a name like `opencode-linux-x64-musl`.

    Raises:
        ValueError: The name has another form.
    """
    _, system, machine, *rest = name.split("-")
    if system not in _SYSTEMS or machine not in _MACHINES:
        message = f"no platform in the package name {name!r}"
        raise ValueError(message)
    libc = {"libc": ["musl"]} if "musl" in rest else {}
    return {"cpu": [machine], **libc, "os": ["win32" if system == "windows" else system]}


def forget(packages: dict[str, dict[str, Any]]) -> None:
    """Remove the optional packages without a hash from `packages`, which are by path."""
    for path, package in list(packages.items()):
        if package.get("optional") and "integrity" not in package:
            del packages[path]


def add(packages: dict[str, dict[str, Any]]) -> None:
    """Add the optional dependencies that are missing from `packages`, which are by path."""
    for path, package in list(packages.items()):
        for name, version in package.get("optionalDependencies", {}).items():
            candidates = [f"node_modules/{name}", f"{path}/node_modules/{name}"]
            if any(packages.get(each, {}).get("version") == version for each in candidates):
                continue
            free_path = next(each for each in candidates if each not in packages)
            entry = {"optional": True, **platform_of(name)}
            # In the order of npm, so that its next run changes nothing.
            packages[free_path] = {"version": version, **dict(sorted(entry.items()))}


def main(verb: str, *locks: str) -> None:
    """Change each lock in place."""
    change = {"forget": forget, "add": add}[verb]
    for path in map(Path, locks):
        lock = json.loads(path.read_text(encoding="utf-8"))
        change(lock["packages"])
        lock["packages"] = dict(sorted(lock["packages"].items()))
        path.write_text(json.dumps(lock, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
