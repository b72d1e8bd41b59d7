"""Writes the trained model as a diffusers folder that `LayerFusionPipeline.from_pretrained` loads."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel

from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.defaults import Defaults
from layerfusion.models.locate import FEW_STEP
from recipes.mini.train.autoencoder import load_autoencoder
from recipes.mini.train.base import load_base
from recipes.mini.train.data import KINDS, read_captions
from recipes.mini.train.few_step import load_lora
from recipes.mini.train.foreground import load_offsets
from recipes.mini.train.latents import load_normalised
from recipes.mini.train.sampling import sampler
from recipes.mini.train.settings import GUIDANCE_SCALE, STEPS, Settings
from recipes.mini.train.text import load_tokenizer
from recipes.mini.train.transparency import load_transparency
from recipes.mini.world.vocabulary import for_model

CARD = Path(__file__).with_name("card.md")
# The choice of docs/frontier.md: subjects whole, and in the light. Blended from the first step on, faint ones get lost.
CONFIG = replace(
    LayerFusionConfig().with_harmony(0.5),
    align=0.15,
    blend_range=(0.2, 1.0),
    prior_range=(0.0, 0.3),
    guidance_range=(0.0, 0.6),
)
PASSES = 1  # of the transparent decoder; with the ranges above, the choice of docs/speed.md


def assemble(settings: Settings, run: Path, structure_layer: str | None, structure_sign: int) -> LayerFusionPipeline:
    """The pipeline of a run's last checkpoints, averaged weights, float32 on the CPU."""
    device = torch.device("cpu")
    vae = load_normalised(load_autoencoder(settings, run, device), run)
    base: dict[str, Any] = load_base(settings, run, device)
    encoder, decoder = load_transparency(settings, run, device)
    captions = [caption for kind in KINDS for caption in read_captions(run / "data", kind)]
    scheduler: DPMSolverMultistepScheduler = sampler()
    return LayerFusionPipeline(
        vae=vae,
        **base,
        tokenizer=load_tokenizer(run / "tokenizer"),
        tokenizer_2=load_tokenizer(run / "tokenizer"),
        scheduler=scheduler,
        foreground=load_offsets(base["unet"], settings.offset_rank, run),
        transparent_decoder=decoder,
        transparent_encoder=encoder,
        structure_layer=structure_layer,
        structure_sign=structure_sign,
        defaults=Defaults(
            STEPS, GUIDANCE_SCALE, (settings.size, settings.size), transparency_passes=PASSES, config=CONFIG
        ).to_dict(),
        vocabulary=for_model(settings.tier, captions),
    )


def export(settings: Settings, run: Path, out: Path, structure_layer: str | None, structure_sign: int) -> None:
    """Save the model to `out` in float16 safetensors, with its card, its vocabulary and its defaults.

    With its few-step LoRA as well, where the run has trained one.
    """
    pipeline = assemble(settings, run, structure_layer, structure_sign)
    pipeline.to(torch.float16)
    pipeline.save_pretrained(out, safe_serialization=True)
    # transformers loads in the type its configuration names, diffusers in float32: a default load must not mix them.
    for name in ("text_encoder", "text_encoder_2"):
        path = out / name / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
    if (run / "few_step.safetensors").exists():
        unet = cast(UNet2DConditionModel, load_base(settings, run, torch.device("cpu"))["unet"])
        lora = {name: value.half() for name, value in load_lora(unet, run).items()}
        LayerFusionPipeline.save_lora_weights((out / FEW_STEP).parent, lora)
    shutil.copyfile(CARD, out / "README.md")
