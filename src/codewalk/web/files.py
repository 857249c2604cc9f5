"""The files that the pages are made of, read with this module: nothing waits for a disk later."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

MIN_GZIP_BYTES: Final = 500
"""Bytes from which on a body is sent packed: a smaller one fits into a packet as it is."""

_HERE: Final = Path(__file__).parent

# Said here: what a system says of its files' types can be anything, on Windows text/plain for .js.
_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".css": "text/css",
        ".js": "text/javascript",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".txt": "text/plain",
        ".webmanifest": "application/manifest+json",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file for browsers; `packed` is its body as gzip makes it, None where that saves nothing."""

    body: bytes
    packed: bytes | None
    media_type: str


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
    packed = gzip.compress(body, mtime=0)
    saves = len(body) >= MIN_GZIP_BYTES and len(packed) < 0.9 * len(body)
    return Asset(body=body, packed=packed if saves else None, media_type=_TYPES[path.suffix])


def _version(assets: Mapping[str, Asset]) -> str:
    told = hashlib.sha256()
    for path, asset in assets.items():
        told.update(f"{path}\0{len(asset.body)}\0".encode() + asset.body)
    return told.hexdigest()[:12]


TEMPLATES: Final = MappingProxyType(_read_templates(_HERE / "templates"))
"""The text of each template by its name."""

ASSETS: Final = MappingProxyType(_read_assets(_HERE / "static"))
"""Each file for browsers by its path below `static/`."""

VERSION: Final = _version(ASSETS)
"""Of all of them together. A script names another by its place beside it, so with one version in
the path a page never runs scripts of two versions."""

ADDRESSES: Final = MappingProxyType({path: f"/static/{VERSION}/{path}" for path in ASSETS})
"""Where each is to be had, for good: another version has other addresses."""
