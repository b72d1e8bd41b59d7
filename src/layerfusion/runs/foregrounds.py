"""Several foregrounds as they are asked for."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from layerfusion.errors import shown
from layerfusion.foregrounds import MAX_SEED, box_of


class AskedForeground(BaseModel):
    """One foreground of several: what `layerfusion.Foreground` takes, with its picture as a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prompt: Annotated[str, Field(description="What it is: 'a red fox'.")]
    image: Annotated[str | None, Field(description="A cut-out to be kept as it is, a file.")] = None
    box: Annotated[
        list[float] | None, Field(description="x, y, width and height as fractions; the whole frame where not given.")
    ] = None
    z: Annotated[
        float | None,
        Field(description="The greater the nearer; its place in the list where not given.", allow_inf_nan=False),
    ] = None
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
    return f"wrong value for {which}: {shown(complaint['input'])}; give another."
