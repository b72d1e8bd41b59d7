"""/v1/exports: layers as a client has arranged them, in one file."""

import io
import json
import re
import tempfile
import zipfile
from pathlib import Path as File
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool

from layerfusion.errors import LayerFusionError
from layerfusion.layers import Affine, Layer, LayerStack, write
from layerfusion.layers.limits import FARTHEST, decode, size_of
from layerfusion.layers.resample import grid_size
from layerfusion.runs.record import RECORD_FILE
from layerfusion.serve.pictures import upload_file
from layerfusion.serve.runs import done, layer_file
from layerfusion.serve.wire import FORMATS, ExportRequest, RunId

router = APIRouter(tags=["exports"])
MEDIA = {
    "psd": "image/vnd.adobe.photoshop",
    "ora": "image/openraster",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "html": "text/html",
    "tiff": "image/tiff",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "jpg": "image/jpeg",
    "zip": "application/zip",
}
LARGEST = 8  # times what one upload may have: the pixels of an export, as they are and as they lie
ADDRESS = re.compile(
    r"/v1/(?:runs/(?P<run>\w+)/(?:layers/(?P<z>\d+)|pictures/(?P<name>\w+))|uploads/(?P<upload>\w+))\.png"
)
FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in MEDIA.values()}, "description": "The file."}
}


@router.post("/v1/exports", response_class=Response, responses=FILE)
async def export(body: ExportRequest, request: Request) -> Response:
    """Write layers into one file, where and as they are said to lie; "zip" is a folder of PNGs with a manifest."""
    async with request.app.heavy:
        return await run_in_threadpool(_export, body, request)


@router.get("/v1/runs/{run_id}/layers.{ending}", response_class=Response, responses=FILE)
async def export_run(run_id: RunId, ending: str, request: Request) -> Response:
    """The layers of a run as they came, in one file: psd, ora, pptx, html, tiff, png, webp, avif, jpg or zip."""
    if ending not in FORMATS:
        raise HTTPException(404, f"there is no format {ending!r}; choose from {', '.join(FORMATS)}.")
    run = await run_in_threadpool(done, request, run_id)
    folder = request.app.settings.results / run.folder / "layers"
    async with request.app.heavy:
        return await run_in_threadpool(lambda: _as_file(LayerStack.open(folder), ending))


def _export(body: ExportRequest, request: Request) -> Response:
    files = [_file(request, each.picture) for each in body.layers]
    placed = [Affine(*each.placement) for each in body.layers]
    # Asked of the headers and the places alone, before anything is unpacked or drawn larger than it is.
    own = [size_of(file, each.picture, ("PNG",)) for file, each in zip(files, body.layers, strict=True)]
    drawn = [grid_size(place, size, (FARTHEST, FARTHEST)) for place, size in zip(placed, own, strict=True)]
    pixels = body.width * body.height + sum(width * height for width, height in (*own, *drawn))
    if pixels > (most := LARGEST * request.app.settings.upload_pixels):
        raise LayerFusionError(
            f"the layers have {pixels / 1e6:.0f} million pixels as they lie; the limit is {most / 1e6:.0f} million, so "
            "make them smaller or leave some out."
        )
    layers = [
        Layer(each.name, decode(file, each.picture), place, each.opacity, each.visible, each.blend, each.group)
        for file, place, each in zip(files, placed, body.layers, strict=True)
    ]
    return _as_file(LayerStack(body.width, body.height, layers, _provenance(body, request)), body.format)


def _provenance(body: ExportRequest, request: Request) -> dict[str, Any] | None:
    """The record of the run that layers come from; None where they come from several, or none does."""
    found = [ADDRESS.fullmatch(each.picture) for each in body.layers]
    runs = {match["run"] for match in found if match is not None and match["run"]}
    if len(runs) != 1:
        return None
    run = done(request, runs.pop())
    record: dict[str, Any] = json.loads((request.app.settings.results / run.folder / RECORD_FILE).read_text("utf-8"))
    return record


def _file(request: Request, address: str) -> File:
    """Where the picture is that an address of this service names: a name is looked up, never opened as a path."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise HTTPException(404, "a picture is named by the address that the service gave it.")
    if match["upload"]:
        return upload_file(request.app.settings, match["upload"])
    run = done(request, match["run"])
    if match["z"]:
        return layer_file(request.app.settings, run, int(match["z"]))
    if match["name"] not in (run.result or {}).get("pictures", []):
        raise HTTPException(404, f"the run has no picture {match['name']}.")
    return request.app.settings.results / run.folder / f"{match['name']}.png"


def _as_file(stack: LayerStack, ending: str) -> Response:
    with tempfile.TemporaryDirectory() as folder:
        if ending == "zip":
            data = _zipped(write(stack, File(folder) / "layers"))
        else:
            data = write(stack, File(folder) / f"layers.{ending}").read_bytes()
    headers = {"content-disposition": f'attachment; filename="layers.{ending}"', "cache-control": "no-store"}
    return Response(data, media_type=MEDIA[ending], headers=headers)


def _zipped(folder: File) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for entry in sorted(folder.iterdir()):
            archive.write(entry, f"layers/{entry.name}")
    return file.getvalue()
