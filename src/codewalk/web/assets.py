"""Templates, and the static files for browsers with the route that serves them.

All are read when this module is imported, so no request waits for a disk.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response

MIN_GZIP_BYTES: Final = 500
"""Bytes from which on a body is compressed: a smaller one fits into one packet anyway."""

_HERE: Final = Path(__file__).parent

# Not `mimetypes`: it asks the operating system, and on Windows .js can be text/plain.
_MEDIA_TYPES: Final[Mapping[str, str]] = MappingProxyType(
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
    """A static file; `gzipped` is None where compression saves nothing."""

    body: bytes
    gzipped: bytes | None
    media_type: str


def _read_templates(folder: Path) -> Mapping[str, str]:
    files = sorted(folder.rglob("*.html"))
    return {path.relative_to(folder).as_posix(): _read_template(path) for path in files}


def _read_template(path: Path) -> str:
    # Indentation is for people: with hundreds of servers it would be a quarter of a page.
    return "\n".join(line.lstrip() for line in path.read_text("utf-8").splitlines())


def _read_assets(folder: Path) -> Mapping[str, Asset]:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in _MEDIA_TYPES]
    return {path.relative_to(folder).as_posix(): _read_asset(path) for path in files}


def _read_asset(path: Path) -> Asset:
    body = path.read_bytes()
    gzipped = gzip.compress(body, mtime=0)
    is_smaller = len(body) >= MIN_GZIP_BYTES and len(gzipped) < 0.9 * len(body)
    media_type = _MEDIA_TYPES[path.suffix]
    return Asset(body=body, gzipped=gzipped if is_smaller else None, media_type=media_type)


def _version(assets: Mapping[str, Asset]) -> str:
    digest = hashlib.sha256()
    for path, asset in assets.items():
        digest.update(f"{path}\0{len(asset.body)}\0".encode() + asset.body)
    return digest.hexdigest()[:12]


TEMPLATES: Final = MappingProxyType(_read_templates(_HERE / "templates"))
"""The text of each template by its name."""

ASSETS: Final = MappingProxyType(_read_assets(_HERE / "static"))
"""Each static file by its path below `static/`."""

VERSION: Final = _version(ASSETS)
"""The version of all static files together. Scripts import each other by relative addresses, so
with one version in the path a page never runs scripts of two versions."""

ADDRESSES: Final = MappingProxyType({path: f"/static/{VERSION}/{path}" for path in ASSETS})
"""The address of each static file, which may be cached for good: a new version has new ones."""

router: Final = APIRouter(include_in_schema=False)


@router.get("/static/{version}/{path:path}")
async def serve_asset(request: Request, version: str, path: str) -> Response:
    """Serve a static file of this version; no token is needed, nothing in it is the user's."""
    asset = ASSETS.get(path) if version == VERSION else None
    if asset is None:
        raise HTTPException(404)
    if asset.gzipped is None or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(asset.body, media_type=asset.media_type)
    headers = {"content-encoding": "gzip", "vary": "Accept-Encoding"}
    return Response(asset.gzipped, media_type=asset.media_type, headers=headers)
