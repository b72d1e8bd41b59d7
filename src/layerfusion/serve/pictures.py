"""/v1/uploads: pictures that clients send: checked, decoded, and kept as plain PNGs under their hash."""

import asyncio
import hashlib
import io
import os
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import FileResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

from layerfusion.errors import LayerFusionError
from layerfusion.files import atomic_write
from layerfusion.layers.limits import decode, size_of
from layerfusion.serve.runs import NEVER_CHANGES, PNG
from layerfusion.serve.settings import Settings
from layerfusion.serve.wire import UploadInfo

router = APIRouter(tags=["uploads"])
LONGEST_UPLOAD = 60.0  # seconds
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF")
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            f"image/{name.lower()}": {"schema": {"type": "string", "contentMediaType": f"image/{name.lower()}"}}
            for name in FORMATS
        },
    }
}
UploadId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$", description="As `POST /v1/uploads` gave it.")]


@router.post("/v1/uploads", status_code=201, response_model=UploadInfo, openapi_extra=BODY)
async def upload(request: Request) -> UploadInfo:
    """Send a picture (PNG, JPEG, WebP, AVIF) as the body; the same picture gets the same id."""
    async with request.app.reading:
        try:
            data = await asyncio.wait_for(request.body(), LONGEST_UPLOAD)
        except TimeoutError:
            raise HTTPException(
                408, f"the picture did not arrive within {LONGEST_UPLOAD:.0f} s; send it again."
            ) from None
        async with request.app.heavy:
            return await run_in_threadpool(keep, request.app.settings, data)


@router.get("/v1/uploads/{upload_id}.png", response_class=FileResponse, responses=PNG)
def read_upload(upload_id: UploadId, request: Request) -> FileResponse:
    """A picture that was sent."""
    return FileResponse(upload_file(request.app.settings, upload_id), media_type="image/png", headers=NEVER_CHANGES)


def keep(settings: Settings, data: bytes, what: str = "the upload") -> UploadInfo:
    """Check a picture and keep it.

    Raises:
        LayerFusionError: it is no picture of these kinds, too large, or damaged.
    """
    width, height = size_of(io.BytesIO(data), what, FORMATS)
    if width * height > settings.upload_pixels:
        raise LayerFusionError(
            f"{what} is {width}×{height} pixels; the limit is {settings.upload_pixels / 1e6:.1f} million in all, so "
            "make it smaller first."
        )
    upload_id = hashlib.sha256(data).hexdigest()[:32]
    file = settings.uploads / f"{upload_id}.png"
    try:
        os.utime(file)  # it is wanted again, and so does not expire
    except FileNotFoundError:
        pixels = decode(io.BytesIO(data), what, FORMATS)
        with atomic_write(file) as place:
            Image.fromarray(pixels).save(place, "PNG", compress_level=1)
    return _info(upload_id, file)


def upload_file(settings: Settings, upload_id: str) -> File:
    """Where an upload is; 404 where there is none."""
    file = settings.uploads / f"{upload_id}.png"
    if not file.is_file():
        raise HTTPException(404, f"there is no upload {upload_id}; it may have expired, so send it again.")
    return file


def _info(upload_id: str, file: File) -> UploadInfo:
    width, height = size_of(file, "the upload", ("PNG",))
    return UploadInfo(id=upload_id, width=width, height=height, picture=f"/v1/uploads/{upload_id}.png")
