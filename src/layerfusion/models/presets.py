"""The named models: where their weights come from, and the settings their makers recommend."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from layerfusion.defaults import Defaults
from layerfusion.errors import LayerFusionError
from layerfusion.files import atomic_write
from layerfusion.method.config import LayerFusionConfig

MINI = Path(__file__).parent / "mini"
DEFAULTS_FILE = "layerfusion.json"
LAYERDIFFUSE = "lllyasviel/LayerDiffuse_Diffusers"


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
        few_step: The LoRA of its few-step form, as `repository:file`.
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
    few_step: str = "latent-consistency/lcm-lora-sdxl:pytorch_lora_weights.safetensors"
    half_vae: str | None = None
    revision: str | None = None
    scheduler: dict[str, Any] | None = None
    structure_layer: str | None = None
    structure_sign: int | None = None
    defaults: Defaults = Defaults()  # noqa: RUF009 (immutable)


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


def read_defaults(folder: Path, otherwise: Defaults) -> Defaults:
    """A saved pipeline's own defaults; of another model `otherwise`, with what its `layerfusion.json` says on top.

    Raises:
        LayerFusionError: the file is not JSON, or holds an unknown key or a value of the wrong type.
    """
    index = folder / "model_index.json"
    own = read_json(index).get("defaults") if index.is_file() else None
    if own is not None:
        return Defaults.from_dict(own, str(index))
    file = folder / DEFAULTS_FILE
    if not file.is_file():
        return otherwise
    values = read_json(file)
    Defaults.from_dict(values, str(file))
    return Defaults.from_dict({**otherwise.to_dict(), **values}, str(file))


def write_config(path: Path, config: LayerFusionConfig) -> Path:
    """Keep a configuration where a model's defaults stand, and leave everything else there as it is.

    In a saved `LayerFusionPipeline` the structure layer and sign become the pipeline's own, which hold for any
    configuration that names none; of another model they stand in `layerfusion.json`, with the rest.

    Args:
        path: The model's folder.
        config: What `defaults.config` is to be.

    Returns:
        The file that was written.

    Raises:
        LayerFusionError: the model is a single file, or its folder cannot be read or written to.
    """
    if not path.is_dir():
        raise LayerFusionError(
            f"{path} is a single file, which has no place for settings; save the model as a folder first, with "
            "save_pretrained."
        )
    defaults = replace(read_defaults(path, Defaults()), config=config)
    file = path / DEFAULTS_FILE
    index = read_json(path / "model_index.json")
    if index.get("_class_name") == "LayerFusionPipeline":
        if config.structure_layer is not None:
            index |= {"structure_layer": config.structure_layer, "structure_sign": config.structure_sign or 1}
            defaults = replace(defaults, config=replace(config, structure_layer=None, structure_sign=None))
        file, values = path / "model_index.json", {**index, "defaults": defaults.to_dict()}
    else:
        values = {**(read_json(file) if file.is_file() else {}), "config": config.to_dict()}
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        LayerFusionError: it is missing, broken, far too large, or holds something else.
    """
    from layerfusion.layers.limits import read_json as read

    values = read(file)
    if not isinstance(values, dict):
        raise LayerFusionError(f"{file} should hold an object; mend it or remove it.")
    return values
