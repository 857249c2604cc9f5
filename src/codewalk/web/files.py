"""The files that the pages are made of, read with this module: nothing waits for a disk later."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

_HERE: Final = Path(__file__).parent
STATIC: Final = _HERE / "static"


def _read_templates(folder: Path) -> Mapping[str, str]:
    files = sorted(folder.rglob("*.html"))
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in files}


def _addresses(folder: Path) -> Mapping[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".js", ".css", ".svg"}:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            found[path.name] = f"/static/{path.relative_to(folder).as_posix()}?v={digest}"
    return found


TEMPLATES: Final = MappingProxyType(_read_templates(_HERE / "templates"))
"""The text of each template by its name."""

ASSETS: Final = MappingProxyType(_addresses(STATIC))
"""The address of each file by its name; it changes with the file's content, so that browsers may
keep the file for good."""
