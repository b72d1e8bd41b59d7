"""Several foregrounds as they are asked for: in JSON, and in the words of a command line."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from layerfusion.errors import LayerFusionError
from layerfusion.foregrounds import box_of

MAX_SEED = 2**63 - 1


class AskedForeground(BaseModel):
    """One foreground of several: what `layerfusion.Foreground` takes, with its picture as a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prompt: Annotated[str, Field(description="What it is: 'a red fox'.")]
    image: Annotated[str | None, Field(description="A cut-out to be kept as it is, a file.")] = None
    box: Annotated[
        list[float] | None, Field(description="x, y, width and height as fractions; the whole frame where not given.")
    ] = None
    z: Annotated[float | None, Field(description="The greater the nearer; its place in the list where not given.")] = (
        None
    )
    flip: Annotated[bool, Field(description="Mirrored left to right.")] = False
    negative_prompt: Annotated[str | None, Field(description="What to keep out of it; negative_foreground's else.")] = (
        None
    )
    seed: Annotated[int | None, Field(description="Of its noise alone.", ge=0, le=MAX_SEED)] = None

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("a foreground's prompt is empty; say what to draw.")
        return prompt

    @field_validator("box")
    @classmethod
    def _is_a_box(cls, box: list[float] | None) -> list[float] | None:
        return None if box is None else list(box_of(box))


def complaint_of(complaint: Any) -> str:
    """What is wrong with one of several foregrounds."""
    context, which = complaint.get("ctx", {}), ".".join(map(str, complaint["loc"]))
    if complaint["type"] == "value_error":
        return str(context["error"])
    if complaint["type"] == "missing":
        return f"{which} is missing; say what to draw."
    if complaint["type"] == "extra_forbidden":
        return f"there is no {which}; choose from {', '.join(AskedForeground.model_fields)}."
    shown = repr(complaint["input"])
    return f"wrong value for {which}: {shown if len(shown) <= 60 else shown[:57] + '…'}; give another."


def with_foregrounds(given: dict[str, Any], prompts: list[str], at: list[str], images: list[str]) -> dict[str, Any]:
    """What is asked for, with the foregrounds that --foreground, --at and --foreground-image describe together."""
    given = dict(given)
    if prompts and "background_prompt" not in given and "foreground_prompt" in given:
        # The foregrounds are named by --foreground, so the only argument is the background.
        given["background_prompt"] = given.pop("foreground_prompt")
    if not prompts and not at and len(images) < 2:
        return given | ({"foreground_image": images[0]} if images else {})
    if prompts and "foreground_prompt" in given:
        raise LayerFusionError("a foreground prompt is beside --foreground; give it as a --foreground too.")
    named = prompts or ([given["foreground_prompt"]] if "foreground_prompt" in given else [])
    if not named:
        raise LayerFusionError("--at says where a foreground stands; say with --foreground what it is.")
    for option, values in (("--at", at), ("--foreground-image", images)):
        if len(values) not in (0, len(named)):
            raise LayerFusionError(
                f"{option} is given {len(values)} times for {len(named)} foregrounds; give one for each, or none."
            )
    boxes, files = ([*values, *[None] * (len(named) - len(values))] for values in (at, images))
    each = zip(named, boxes, files, strict=True)
    return given | {"foregrounds": [{"prompt": p, "box": place_of(b), "image": i or None} for p, b, i in each]}


def place_of(text: str | None) -> list[float] | None:
    """0.1,0.5,0.4,0.4 → the four numbers; the whole frame is `all`."""
    if text is None or text.strip().lower() in ("", "all"):
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise LayerFusionError(f"--at {text!r} is not four numbers; write it as 0.1,0.5,0.4,0.4, or all.")
    return numbers
