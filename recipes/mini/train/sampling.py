"""Plain sampling during training, to look at what a stage has learnt; users sample with the pipeline."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler
from diffusers.schedulers import SchedulerMixin
from torch import Tensor

from layerfusion.transparency import TransparentDecoder
from recipes.mini.precision import fast_products
from recipes.mini.train.latents import SCALING_FACTOR
from recipes.mini.train.settings import GUIDANCE_SCALE, Settings
from recipes.mini.train.sheets import save_sheet
from recipes.mini.train.text import encode_text, load_tokenizer, tokenize

PROMPTS = {
    "foreground": ["a fox", "a red car", "a soap bubble", "a sunflower", "a penguin", "a blue balloon", "a wine glass"],
    "background": [
        "a snowy forest",
        "a sandy beach",
        "a city street",
        "a wooden table",
        "a dark cave",
        "a coral reef",
        "a beach at night",
    ],
    "composite": [
        "a fox in a snowy forest",
        "a red car on a city street",
        "a cat in a dark cave",
        "a wine glass on a wooden table",
        "a penguin on a sandy beach",
        "a sunflower, a rainy forest",
        "a dolphin in a coral reef",
    ],
}


def sampler() -> DPMSolverMultistepScheduler:
    """LayerDiffuse's choice: DPM++ 2M with Karras' noise levels, on SDXL's schedule."""
    return DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", use_karras_sigmas=True
    )


@torch.no_grad()
def sample_latents(
    settings: Settings,
    run: Path,
    modules: dict[str, Any],
    device: torch.device,
    prompts: list[str] | None = None,
    steps: int = 14,
    guidance: float = GUIDANCE_SCALE,
    scheduler: SchedulerMixin | None = None,
) -> Tensor:
    """Scaled latents (B, 4, h, w) for the prompts (by default those above), from fixed noise."""
    prompts = prompts or [prompt for kind in PROMPTS.values() for prompt in kind]
    ids = tokenize(load_tokenizer(run / "tokenizer"), prompts).to(device)
    embeds, pooled = encode_text(modules["text_encoder"], modules["text_encoder_2"], ids)
    embeds = torch.cat([torch.zeros_like(embeds), embeds])
    size = settings.size
    time_ids = torch.tensor([size, size, 0, 0, size, size], device=device).expand(len(embeds), 6)
    extra = {"text_embeds": torch.cat([torch.zeros_like(pooled), pooled]), "time_ids": time_ids}
    scheduler = scheduler or sampler()
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(7)
    latents = torch.randn((len(prompts), 4, size // 8, size // 8), generator=generator).to(device)
    latents = latents * scheduler.init_noise_sigma
    for step in scheduler.timesteps:
        scaled = scheduler.scale_model_input(torch.cat([latents, latents]), step)
        with fast_products(device.type):
            noise = modules["unet"](scaled, step, embeds, added_cond_kwargs=extra).sample
        without, given = noise.float().chunk(2)
        guided = without + guidance * (given - without)
        latents = scheduler.step(guided, step, latents, generator=generator).prev_sample
    return latents


@torch.no_grad()
def show_latents(vae: AutoencoderKL, latents: Tensor, path: Path, decoder: TransparentDecoder | None = None) -> None:
    """Decode and write a sheet, seven pictures a row; with a transparent decoder, their RGBA in rows below."""
    pixels = (vae.decode(latents / SCALING_FACTOR).sample / 2 + 0.5).clamp(0, 1)
    rows = list(pixels.split(7))
    if decoder is not None:
        rows += list(decoder.estimate(pixels, latents / SCALING_FACTOR).split(7))
    save_sheet(path, rows, 7)
