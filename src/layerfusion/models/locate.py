"""From what a user calls a model to the files it is loaded from."""

import difflib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from layerfusion.defaults import Defaults
from layerfusion.errors import LayerFusionError
from layerfusion.files import at_home, look
from layerfusion.models.hub import fetch_model, is_half
from layerfusion.models.presets import PLAIN_SDXL, PRESETS, Preset, read_defaults, read_json

Layout = Literal["layerfusion", "sdxl", "checkpoint"]
EDGE = 1 << 20
FEW_STEP = "few_step/pytorch_lora_weights.safetensors"
"""Where a saved pipeline has its few-step LoRA."""


@dataclass(frozen=True)
class LayerDiffuseFiles:
    """What goes on top of an SDXL: its foreground offsets and its transparent VAE."""

    foreground: Path
    transparent_decoder: Path
    transparent_encoder: Path | None


@dataclass(frozen=True)
class ModelFiles:
    """A model whose files are all on this machine.

    Attributes:
        name: What the user calls it.
        layout: "layerfusion", a saved `LayerFusionPipeline`; "sdxl", a saved `StableDiffusionXLPipeline`; "checkpoint",
            SDXL in one safetensors file.
        path: The folder or the file.
        preset: How it is put together.
        on_top: LayerDiffuse's files, for SDXL; None for "layerfusion", which holds its own.
        half_vae: The folder of a VAE to use in float16.
        few_step: The LoRA of its few-step form, where that was asked for.
        defaults: The settings that go with it.
    """

    name: str
    layout: Layout
    path: Path
    preset: Preset
    on_top: LayerDiffuseFiles | None
    half_vae: Path | None
    few_step: Path | None
    defaults: Defaults

    @property
    def variant(self) -> str | None:
        """ "fp16" where the folder holds its UNet only in that form, as diffusers names it."""
        weights = [file.name for file in (self.path / "unet").glob("*.safetensors")]
        return "fp16" if weights and all(map(is_half, weights)) else None

    def describe(self) -> dict[str, Any]:
        """What a record of a run says of the model: its name, the hub's commit or a fingerprint, files put on top."""
        description: dict[str, Any] = {"name": self.name, "fingerprint": fingerprint(self.path)}
        if self.path.parent.name == "snapshots":
            description["revision"] = self.path.name
        if self.on_top is not None:
            description["foreground_fingerprint"] = fingerprint(self.on_top.foreground)
            description["transparent_decoder_fingerprint"] = fingerprint(self.on_top.transparent_decoder)
            if self.on_top.transparent_encoder is not None:
                description["transparent_encoder_fingerprint"] = fingerprint(self.on_top.transparent_encoder)
        if self.few_step is not None:
            description["few_step_fingerprint"] = fingerprint(self.few_step)
        return description


def locate(
    model: str,
    foreground_weights: str | None = None,
    transparent_decoder: str | None = None,
    transparent_encoder: str | None = None,
    few_step: bool = False,
) -> ModelFiles:
    """Find a model, and download what is not on this machine.

    Args:
        model: The name of a preset; a folder that a `LayerFusionPipeline` or an SDXL pipeline was saved to; an SDXL
            checkpoint (`.safetensors`); or a repository of the hub, `owner/name`.
        foreground_weights, transparent_decoder, transparent_encoder: For SDXL: LayerDiffuse's files, or others of the
            same form; a file or `owner/name:file.safetensors`. The published ones where None; but the published encoder
            goes with the published decoder alone.
        few_step: Find its few-step LoRA too.

    Raises:
        LayerFusionError: something is missing, cannot be fetched, or is not what it should be.
    """
    preset = PRESETS.get(model, PLAIN_SDXL)
    path = here(model) or fetch_model(preset.base or model, preset.revision)
    layout = _layout(path)
    defaults = read_defaults(path, preset.defaults) if path.is_dir() else preset.defaults
    if layout == "layerfusion":
        if foreground_weights or transparent_decoder or transparent_encoder:
            raise LayerFusionError(
                f"{model} brings its own foreground weights and transparent VAE; leave these options out."
            )
        lora = path / FEW_STEP if few_step else None
        if lora is not None and not lora.is_file():
            raise LayerFusionError(f"{model} has no few-step LoRA ({lora} is missing); sample it without.")
        return ModelFiles(model, layout, path, preset, None, None, lora, defaults)

    from layerfusion.weights import find_weights

    encoder = transparent_encoder or (preset.transparent_encoder if transparent_decoder is None else None)
    return ModelFiles(
        model,
        layout,
        path,
        preset,
        on_top=LayerDiffuseFiles(
            find_weights(foreground_weights or preset.foreground),
            find_weights(transparent_decoder or preset.transparent_decoder),
            find_weights(encoder) if encoder else None,
        ),
        half_vae=fetch_model(preset.half_vae) if preset.half_vae else None,
        few_step=find_weights(preset.few_step) if few_step else None,
        defaults=defaults,
    )


def model_folder(model: str) -> Path | None:
    """The folder on this machine that `model` names (a preset or a path), or None."""
    path = here(model)
    return path if path is not None and path.is_dir() else None


def here(model: str) -> Path | None:
    """The folder or file on this machine that `model` names (a preset or a path); None where the hub is to be asked.

    Raises:
        LayerFusionError: it is neither, nor a repository's name.
    """
    base = PRESETS[model].base if model in PRESETS else model
    if model == "mini" and look(Path(base) / "model_index.json") is None:
        raise LayerFusionError(
            "this installation has no embedded model (its weights are missing); install layerfusion again, or choose "
            "another model."
        )
    path = at_home(base)
    if look(path) is not None:
        return path
    if re.fullmatch(r"[\w.-]+/[\w.-]+", base) and path.suffix != ".safetensors":
        return None
    near = difflib.get_close_matches(model.lower()[:100], PRESETS, n=1, cutoff=0.5)
    raise LayerFusionError(
        f"there is no model {model!r}{f' (did you mean {near[0]!r}?)' if near else ''}; choose one of "
        f"{', '.join(PRESETS)}, a folder, a .safetensors checkpoint, or a hub repository owner/name."
    )


def _layout(path: Path) -> Layout:
    """What a file or a folder is.

    Raises:
        LayerFusionError: it is nothing that can be loaded.
    """
    if not path.is_dir():
        _check_checkpoint(path)
        return "checkpoint"
    index = path / "model_index.json"
    if not index.is_file():
        raise LayerFusionError(
            f"{path} holds no model_index.json, so it is no model in diffusers' layout; choose another folder."
        )
    name = read_json(index).get("_class_name")
    if not isinstance(name, str):
        raise LayerFusionError(f"{index} does not say what it is of; save or download the model again.")
    if name == "LayerFusionPipeline":
        return "layerfusion"
    if name.startswith("StableDiffusionXL"):
        return "sdxl"
    raise LayerFusionError(f"{path} holds a {name}; choose a LayerFusionPipeline or a StableDiffusionXLPipeline.")


def _check_checkpoint(path: Path) -> None:
    from layerfusion.weights import read_weights

    keys = read_weights(path)[0]
    if any(key.startswith("cond_stage_model.") for key in keys):
        raise LayerFusionError(f"{path} is a checkpoint of Stable Diffusion 1 or 2; choose one of SDXL.")
    if not any(key.startswith("conditioner.embedders.1.") for key in keys):
        raise LayerFusionError(f"{path} is not an SDXL checkpoint; choose one, or a folder in diffusers' layout.")


def fingerprint(path: Path) -> str:
    """A short hash of a file, or of a folder's configurations and safetensors files: it changes when the model does.

    Of a large file it reads the size, the first and the last mebibyte, which hold the header and some weights.
    """
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted([*path.rglob("*.json"), *path.rglob("*.safetensors")])
    for file in files:
        digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as content:
            digest.update(content.read(EDGE))
            content.seek(max(content.tell(), file.stat().st_size - EDGE))
            digest.update(content.read())
    return digest.hexdigest()[:16]
