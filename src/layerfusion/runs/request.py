"""What is asked of a run: one typed object for every face, checked before anything heavy is imported.

A field is written once. The command takes its options from here, the record its keys, the schema and the documentation
their rows.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from layerfusion.defaults import MAX_SIDE
from layerfusion.errors import LayerFusionError, shown
from layerfusion.foregrounds import MAX_FOREGROUNDS, MAX_SEED
from layerfusion.method.config import LayerFusionConfig, Mask
from layerfusion.runs.foregrounds import AskedForeground, complaint_of

MAX_TEXT = 10_000  # characters of a prompt; a model reads about 300
Offload = Literal["none", "model", "sequential", "group"]
DType = Literal["float32", "float16", "bfloat16"]
ON_TOP = ("foreground_weights", "transparent_decoder", "transparent_encoder")
"""The fields that name LayerDiffuse's files, which go on top of an SDXL."""
Panel = Literal["Output", "Pictures", "Sampling", "Model", "Method"]


def asked(description: str, panel: Panel, option: str | None = None, **limits: Any) -> Any:
    """A field that may be left out.

    Args:
        description: For the help, the schema and the documentation.
        panel: Which part of the help it stands in.
        option: The name of the command's option, where it is another than the field's; "" where it has none.
        limits: `ge`, `le`, `min_length` and what else pydantic's Field takes; `by_hand` where the command declares the
            option itself.
    """
    default, by_hand = limits.pop("default", None), limits.pop("by_hand", False)
    extra = {"panel": panel, "option": option, "by_hand": by_hand}
    return Field(default, description=description, json_schema_extra=extra, **limits)


class Request(BaseModel):
    """What is asked of a run. What is None is decided by the model, or by the machine.

    Raises:
        LayerFusionError: by `checked`, where a value is missing, unknown, of the wrong type or out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    foreground_prompt: Annotated[str, Field(description="What stands in front: 'a red fox'.")]
    background_prompt: Annotated[str, Field(description="What it stands in: 'a snowy forest'.")]
    foregrounds: list[AskedForeground] | None = asked(
        "A foreground and, with --at x,y,width,height in fractions, its place; can be repeated, the last is nearest.",
        "Pictures",
        "--foreground",
        by_hand=True,
        min_length=1,
        max_length=MAX_FOREGROUNDS,
    )
    foreground_image: str | None = asked(
        "A cut-out (RGBA) to keep as it is, a file; with several foregrounds one for each, '' for none.",
        "Pictures",
        by_hand=True,
        min_length=1,
    )
    background_image: str | None = asked("A photo to keep as the background, a file.", "Pictures", min_length=1)
    blended_image: str | None = asked(
        "A picture to take apart, a file; --mask-image may say where its subject is.", "Pictures", min_length=1
    )
    mask_image: str | None = asked("Where the subject is, or may be: white in this file.", "Pictures", min_length=1)
    strength: float | None = asked(
        "Of a given cut-out on a given photo: how much of their blend is made anew.", "Pictures", gt=0, le=1
    )
    fingerprints: dict[str, str] | None = asked("SHA-256 of the given pictures, once they are read.", "Pictures", "")
    count: int = asked(
        "How many triplets, in numbered folders, with seeds counted up.", "Output", default=1, ge=1, le=9999
    )
    show_priors: bool = asked("Also draw the priors and masks (as Fig. 3 and 9 of the paper).", "Output", default=False)
    negative_foreground: str | None = asked("What to keep out of the foreground.", "Sampling")
    negative_background: str | None = asked("What to keep out of the background.", "Sampling")
    seed: int | None = asked(
        "The same seed gives the same pixels; drawn where not given.", "Sampling", ge=0, le=MAX_SEED
    )
    fast: bool = asked("In 6 steps, by the model's few-step LoRA: quicker, and coarser.", "Sampling", default=False)
    steps: int | None = asked("Sampling steps; the model's own where not given.", "Sampling", ge=1, le=1000)
    guidance_scale: float | None = asked(
        "How closely to follow the prompts, 1 is off; the model's own where not given.",
        "Sampling",
        "--guidance",
        ge=0,
        le=1000,
    )
    width: int | None = asked("In pixels; the model's own where not given.", "Sampling", "", ge=1, le=MAX_SIDE)
    height: int | None = asked("In pixels; the model's own where not given.", "Sampling", "", ge=1, le=MAX_SIDE)
    batch_size: int | None = asked(
        "Triplets sampled at once with --count; above 1 is faster on a GPU, and repeats only to rounding.",
        "Sampling",
        ge=1,
        le=64,
    )
    harmony: float | None = asked(
        "Light of the subject: 0 its own, 0.5 the scene's, 1 the most; the model's own where not given.",
        "Method",
        ge=0,
        le=1,
    )
    boundary: float | None = asked("d, how hard the mask's edge is; the paper's is 10.", "Method", allow_inf_nan=False)
    mask: Mask | None = asked("What masks are made of: both priors, the structure, or the content alone.", "Method")
    exact: bool = asked(
        "Without the model's own savings: a prior pass and guidance in every step, 8 passes for alpha.",
        "Method",
        default=False,
    )
    transparency_passes: int | None = asked(
        "Passes of the transparent decoder for alpha, 8 or 1; the model's own where not given.", "Method"
    )
    config: LayerFusionConfig | None = asked("Every switch of the method.", "Method", "")
    model: str = asked(
        "mini (the default), realvisxl, sdxl; a folder, a .safetensors checkpoint, or a hub repository.",
        "Model",
        default="mini",
        min_length=1,
    )
    foreground_weights: str | None = asked(
        "For an SDXL: LayerDiffuse's offsets, a file or repository:file.", "Model", min_length=1
    )
    transparent_decoder: str | None = asked("For an SDXL: LayerDiffuse's transparent decoder.", "Model", min_length=1)
    transparent_encoder: str | None = asked(
        "For an SDXL: LayerDiffuse's transparent encoder, for given cut-outs.", "Model", min_length=1
    )
    device: str | None = asked("cuda, cuda:1, mps or cpu; the best there is where not given.", "Model")
    dtype: DType | None = asked("Type of the weights; float16 on CUDA and float32 elsewhere where not given.", "Model")
    offload: Offload | None = asked(
        "What to keep in main memory: whole parts, single layers, groups of layers.", "Model"
    )

    POSITIONAL: ClassVar = ("foreground_prompt", "background_prompt")

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_foregrounds(cls, values: Any) -> Any:
        """Several foregrounds need no foreground prompt: it is all of theirs."""
        if not isinstance(values, dict) or values.get("foreground_prompt") is not None:
            return values
        each = values.get("foregrounds")
        each = each if isinstance(each, list) else []
        prompts = [one.get("prompt") if isinstance(one, dict) else getattr(one, "prompt", None) for one in each]
        told = [prompt for prompt in prompts if isinstance(prompt, str)]
        return values | {"foreground_prompt": " and ".join(told)} if told else values

    @field_validator("foreground_prompt", "background_prompt")
    @classmethod
    def _says_something(cls, prompt: str) -> str:
        if not prompt.strip():
            raise ValueError("is empty; say what to draw")
        return prompt

    @field_validator("transparency_passes")
    @classmethod
    def _eight_or_one(cls, passes: int | None) -> int | None:
        if passes not in (None, 1, 8):
            raise ValueError(f"is {passes}; give 8 or 1")
        return passes

    @field_validator("config", mode="before")
    @classmethod
    def _config_of(cls, value: Any) -> Any:
        return LayerFusionConfig.from_dict(value) if isinstance(value, dict) else value

    @field_validator("*")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" or c == "\0" for c in value):
            raise ValueError("holds characters that are no text; type it again")
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise ValueError(f"is longer than {MAX_TEXT} characters; shorten it")
        return value

    @property
    def has_places(self) -> bool:
        """Whether there are several foregrounds, or one with a place: each then has layers of its own."""
        each = self.foregrounds or []
        return len(each) > 1 or any(one.box is not None or one.flip for one in each)

    def on_top(self) -> dict[str, Any]:
        """LayerDiffuse's files, by the field that names each."""
        return {name: getattr(self, name) for name in ON_TOP}

    @property
    def subjects(self) -> int:
        """How many foregrounds there are."""
        return len(self.foregrounds) if self.foregrounds else 1

    def files(self) -> dict[str, str]:
        """The files of the given pictures, by the field that names each; of foregrounds as foregrounds.0."""
        single = ("foreground_image", "background_image", "blended_image", "mask_image")
        found = {name: getattr(self, name) for name in single}
        found |= {f"foregrounds.{number}": one.image for number, one in enumerate(self.foregrounds or [])}
        return {name: file for name, file in found.items() if file}

    @model_validator(mode="after")
    def _seeds_fit(self) -> "Request":
        if self.seed is not None and self.seed > MAX_SEED - self.count:
            raise ValueError(f"the seed {self.seed} is out of range; give a number from 0 to {MAX_SEED - self.count}.")
        return self

    @classmethod
    def checked(cls, values: dict[str, Any], called: Callable[[str], str] = str) -> "Request":
        """A request from values by name; one that is None is as good as not given.

        Args:
            values: By the names of the fields.
            called: What an error calls a field.

        Raises:
            LayerFusionError: a value is missing, unknown, of the wrong type or out of range.
        """
        try:
            return cls.model_validate({key: value for key, value in values.items() if value is not None})
        except ValidationError as error:
            raise LayerFusionError(_sentence(error, called)) from None

    @classmethod
    def of_model(cls, values: dict[str, Any], called: Callable[[str], str] = str) -> "Request":
        """A request that says which model is used, and where; its prompts are of no account. Otherwise as `checked`."""
        return cls.checked({"foreground_prompt": "a thing", "background_prompt": "a scene", **values}, called)

    def with_seed(self) -> "Request":
        """The same with a seed, drawn where it has none."""
        return self if self.seed is not None else self.model_copy(update={"seed": secrets.randbelow(2**32)})

    def varied(self, own: LayerFusionConfig) -> LayerFusionConfig:
        """The switches of the method: those asked for, or a model's own, with `exact`, the dial and single ones on top.

        Raises:
            LayerFusionError: a single one is out of range.
        """
        config = self.config or own
        if self.exact:
            config = config.exact()
        if self.harmony is not None:
            config = config.with_harmony(self.harmony)
        single: dict[str, Any] = {"mask": self.mask, "boundary": self.boundary}
        return replace(config, **{name: value for name, value in single.items() if value is not None})


def _sentence(error: ValidationError, called: Callable[[str], str]) -> str:
    """pydantic's first complaint, as a sentence that says what to do."""
    first = error.errors()[0]
    location, context = first["loc"], first.get("ctx", {})
    if not location or location[0] == "config":
        # A sentence of our own: of the whole request, or of LayerFusionConfig.
        return str(context.get("error", "the config is no configuration; give an object."))
    name = str(location[0])
    if name == "foregrounds" and len(location) > 1:
        return complaint_of(first)
    says = name.replace("_", " ") if name in Request.POSITIONAL else called(name)
    if first["type"] == "missing":
        return f"the {says} is empty; say what to draw."
    if first["type"] == "extra_forbidden":
        return f"there is no setting {shown(name)}; remove it, or choose from {', '.join(Request.model_fields)}."
    if first["type"] == "value_error":
        return f"the {says} {context['error']}."
    return f"wrong value for {says}: {shown(first['input'])}; {_advice(name, first['type'], context)}."


def _advice(name: str, complaint: str, context: dict[str, Any]) -> str:
    """What to give instead."""
    if complaint == "literal_error":
        return f"choose {context['expected']}"
    field = Request.model_fields.get(name)
    limits = {type(limit).__name__: limit for limit in (field.metadata if field else [])}
    if complaint in ("greater_than", "less_than_equal") and "Gt" in limits:
        return f"give a number above {limits['Gt'].gt}, up to {limits['Le'].le}"
    bounds = [getattr(limits[key], key.lower()) for key in ("Ge", "Le") if key in limits]
    if len(bounds) == 2:
        return f"give a number from {bounds[0]} to {bounds[1]}"
    if complaint == "finite_number":
        return "give a finite number"
    return {
        "string": "give text",
        "int": "give a whole number",
        "float": "give a number",
        "bool": "give true or false",
    }.get(complaint.split("_")[0], "give another")
