"""What goes over the wire: requests as clients write them, and what they read of runs, layers and the model."""

import hashlib
import json
from typing import Annotated, Any, Literal, get_args

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, create_model

from layerfusion.errors import LayerFusionError
from layerfusion.layers import LayerStack
from layerfusion.layers.composite import Blend
from layerfusion.runs import Request
from layerfusion.serve.settings import Settings
from layerfusion.serve.store import Moment, Run, State

RECORD = "triplet.json"
# What a request says for the command alone, or the server decides for every client.
OF_THE_SERVER = {"model", "foreground_weights", "transparent_decoder", "device", "dtype", "offload"}
OF_THE_COMMAND = {"count", "batch_size"}
# They name files of the machine, which no client may: a client has uploads.
OF_FILES = {"foregrounds", "foreground_image", "background_image", "blended_image", "mask_image", "fingerprints"}
# What may differ between runs that are sampled together.
OF_ONE = {"foreground_prompt", "background_prompt", "seed"}
UPLOAD_ID = r"^[0-9a-f]{32}$"
RunId = Annotated[str, Path(pattern=r"^[0-9a-f]{24}$", description="As `POST /v1/runs` gave it.")]


def _asked() -> dict[str, Any]:
    """The fields of a request that a client may give, as `Request` has them."""
    fields = Request.model_fields
    kept: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in fields.items()
        if name not in OF_THE_SERVER | OF_THE_COMMAND | OF_FILES
    }
    kept["config"] = (dict[str, Any] | None, Field(None, description=fields["config"].description))
    return kept


class Wire(BaseModel):
    """Every body: unknown names are refused."""

    model_config = ConfigDict(extra="forbid")


RunRequest: type[BaseModel] = create_model(
    "RunRequest", __base__=Wire, __doc__="What is asked of a run; what is left out, the model decides.", **_asked()
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
            pattern=r"^/v1/(runs/[0-9a-f]{24}/(layers/[0-9]{1,4}|pictures/[a-z]{1,20})|uploads/[0-9a-f]{32})\.png$",
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
    request = of_the_server(given, settings)
    if request.steps is not None and request.steps > settings.steps:
        raise LayerFusionError(f"{request.steps} steps are too many here; the limit is {settings.steps}.")
    width, height = request.width or size[0], request.height or size[1]
    if width > size[0] * settings.scale or height > size[1] * settings.scale:
        most = f"{size[0] * settings.scale}x{size[1] * settings.scale}"
        raise LayerFusionError(f"{width}x{height} pixels are too many here; the limit is {most}.")
    if multiple is not None and (width % multiple or height % multiple):
        raise LayerFusionError(f"the size {width}x{height} is not divisible by {multiple}; give another.")
    return given


def of_the_server(asked: dict[str, Any], settings: Settings) -> Request:
    """What a client asked for, with this server's model."""
    own = {name: getattr(settings.asked, name) for name in OF_THE_SERVER}
    return Request.checked({**asked, **own})


def alike(asked: dict[str, Any]) -> str:
    """The same for requests that can be sampled together."""
    kept = {name: value for name, value in asked.items() if name not in OF_ONE}
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
        result["record"] = f"{at}/{RECORD}"
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
