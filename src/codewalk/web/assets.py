"""The files for browsers, as they are sent. They are open to all: nothing of a user is in them."""

from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response

from codewalk.web.files import ASSETS, VERSION

router: Final = APIRouter(include_in_schema=False)


@router.get("/static/{version}/{path:path}")
async def send_file(request: Request, version: str, path: str) -> Response:
    asset = ASSETS.get(path) if version == VERSION else None
    if asset is None:
        raise HTTPException(404)
    if asset.packed is None or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(asset.body, media_type=asset.media_type)
    headers = {"content-encoding": "gzip", "vary": "Accept-Encoding"}
    return Response(asset.packed, media_type=asset.media_type, headers=headers)
