#!/usr/bin/env python3
"""Completes a `package-lock.json` that was made where not every platform's packages are to be had.

    complete_lock.py forget|add LOCK...

npm leaves an optional package that its registry doesn't hold out of the lock, and `npm ci` then
refuses the lock everywhere. After npm, `add` puts such packages in by exact version, for their own
platform, without a hash, since nobody could see their content. Before npm, `forget` takes them out,
so that npm looks again and records a hash where it can.
"""

import json
import sys
from pathlib import Path
from typing import Any

_SYSTEMS = {"darwin", "linux", "windows"}
_MACHINES = {"arm64", "x64"}


def platform_of(name: str) -> dict[str, list[str]]:
    """The lock's `os`, `cpu` and `libc` for a package named like `opencode-linux-x64-musl`.

    Raises ValueError for a name of another shape.
    """
    _, system, machine, *rest = name.split("-")
    if system not in _SYSTEMS or machine not in _MACHINES:
        message = f"no platform in the package name {name!r}"
        raise ValueError(message)
    libc = {"libc": ["musl"]} if "musl" in rest else {}
    return {"cpu": [machine], **libc, "os": ["win32" if system == "windows" else system]}


def forget(packages: dict[str, dict[str, Any]]) -> None:
    """Takes out of `packages` (by place) what stands there without a hash."""
    for place, package in list(packages.items()):
        if package.get("optional") and "integrity" not in package:
            del packages[place]


def add(packages: dict[str, dict[str, Any]]) -> None:
    """Adds what optional dependencies ask for and `packages` (by place) lacks."""
    for place, package in list(packages.items()):
        for name, version in package.get("optionalDependencies", {}).items():
            places = [f"node_modules/{name}", f"{place}/node_modules/{name}"]
            if any(packages.get(one, {}).get("version") == version for one in places):
                continue
            free = next(one for one in places if one not in packages)
            entry = {"optional": True, **platform_of(name)}
            # In npm's own order, so that its next run changes nothing.
            packages[free] = {"version": version, **dict(sorted(entry.items()))}


def main(verb: str, *locks: str) -> None:
    """Changes each lock in place."""
    change = {"forget": forget, "add": add}[verb]
    for path in map(Path, locks):
        lock = json.loads(path.read_text(encoding="utf-8"))
        change(lock["packages"])
        lock["packages"] = dict(sorted(lock["packages"].items()))
        path.write_text(json.dumps(lock, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
