"""Files of the published names and keys, at the size of the tiny SDXL."""

import functools
from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file

from layerfusion import LayerFusionPipeline
from layerfusion.offsets import published_form
from layerfusion.transparency import load_transparent
from tests.tiny import tiny_components, tiny_foreground, tiny_transparent_decoder, tiny_transparent_encoder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def tiny_pipeline(**config: Any) -> LayerFusionPipeline:
    components = tiny_components()
    return LayerFusionPipeline(
        **components,
        foreground=tiny_foreground(components["unet"]),
        transparent_decoder=tiny_transparent_decoder(),
        transparent_encoder=tiny_transparent_encoder(),
        **config,
    )


def save_sdxl(folder: Path, **options: Any) -> Path:
    """A plain SDXL, as `StableDiffusionXLPipeline.save_pretrained` writes it."""
    StableDiffusionXLPipeline(**tiny_components()).save_pretrained(folder, **options)
    return folder


def save_layerdiffuse(folder: Path) -> Path:
    """LayerDiffuse's three files under their published names."""
    folder.mkdir(parents=True, exist_ok=True)
    unet = tiny_components()["unet"]
    files = {
        "ld_diffusers_sdxl_attn": published_form(tiny_foreground(unet), "dense", unet),
        "ld_diffusers_sdxl_vae_transparent_decoder": tiny_transparent_decoder().state_dict(),
        "ld_diffusers_sdxl_vae_transparent_encoder": tiny_transparent_encoder().state_dict(),
    }
    for name, weights in files.items():
        save_file({key: value.contiguous() for key, value in weights.items()}, folder / f"{name}.safetensors")
    return folder


def in_cache(cache: Path, repository: str) -> Path:
    """The folder of a repository's snapshot in a hub cache, which is laid out on the way."""
    root = cache / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    snapshot = root / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


def read_tiny_transparency(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published files carry no widths: let the loader expect the tiny ones."""
    widths: dict[str, dict[str, Any]] = {
        "TransparentDecoder": dict(tiny_transparent_decoder().config),
        "TransparentEncoder": dict(tiny_transparent_encoder().config),
    }

    @functools.wraps(load_transparent)
    def load(kind: Any, source: Any) -> Any:
        config = {key: value for key, value in widths[kind.__name__].items() if not key.startswith("_")}
        return load_transparent(kind, source, **config)

    monkeypatch.setattr("layerfusion.loading.load_transparent", load)
