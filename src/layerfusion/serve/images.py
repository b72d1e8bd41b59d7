"""/v1/images: OpenAI's shape, so that programs written for it find layers here."""

import asyncio
import base64
import io
import re
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, File, Form, HTTPException, Request, UploadFile
from PIL import Image, ImageChops
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from layerfusion.runs.words import width_and_height
from layerfusion.serve.pictures import keep, upload_file
from layerfusion.serve.runs import layer_file
from layerfusion.serve.store import ENDED, Run
from layerfusion.serve.wire import Wire

router = APIRouter(tags=["images"])
Background = Literal["auto", "transparent", "opaque"]
OutputFormat = Literal["png", "jpeg", "webp"]
# "a fox in a snowy forest": what stands before the word is the subject, what follows it the scene.
BETWEEN = re.compile(r"\s+(?:in front of|standing in|standing on|sitting on|in|on|at|before|inside|under|by)\s+")
SIZE = r"^(auto|[1-9]\d{0,4}x[1-9]\d{0,4})$"
MAX_SIDE = 4096
PLAIN = "a plain background"
GONE = 1.0  # seconds between two looks whether the client is still there


class GenerationRequest(Wire):
    """OpenAI's request for pictures, and what is ours beyond it."""

    prompt: Annotated[str, Field(min_length=1, max_length=4000, pattern=r"\S", description="Subject, and scene.")]
    model: Annotated[str | None, Field(description="Not looked at: the service has one model.")] = None
    n: Annotated[int | None, Field(ge=1, le=10)] = None
    size: Annotated[str | None, Field(pattern=SIZE)] = None
    background: Annotated[
        Background | None, Field(description="transparent gives the subject cut out; otherwise the whole picture.")
    ] = None
    output_format: OutputFormat | None = None
    output_compression: Annotated[int | None, Field(ge=0, le=100)] = None
    response_format: Literal["b64_json", "url"] | None = None
    quality: Annotated[str | None, Field(description="Not looked at.")] = None
    style: Annotated[str | None, Field(description="Not looked at.")] = None
    moderation: Annotated[str | None, Field(description="Not looked at.")] = None
    user: Annotated[str | None, Field(description="Not looked at.")] = None
    background_prompt: Annotated[
        str | None,
        Field(description="The scene; what follows “in”, “on” or “at” in the prompt where not given.", pattern=r"\S"),
    ] = None
    layers: Annotated[bool, Field(description="Whether to add the layers of each picture.")] = False
    seed: Annotated[int | None, Field(ge=0, lt=1 << 62)] = None
    steps: Annotated[int | None, Field(ge=1, le=1000)] = None
    guidance_scale: Annotated[float | None, Field(ge=0, le=1000)] = None
    harmony: Annotated[float | None, Field(ge=0, le=1)] = None


class GeneratedLayer(Wire):
    """One layer of a picture, bottom first."""

    name: str
    box: list[int]
    z: int
    blend: str
    opacity: float
    visible: bool
    b64_json: str | None = None
    url: str | None = None


class GeneratedImage(Wire):
    """One picture."""

    b64_json: str | None = None
    url: str | None = None
    revised_prompt: Annotated[str, Field(description="Subject and scene, as they were drawn.")]
    run: Annotated[str, Field(description="The run that made it, for everything else there is of it.")]
    seed: int
    layers: list[GeneratedLayer] | None = None


class GeneratedImages(Wire):
    """OpenAI's answer."""

    created: int
    background: Background
    output_format: OutputFormat
    quality: str = "auto"
    size: str
    data: list[GeneratedImage]


@router.post("/v1/images/generations", response_model=GeneratedImages, response_model_exclude_none=True)
async def generate_images(body: GenerationRequest, request: Request) -> GeneratedImages:
    """Make pictures and wait for them; who hangs up cancels what is not done."""
    foreground, background = (body.prompt, body.background_prompt) if body.background_prompt else split(body.prompt)
    size = {} if body.size in (None, "auto") else width_and_height(body.size)
    own = {name: getattr(body, name) for name in ("seed", "steps", "guidance_scale", "harmony")}
    asked = {"foreground_prompt": foreground, "background_prompt": background, **size, **own}
    made = await make(request, asked, body.n or 1)
    return await asyncio.to_thread(_answer, request, body, made)


@router.post("/v1/images/edits", response_model=GeneratedImages, response_model_exclude_none=True)
async def edit_image(
    request: Request,
    image: Annotated[UploadFile, File(description="A photo, or a cut-out with transparency; either is kept.")],
    prompt: Annotated[str, Form(min_length=1, max_length=4000, pattern=r"\S")],
    mask: Annotated[UploadFile | None, File(description="Clear where the subject may be.")] = None,
    model: Annotated[str | None, Form(description="Not looked at.")] = None,
    n: Annotated[int, Form(ge=1, le=10)] = 1,
    size: Annotated[str, Form(pattern=SIZE)] = "auto",
    background: Annotated[Background, Form()] = "auto",
    output_format: Annotated[OutputFormat, Form()] = "png",
    response_format: Annotated[Literal["b64_json", "url"], Form()] = "b64_json",
) -> GeneratedImages:
    """Draw into a photo, or a scene round a cut-out, and wait; the picture is scaled to the size asked for."""
    subject, scene = split(prompt)
    sides = request.app.size if size == "auto" else tuple(width_and_height(size).values())
    async with request.app.reading, request.app.heavy:
        kept, cut_out = await run_in_threadpool(_scaled, request, image, sides, False)
        given = {"foreground_image": kept} if cut_out else {"background_image": kept}
        if mask is not None:
            given["mask_image"] = (await run_in_threadpool(_scaled, request, mask, sides, True))[0]
    asked = {"foreground_prompt": subject, "background_prompt": scene, "width": sides[0], "height": sides[1], **given}
    made = await make(request, asked, n)
    body = GenerationRequest(
        prompt=prompt, background=background, output_format=output_format, response_format=response_format
    )
    return await asyncio.to_thread(_answer, request, body, made)


def _scaled(request: Request, sent: UploadFile, sides: tuple[int, ...], as_mask: bool) -> tuple[str, bool]:
    """Keep a picture scaled to (width, height): its upload's id, and whether it has transparency."""
    settings = request.app.settings
    if max(sides) > MAX_SIDE:
        raise HTTPException(422, f"a side may have {MAX_SIDE} pixels here; give a smaller size.")
    first = keep(settings, sent.file.read(settings.upload_bytes + 1), "the picture")
    with Image.open(upload_file(settings, first.id)) as opened:
        picture = opened.convert("RGBA").resize((sides[0], sides[1]), Image.Resampling.LANCZOS)
    cut_out = bool(np.asarray(picture)[..., 3].min() < 255)
    if as_mask:  # OpenAI's are clear where ours are white
        picture = ImageChops.invert(picture.getchannel("A"))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return keep(settings, file.getvalue()).id, cut_out


def split(prompt: str) -> tuple[str, str]:
    """Subject and scene of one sentence: a fox in a snowy forest → a fox, a snowy forest."""
    subject, *scene = BETWEEN.split(prompt.strip(), maxsplit=1)
    return subject, scene[0] if scene and scene[0].strip() else PLAIN


async def make(request: Request, asked: dict[str, Any], count: int) -> list[Run]:
    """Queue runs with the seeds from the request's on, and wait until all have ended well."""
    app = request.app
    queued: list[str] = []
    try:
        for number in range(count):
            seed = {} if asked.get("seed") is None else {"seed": asked["seed"] + number}
            run, _ = await asyncio.to_thread(app.submit, {**asked, **seed})
            queued.append(run.id)
        return [await _ended(request, run_id) for run_id in queued]
    except BaseException:
        for run_id in queued:
            app.store.cancel(run_id)
        raise


async def _ended(request: Request, run_id: str) -> Run:
    app = request.app
    while True:
        run: Run | None = await asyncio.to_thread(app.store.get, run_id)
        if run is None or run.state == "cancelled":
            raise HTTPException(409, "the run was cancelled.")
        if run.state == "failed":
            raise HTTPException(422, run.error or "the run failed.")
        if run.state in ENDED:
            return run
        if await request.is_disconnected():
            raise HTTPException(499, "the client has hung up.")
        await app.watch.change(GONE)


def _answer(request: Request, body: GenerationRequest, made: list[Run]) -> GeneratedImages:
    results = [run.result or {} for run in made]
    return GeneratedImages(
        created=int(time.time()),
        background=body.background or "auto",
        output_format=body.output_format or "png",
        size=f"{results[0]['width']}x{results[0]['height']}",
        data=[_image(request, body, run) for run in made],
    )


def _image(request: Request, body: GenerationRequest, run: Run) -> GeneratedImage:
    result, folder = run.result or {}, request.app.settings.results / run.folder
    name = "foreground" if body.background == "transparent" else "blended"
    base, as_url = f"{str(request.base_url).rstrip('/')}/v1/runs/{run.id}", body.response_format == "url"
    return GeneratedImage(
        revised_prompt=f"{run.request['foreground_prompt']}, {run.request['background_prompt']}",
        run=run.id,
        seed=result["seed"],
        layers=[_layer(request, run, each, base, as_url) for each in result["layers"]] if body.layers else None,
        **({"url": f"{base}/pictures/{name}.png"} if as_url else {"b64_json": _encoded(folder / f"{name}.png", body)}),
    )


def _layer(request: Request, run: Run, described: dict[str, Any], base: str, as_url: bool) -> GeneratedLayer:
    kept: dict[str, Any] = {key: described[key] for key in ("name", "box", "z", "blend", "opacity", "visible")}
    if as_url:
        return GeneratedLayer(**kept, url=f"{base}/layers/{described['z']}.png")
    file = layer_file(request.app.settings, run, described["z"])
    return GeneratedLayer(**kept, b64_json=_base64(file.read_bytes()))


def _encoded(file: Path, body: GenerationRequest) -> str:
    if body.output_format in (None, "png"):
        return _base64(file.read_bytes())
    with Image.open(file) as opened:
        picture: Image.Image = opened
        if body.output_format == "jpeg":
            # What is clear becomes white, which JPEG has instead.
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
            picture = picture.convert("RGB")
        encoded = io.BytesIO()
        quality = {} if body.output_compression is None else {"quality": body.output_compression}
        picture.save(encoded, body.output_format.upper(), **quality)
    return _base64(encoded.getvalue())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
