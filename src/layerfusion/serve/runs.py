"""/v1/runs: what is asked, how far it is, what came of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path as File
from typing import Annotated, Any, cast

from fastapi import APIRouter, Header, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from layerfusion.runs.record import RECORD_FILE
from layerfusion.serve.settings import Settings
from layerfusion.serve.store import ENDED, Run, State
from layerfusion.serve.wire import (
    ErrorBody,
    Layers,
    Progress,
    RunId,
    RunInfo,
    RunList,
    RunRequest,
    info_of,
    progress_of,
)

__all__ = ["REFUSALS", "ErrorBody", "router"]

REFUSALS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "Another host or origin.",
    404: "There is no such thing.",
    405: "Not with this method.",
    409: "It is not so far, or the key was used.",
    413: "The body is too large.",
    415: "No picture of a kind that is taken.",
    422: "A value is wrong; the sentence says which.",
    429: "The queue is full; Retry-After says when to come back.",
    500: "A mistake of the service.",
    503: "Not ready.",
}
EVENT = {
    "type": "object",
    "required": ["event", "id", "data"],
    "properties": {
        "event": {"const": "progress"},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": Progress.model_json_schema(),
        },
    },
}
KEEP_ALIVE = 15.0  # seconds of silence after which a comment keeps proxies from hanging up

router = APIRouter(tags=["runs"])
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "The picture."}}
JSON: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}}, "description": "The record."}}
NEVER_CHANGES = {"cache-control": "private, max-age=31536000, immutable"}


@router.post("/v1/runs", status_code=202, response_model=RunInfo)
def create_run(
    body: cast("Any", RunRequest),  # type: ignore[valid-type]
    request: Request,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> RunInfo:
    """Put a run in the queue; an Idempotency-Key makes sending it twice harmless."""
    run, fresh = request.app.submit(body.model_dump(exclude_unset=True), idempotency_key)
    response.headers["location"] = f"/v1/runs/{run.id}"
    if not fresh:
        response.status_code = 200
    return _info(request, run)


@router.get("/v1/runs", response_model=RunList)
def list_runs(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[int | None, Query(ge=0, le=1 << 62)] = None,
    status: State | None = None,
) -> RunList:
    """The newest runs first."""
    found = request.app.store.newest(limit, before, status)
    return RunList(runs=[_info(request, run) for run in found], next=found[-1].number if len(found) == limit else None)


@router.get("/v1/runs/{run_id}", response_model=RunInfo)
def read_run(run_id: RunId, request: Request) -> RunInfo:
    """A run, and what became of it."""
    return _info(request, found(request, run_id))


@router.delete("/v1/runs/{run_id}", response_model=RunInfo)
def delete_run(run_id: RunId, request: Request) -> RunInfo:
    """Stop a run that waits or works; forget one that has ended, and its pictures."""
    run = found(request, run_id)
    store = request.app.store
    if run.state in ENDED and store.remove(run_id):
        shutil.rmtree(request.app.settings.results / run.folder, ignore_errors=True)
        return info_of(run, None, None)
    store.cancel(run_id)
    return _info(request, store.get(run_id) or run)


@router.get(
    "/v1/runs/{run_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": EVENT}}, "description": "Events."}},
)
async def follow_run(run_id: RunId, request: Request) -> StreamingResponse:
    """Server-sent events: `progress`, with the fields of `Progress`, whenever something changes, until the run ends."""
    await asyncio.to_thread(found, request, run_id)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(request, run_id), media_type="text/event-stream", headers=headers)


async def _events(request: Request, run_id: str) -> AsyncIterator[str]:
    said, quiet, number = None, 0.0, 0
    while True:
        progress = await asyncio.to_thread(_progress, request, run_id)
        if progress is None:
            return
        text = progress.model_dump_json()
        if text != said:
            said, quiet, number = text, 0.0, number + 1
            yield f"event: progress\nid: {number}\ndata: {text}\n\n"
        elif quiet >= KEEP_ALIVE:
            quiet = 0.0
            yield ": still here\n\n"
        if progress.status in ENDED:
            return
        await request.app.watch.change(1.0)
        quiet += 1.0


@router.get("/v1/runs/{run_id}/layers", response_model=Layers)
def read_layers(run_id: RunId, request: Request) -> Layers:
    """Its layers, bottom first; they composite to the picture `layered`."""
    info = _info(request, done(request, run_id))
    return Layers(width=info.width or 0, height=info.height or 0, layers=info.layers)


@router.get("/v1/runs/{run_id}/layers/{z}.png", response_class=FileResponse, responses=PNG)
def read_layer(run_id: RunId, z: Annotated[int, Path(ge=0, le=9999)], request: Request) -> FileResponse:
    """The pixels of one layer, RGBA, without its placement."""
    run = done(request, run_id)
    return FileResponse(layer_file(request.app.settings, run, z), media_type="image/png", headers=NEVER_CHANGES)


@router.get("/v1/runs/{run_id}/pictures/{name}.png", response_class=FileResponse, responses=PNG)
def read_picture(
    run_id: RunId, name: Annotated[str, Path(pattern=r"^[a-z]{1,20}[0-9]{0,2}$")], request: Request
) -> FileResponse:
    """A picture by its name: foreground, background, blended, composite, …"""
    run = done(request, run_id)
    known = (run.result or {}).get("pictures", [])
    if name not in known:
        raise HTTPException(404, f"there is no picture {name}; choose from {', '.join(known)}.")
    file = request.app.settings.results / run.folder / f"{name}.png"
    return FileResponse(file, media_type="image/png", headers=NEVER_CHANGES)


@router.get("/v1/runs/{run_id}/" + RECORD_FILE, response_class=FileResponse, responses=JSON)
def read_record(run_id: RunId, request: Request) -> FileResponse:
    """The settings that repeat it: `layerfusion generate --from triplet.json`."""
    run = done(request, run_id)
    return FileResponse(request.app.settings.results / run.folder / RECORD_FILE, media_type="application/json")


def layer_file(settings: Settings, run: Run, z: int) -> File:
    """Where the pixels of a layer of a done run are."""
    file = next((settings.results / run.folder / "layers").glob(f"{z:02d}-*.png"), None)
    if file is None:
        raise HTTPException(404, f"there is no layer {z} in this run.")
    return file


def found(request: Request, run_id: str) -> Run:
    run: Run | None = request.app.store.get(run_id)
    if run is None:
        raise HTTPException(404, "there is no such run; it may have expired.")
    return run


def done(request: Request, run_id: str) -> Run:
    run = found(request, run_id)
    if run.state != "done":
        raise HTTPException(409, f"the run is {run.state}; its pictures come when it is done.")
    return run


def _info(request: Request, run: Run) -> RunInfo:
    store = request.app.store
    moment = store.moment(run.id) if run.state == "running" else None
    return info_of(run, moment, store.waiting(run.number) if run.state == "queued" else None)


def _progress(request: Request, run_id: str) -> Progress | None:
    store = request.app.store
    run = store.get(run_id)
    if run is None:
        return None
    moment = store.moment(run.id) if run.state == "running" else None
    return Progress(**progress_of(run, moment, store.waiting(run.number) if run.state == "queued" else None))
