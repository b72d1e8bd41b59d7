"""The named models: where their weights come from, and the settings their makers recommend.

A model's own folder may carry its recommendations in `layerfusion.json`, beside `model_index.json`. Every key may be
left out:

    {
      "steps": 20,                      sampling steps
      "guidance_scale": 3.0,            classifier-free guidance; 1 turns it off
      "size": [128, 128],               width and height in pixels
      "negative_foreground": "",        what to steer the foreground away from
      "negative_background": ""         the same for background and blended picture
    }
"""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from layerfusion.errors import LayerFusionError

MINI = Path(__file__).parent / "mini"
DEFAULTS_FILE = "layerfusion.json"
LAYERDIFFUSE = "lllyasviel/LayerDiffuse_Diffusers"


@dataclass(frozen=True)
class Defaults:
    """Settings for where the user gives none; as they stand here, those of LayerDiffuse's authors.

    Attributes:
        steps: Sampling steps.
        guidance_scale: Classifier-free guidance; 1 turns it off.
        size: (width, height) in pixels; None takes the size the UNet was made for.
        negative_foreground, negative_background: What to steer away from; empty for nothing.
    """

    steps: int = 25
    guidance_scale: float = 7.0
    size: tuple[int, int] | None = None
    negative_foreground: str = ""
    negative_background: str = ""


# DPM++ 2M Karras, which LayerDiffuse's weights are used with.
DPM_2M_KARRAS = {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True}


@dataclass(frozen=True)
class Preset:
    """A model by name.

    Attributes:
        name: What `--model` takes.
        base: A folder, or a repository of the hub. A folder holds a whole `LayerFusionPipeline`; a repository holds
            SDXL, and the other files are put on top of it.
        foreground, transparent_decoder, transparent_encoder: LayerDiffuse's files, as `repository:file`.
        half_vae: A repository with a VAE that does not overflow in float16, to take its place there.
        revision: A branch, tag or commit of the base; None for the newest.
        scheduler: Settings of diffusers' DPMSolverMultistepScheduler; None keeps the base's own scheduler.
        structure_layer, structure_sign: As in `LayerFusionPipeline`; None is the paper's choice, or the model's own.
        defaults: Settings for where the user gives none.
    """

    name: str
    base: str
    foreground: str = f"{LAYERDIFFUSE}:ld_diffusers_sdxl_attn.safetensors"
    transparent_decoder: str = f"{LAYERDIFFUSE}:ld_diffusers_sdxl_vae_transparent_decoder.safetensors"
    transparent_encoder: str | None = f"{LAYERDIFFUSE}:ld_diffusers_sdxl_vae_transparent_encoder.safetensors"
    half_vae: str | None = None
    revision: str | None = None
    scheduler: dict[str, Any] | None = None
    structure_layer: str | None = None
    structure_sign: int | None = None
    defaults: Defaults = Defaults()


REALISTIC_NEGATIVE = "face asymmetry, eyes asymmetry, deformed eyes, open mouth"

PRESETS = {
    preset.name: preset
    for preset in (
        Preset("mini", base=str(MINI)),
        Preset(
            "realvisxl",
            base="SG161222/RealVisXL_V4.0",
            scheduler=DPM_2M_KARRAS,
            defaults=Defaults(
                size=(1024, 1024), negative_foreground=REALISTIC_NEGATIVE, negative_background=REALISTIC_NEGATIVE
            ),
        ),
        Preset(
            "sdxl",
            base="stabilityai/stable-diffusion-xl-base-1.0",
            half_vae="madebyollin/sdxl-vae-fp16-fix",
            scheduler=DPM_2M_KARRAS,
            defaults=Defaults(size=(1024, 1024)),
        ),
    )
}
# What any other SDXL is given: LayerDiffuse's weights and settings.
PLAIN_SDXL = Preset("", base="", scheduler=DPM_2M_KARRAS)


def read_defaults(folder: Path, defaults: Defaults) -> Defaults:
    """`defaults`, with what the folder's `layerfusion.json` says in their place.

    Raises:
        LayerFusionError: the file is not JSON, or holds an unknown key or a value of the wrong kind.
    """
    file = folder / DEFAULTS_FILE
    if not file.is_file():
        return defaults
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LayerFusionError(f"{file} cannot be read as JSON ({error}); mend it or remove it.") from None
    known = [field.name for field in fields(Defaults)]
    if not isinstance(values, dict) or not set(values) <= set(known):
        raise LayerFusionError(f"{file} should hold an object with keys among {', '.join(known)}; mend it.")
    for key, value in values.items():
        if not _fits(key, value):
            raise LayerFusionError(f"{file} has a wrong value for {key}: {value!r}; mend it.")
    if "size" in values:
        values["size"] = (values["size"][0], values["size"][1])
    return replace(defaults, **values)


def _fits(key: str, value: Any) -> bool:
    """Whether a value from `layerfusion.json` is of its key's kind."""
    if key == "size":
        return isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value)
    if key == "steps":
        return type(value) is int and value > 0
    return type(value) in (int, float) if key == "guidance_scale" else isinstance(value, str)
