"""What goes over the wire: requests as clients write them, and what they read of runs, layers and the model."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field, create_model

from layerfusion.errors import LayerFusionError
from layerfusion.foregrounds import MAX_FOREGROUNDS
from layerfusion.layers import LayerStack
from layerfusion.layers.composite import Blend
from layerfusion.layers.limits import size_of
from layerfusion.runs import Record, Request
from layerfusion.runs.record import RECORD_FILE
from layerfusion.runs.request import ON_TOP, AskedForeground
from layerfusion.serve.settings import Settings
from layerfusion.serve.store import Moment, Run, State

# What a request says for the command alone, or the server decides for every client.
OF_THE_SERVER = {"model", *ON_TOP, "device", "dtype", "offload"}
OF_THE_COMMAND = {"count", "batch_size", "fingerprints"}
# They name files of the machine, which no client may: a client names uploads instead.
PICTURES = ("foreground_image", "background_image", "blended_image", "mask_image")
PROMPTS = {"foreground_prompt", "background_prompt"}
UPLOAD_ID = r"^[0-9a-f]{32}$"
RunId = Annotated[str, InPath(pattern=r"^[0-9a-f]{24}$", description="As `POST /v1/runs` gave it.")]


class Wire(BaseModel):
    """Every body: unknown names are refused."""

    model_config = ConfigDict(extra="forbid")


UploadName = Annotated[str | None, Field(pattern=UPLOAD_ID, description="An upload's id.")]


def _fields(of: type[BaseModel], without: set[str], **instead: Any) -> dict[str, Any]:
    """The fields of a model that a client may give, some of them with another type."""
    kept = {name: field for name, field in of.model_fields.items() if name not in without}
    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in kept.items()}
    for name, annotation in instead.items():
        fields[name] = (annotation, Field(None, description=kept[name].description))
    return fields


RunForeground: type[BaseModel] = create_model(
    "RunForeground",
    __base__=Wire,
    __doc__="One foreground of several.",
    **_fields(AskedForeground, set(), image=UploadName),
)
RunRequest: type[BaseModel] = create_model(
    "RunRequest",
    __base__=Wire,
    __doc__="What is asked of a run; what is left out, the model decides. Pictures are uploads.",
    **_fields(
        Request,
        OF_THE_SERVER | OF_THE_COMMAND,
        foreground_prompt=str | None,
        foregrounds=Annotated[
            list[RunForeground] | None,  # type: ignore[valid-type]
            Field(min_length=1, max_length=MAX_FOREGROUNDS),
        ],
        config=dict[str, Any] | None,
        **dict.fromkeys(PICTURES, UploadName),
    ),
)

Matrix = Annotated[
    tuple[float, float, float, float, float, float],
    Field(description="a, b, c, d, e, f: x' = a·x + b·y + c, y' = d·x + e·y + f, in pixels of the canvas, y downward."),
]


class LayerInfo(Wire):
    """One layer of a run, as it came."""

    name: str
    z: Annotated[int, Field(description="0 is the lowest.")]
    box: Annotated[list[int], Field(description="left, top, right, bottom of what shows, in pixels of the canvas.")]
    placement: Matrix
    size: Annotated[list[int], Field(description="Width and height of its own pixels.")]
    opacity: float
    visible: bool
    blend: Blend
    group: Annotated[str | None, Field(description="Layers of one group belong together: a subject and its shadow.")]
    picture: Annotated[str, Field(description="Where its pixels are, a PNG.")]


class Progress(Wire):
    """How far a run is."""

    status: State
    stage: Literal["queued", "loading", "sampling", "decoding", "writing", "done", "failed", "cancelled"]
    position: Annotated[int | None, Field(description="How many runs wait before it, while it waits.")] = None
    done: Annotated[int, Field(description="Sampling steps taken.")] = 0
    total: Annotated[int, Field(description="Sampling steps in all; 0 where that is not known yet.")] = 0
    preview: Annotated[str | None, Field(description="What the blended picture is becoming, a data URL.")] = None
    previews: Annotated[
        dict[str, str], Field(description="The same of foreground, blended and background, by name.")
    ] = {}
    error: Annotated[str | None, Field(description="What went wrong and what to do, of a failed one.")] = None


class RunInfo(Progress):
    """A run, and what became of it."""

    id: str
    request: Annotated[dict[str, Any], Field(description="As it was asked.")]
    created: Annotated[float, Field(description="Seconds since 1970, as all times here.")]
    started: float | None = None
    finished: float | None = None
    seed: Annotated[int | None, Field(description="Of a done one: with it, the request gives the same again.")] = None
    width: int | None = None
    height: int | None = None
    warnings: Annotated[list[str], Field(description="What is worth knowing of its prompts, a sentence each.")] = []
    pictures: Annotated[dict[str, str], Field(description="Where each picture is, a PNG, by name.")] = {}
    layers: list[LayerInfo] = []
    record: Annotated[str | None, Field(description="Where the settings are that repeat it with --from.")] = None


class RunList(Wire):
    """Runs, the newest first."""

    runs: list[RunInfo]
    next: Annotated[int | None, Field(description="Give it as `before` for older ones; null where there are none.")]


class Layers(Wire):
    """The layers of a run, bottom first."""

    width: int
    height: int
    layers: list[LayerInfo]


class UploadInfo(Wire):
    """A picture that was sent, to be named in requests and exports."""

    id: Annotated[str, Field(pattern=UPLOAD_ID)]
    width: int
    height: int
    picture: Annotated[str, Field(description="Where it is, a PNG.")]


class ExportedLayer(Wire):
    """One layer of a file to be written."""

    picture: Annotated[
        str,
        Field(
            description="The address of a run's layer or picture, or of an upload, as the service gave it.",
            pattern=r"^/v1/(runs/[0-9a-f]{24}/(layers/[0-9]{1,4}|pictures/[a-z]{1,20}[0-9]{0,2})|uploads/[0-9a-f]{32})\.png$",
        ),
    ]
    name: Annotated[str, Field(min_length=1, max_length=255)]
    placement: Matrix = (1, 0, 0, 0, 1, 0)
    opacity: Annotated[float, Field(ge=0, le=1)] = 1.0
    visible: bool = True
    blend: Blend = "normal"
    group: Annotated[str | None, Field(min_length=1, max_length=255)] = None


ExportFormat = Literal["psd", "ora", "pptx", "html", "tiff", "png", "webp", "avif", "jpg", "zip"]


class ExportRequest(Wire):
    """Layers to be written into one file."""

    format: ExportFormat
    width: Annotated[int, Field(ge=1, le=8192)]
    height: Annotated[int, Field(ge=1, le=8192)]
    layers: Annotated[list[ExportedLayer], Field(min_length=1, max_length=100, description="Bottom first.")]


class Ready(Wire):
    """Whether all is well; what is not is an error."""

    ready: bool


class ErrorDetail(BaseModel):
    """What is wrong and what to do, in the shape of OpenAI's errors."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """Every answer that is no success."""

    error: ErrorDetail


def checked(asked: dict[str, Any], settings: Settings, size: tuple[int, int], multiple: int | None) -> dict[str, Any]:
    """What a client asks for, as it is queued: without what says nothing.

    Args:
        size: The model's own.
        multiple: What sides must be multiples of, where that is known.

    Raises:
        LayerFusionError: a value is wrong, or beyond what this server does.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    for upload in _uploads(given):
        try:
            os.utime(settings.uploads / f"{upload}.png")  # it is wanted, and so does not expire
        except FileNotFoundError:
            raise LayerFusionError(f"there is no upload {upload}; it may have expired, so send it again.") from None
    request = of_the_server(given, settings)
    if request.steps is not None and request.steps > settings.steps:
        raise LayerFusionError(f"{request.steps} steps are too many here; the limit is {settings.steps}.")
    _check_size(request, settings, size, multiple)
    return given


def _check_size(request: Request, settings: Settings, size: tuple[int, int], multiple: int | None) -> None:
    """The size that a run will have: asked for, or that of its pictures, or the model's own."""
    placed = {f"foregrounds.{number}" for number, one in enumerate(request.foregrounds or []) if one.box is not None}
    sizes = {name: size_of(Path(file), "the upload", ("PNG",)) for name, file in request.files().items()}
    fixed = {sides for name, sides in sizes.items() if name not in placed}
    if len(fixed) > 1:
        said = " and ".join(f"{width}x{height}" for width, height in sorted(fixed))
        raise LayerFusionError(f"the pictures of a run are of one size, and these are {said}; make them alike.")
    step = multiple or 1
    own: tuple[int, ...] = tuple(-(-side // step) * step for side in fixed.pop()) if fixed else size
    width, height = request.width or own[0], request.height or own[1]
    most = (size[0] * settings.scale, size[1] * settings.scale)
    for w, h in ((width, height), *sizes.values()):
        if w > most[0] or h > most[1]:
            raise LayerFusionError(
                f"{w}x{h} pixels are too many here; the limit is {most[0]}x{most[1]}, so make it smaller."
            )
    if multiple is None:
        return
    if sizes.keys() - placed and (width, height) != own:
        raise LayerFusionError(
            f"the pictures are for {own[0]}x{own[1]} and the size asked for is {width}x{height}; leave out the size, "
            "or resize the pictures."
        )
    if width % multiple or height % multiple:
        raise LayerFusionError(f"the size {width}x{height} is not divisible by {multiple}; give another.")


def of_the_server(asked: dict[str, Any], settings: Settings) -> Request:
    """What a client asked for, with this server's model, and the files of its uploads."""
    own = {name: getattr(settings.asked, name) for name in OF_THE_SERVER}
    return Request.checked({**asked, **own, **renamed(asked, lambda upload: str(settings.uploads / f"{upload}.png"))})


def _uploads(asked: dict[str, Any]) -> list[str]:
    found: list[str] = []

    def note(upload: str) -> str:
        found.append(upload)
        return upload

    renamed(asked, note)
    return found


def renamed(asked: dict[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """The pictures of a request under other names."""
    names: dict[str, Any] = {name: rename(asked[name]) for name in PICTURES if asked.get(name)}
    if asked.get("foregrounds"):
        names["foregrounds"] = [
            {**each, "image": rename(each["image"])} if each.get("image") else each for each in asked["foregrounds"]
        ]
    return names


def without_places(record: Record) -> Record:
    """A record that names its uploads, and not where on this machine they are."""
    request = record.request
    names = renamed(request.model_dump(include={*PICTURES, "foregrounds"}), lambda file: Path(file).name)
    if foregrounds := names.get("foregrounds"):
        names["foregrounds"] = [AskedForeground(**each) for each in foregrounds]
    return replace(record, request=request.model_copy(update=names))


def alike(asked: dict[str, Any]) -> str:
    """The same for requests that can be sampled together: whatever is drawn of prompts alone may have others."""
    plain = not asked.get("foregrounds") and not any(asked.get(name) for name in PICTURES)
    own = {"seed"} | (PROMPTS if plain and not asked.get("show_priors") else set())
    kept = {name: value for name, value in asked.items() if name not in own}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def describe_layers(stack: LayerStack) -> list[dict[str, Any]]:
    """What `LayerInfo` says of each layer, but for where its pixels are."""
    return [
        {
            "name": layer.name,
            "z": z,
            "box": list(layer.bounds()),
            "placement": list(layer.placement.as_tuple()),
            "size": list(layer.size),
            "opacity": layer.opacity,
            "visible": layer.visible,
            "blend": layer.blend,
            "group": layer.group,
        }
        for z, layer in enumerate(stack)
    ]


def progress_of(run: Run, moment: Moment | None, position: int | None) -> dict[str, Any]:
    """The values of `Progress`."""
    values: dict[str, Any] = {"status": run.state, "stage": run.state, "position": position, "error": run.error}
    if run.state == "running":
        values["stage"] = "loading"
        if moment is not None:
            values |= {"stage": moment.stage, "done": moment.done, "total": moment.total, "previews": moment.previews}
            values["preview"] = moment.previews.get("blended")
    return values


def info_of(run: Run, moment: Moment | None, position: int | None) -> RunInfo:
    """A run as clients read it."""
    at, result = f"/v1/runs/{run.id}", dict(run.result or {})
    if result:
        result["pictures"] = {name: f"{at}/pictures/{name}.png" for name in result["pictures"]}
        result["layers"] = [{**layer, "picture": f"{at}/layers/{layer['z']}.png"} for layer in result["layers"]]
        result["record"] = f"{at}/{RECORD_FILE}"
    return RunInfo(
        id=run.id,
        request=run.request,
        created=run.created,
        started=run.started,
        finished=run.finished,
        **progress_of(run, moment, position),
        **result,
    )


FORMATS = get_args(ExportFormat)
