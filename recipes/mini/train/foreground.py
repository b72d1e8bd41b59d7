"""Stage 4: the foreground offsets, low-rank on the attention projections, on latents that carry transparency."""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from layerfusion.offsets import ForegroundOffsets, attention_projections
from recipes.mini.train.autoencoder import load_autoencoder
from recipes.mini.train.base import CAPTION_DROPOUT, load_base, noise_loss, use_plain_attention
from recipes.mini.train.data import Pictures
from recipes.mini.train.latents import load_latents, load_normalised
from recipes.mini.train.loop import Loop, load_averaged
from recipes.mini.train.sampling import PROMPTS, sample_latents, show_latents
from recipes.mini.train.settings import Settings
from recipes.mini.train.text import encode_text, load_tokenizer, tokenize
from recipes.mini.train.transparency import load_transparency


def build_offsets(unet: UNet2DConditionModel, rank: int) -> ForegroundOffsets:
    """Zero offsets of a rank for every attention projection of the UNet."""
    linears = attention_projections(unet)
    return ForegroundOffsets({path: [one.in_features, one.out_features, rank] for path, one in linears.items()})


def load_offsets(unet: UNet2DConditionModel, rank: int, run: Path) -> ForegroundOffsets:
    """The trained offsets of a run, averaged and frozen."""
    offsets = build_offsets(unet, rank)
    load_averaged(run, "foreground", {"foreground": offsets})
    return offsets.eval().requires_grad_(False)


def attach(offsets: ForegroundOffsets, unet: UNet2DConditionModel) -> list[RemovableHandle]:
    """Let every projection of the UNet add its offset, so that gradients reach the offsets; the hooks that do it."""
    return [
        unet.get_submodule(path).register_forward_hook(
            lambda _module, inputs, output, offset=offset: output + offset(inputs[0])
        )
        for path, offset in offsets().items()
    ]


def train_foreground(settings: Settings, run: Path, device: torch.device, images: int) -> None:
    """Train the offsets on a frozen base; checkpoint, log and sheets lie in `run`."""
    latents = load_latents(run, "transparent")["mean"]
    modules = load_base(settings, run, device)
    conditions = encode_captions(Pictures(run / "data", "foreground").captions, run / "tokenizer", modules, device)
    unet = cast(UNet2DConditionModel, modules["unet"])
    use_plain_attention(unet, device)
    torch.manual_seed(0)
    offsets = build_offsets(unet, settings.offset_rank).to(device)
    attach(offsets, unet)
    loop = Loop(run, "foreground", {"foreground": offsets}, images, peak=1.5e-3, ema=0.99, device=device)
    generator = np.random.default_rng((3, loop.step))
    torch.manual_seed(loop.step)
    for step, due in loop.steps():
        if due:
            _show(settings, run, loop, modules, run / f"foreground-{step:06d}.png")
        chosen = torch.from_numpy(generator.integers(len(latents), size=settings.unet_batch))
        keep = (torch.rand(len(chosen), device=device) >= CAPTION_DROPOUT).float()
        embeds, pooled = (part[chosen].to(device).float() for part in conditions)
        condition = embeds * keep[:, None, None], pooled * keep[:, None]
        batch = latents[chosen].to(device).float()
        loop.update(noise_loss(unet, batch, condition, settings.size, loop), settings.unet_batch)
    _show(settings, run, loop, modules, run / "foreground-last.png")


@torch.no_grad()
def encode_captions(
    captions: list[str], tokenizer: Path, modules: dict[str, nn.Module], device: torch.device
) -> tuple[Tensor, Tensor]:
    """The frozen encoders' embeddings of every picture's caption, fp16; each distinct caption is encoded once."""
    distinct = sorted(set(captions))
    place = {caption: i for i, caption in enumerate(distinct)}
    ids = tokenize(load_tokenizer(tokenizer), distinct).to(device)
    both = [encode_text(modules["text_encoder"], modules["text_encoder_2"], part) for part in ids.split(256)]
    order = torch.tensor([place[caption] for caption in captions])
    embeds, pooled = (torch.cat([pair[i] for pair in both]).half().cpu()[order] for i in range(2))
    return embeds, pooled


def _show(settings: Settings, run: Path, loop: Loop, modules: dict[str, nn.Module], path: Path) -> None:
    vae = load_normalised(load_autoencoder(settings, run, loop.device), run)
    _, decoder = load_transparency(settings, run, loop.device)
    loop.ema.store(loop.parameters)
    loop.ema.copy_to(loop.parameters)
    latents = sample_latents(settings, run, modules, loop.device, PROMPTS["foreground"])
    show_latents(vae, latents, path, decoder)
    loop.ema.restore(loop.parameters)
