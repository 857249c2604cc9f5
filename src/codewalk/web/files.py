"""The files that the pages are made of, read with this module: nothing waits for a disk later."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

_HERE: Final = Path(__file__).parent

# Said here: what a system says of its files' types can be anything, on Windows text/plain for .js.
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file for browsers; `version` changes with its content."""

    body: bytes
    media_type: str
    version: str


def _read_templates(folder: Path) -> Mapping[str, str]:
    files = sorted(folder.rglob("*.html"))
    return {path.relative_to(folder).as_posix(): _read_template(path) for path in files}


def _read_template(path: Path) -> str:
    # Indented for people: with hundreds of servers that is a quarter of a page.
    return "\n".join(line.lstrip() for line in path.read_text("utf-8").splitlines())


def _read_assets(folder: Path) -> Mapping[str, Asset]:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in _TYPES]
    return {path.relative_to(folder).as_posix(): _read_asset(path) for path in files}


def _read_asset(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(
        body=body,
        media_type=_TYPES[path.suffix],
        version=hashlib.sha256(body).hexdigest()[:12],
    )


TEMPLATES: Final = MappingProxyType(_read_templates(_HERE / "templates"))
"""The text of each template by its name."""

ASSETS: Final = MappingProxyType(_read_assets(_HERE / "static"))
"""Each file below `/static/` by its path there."""

ADDRESSES: Final = MappingProxyType(
    {path: f"/static/{path}?v={asset.version}" for path, asset in ASSETS.items()}
)
"""Where each is to be had, with its version, so that browsers may keep it for good."""
