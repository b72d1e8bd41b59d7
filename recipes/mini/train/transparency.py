"""Stages 2 and 2b: latent transparency. The autoencoder is frozen.

First offset encoder and transparent decoder learn together, on crops of half the side: four times the variety for the
same work. Then the encoder rests, and the decoder learns on from what it made, on whole pictures: in a crop it cannot
know that the border of a picture is empty.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from layerfusion.transparency import TransparentDecoder, TransparentEncoder, alpha_and_padded_rgb
from layerfusion.transparency.encoder import OFFSET_GAIN
from recipes.mini.train.autoencoder import load_autoencoder
from recipes.mini.train.data import Pictures, over_grey
from recipes.mini.train.latents import SCALING_FACTOR, encode_foregrounds, load_latents, load_normalised
from recipes.mini.train.loop import Loop, load_averaged
from recipes.mini.train.settings import Settings
from recipes.mini.train.sheets import save_sheet

HARMLESS_WEIGHT = 1.0
"""Of the distance between the VAE's picture of the changed latent and the picture over grey."""
OFFSET_WEIGHT = 0.02
"""Of the squared offset, in units of the latents' spread: what the foreground UNet must learn stays small."""
LATENT_NOISE = 0.1
"""Noise on the latents the decoder sees, in the same units: generated latents are never exact."""


def build_transparency(settings: Settings) -> tuple[TransparentEncoder, TransparentDecoder]:
    """Both modules at the run's widths."""
    decoder = TransparentDecoder(settings.decoder, layers_per_block=1, attention_levels=1)
    return TransparentEncoder(settings.encoder), decoder


def load_transparency(
    settings: Settings, run: Path, device: torch.device
) -> tuple[TransparentEncoder, TransparentDecoder]:
    """The trained modules of a run, averaged and frozen; the decoder as its own stage left it, where that was run."""
    encoder, decoder = build_transparency(settings)
    load_averaged(run, "transparency", {"encoder": encoder, "decoder": decoder})
    if (run / "alpha.safetensors").exists():
        load_averaged(run, "alpha", {"decoder": decoder})
    return tuple(one.to(device).eval().requires_grad_(False) for one in (encoder, decoder))


def train_transparency(settings: Settings, run: Path, device: torch.device, images: int) -> None:
    """Train encoder and decoder, then encode all foregrounds for the next stages."""
    torch.manual_seed(0)
    encoder, decoder = (one.to(device) for one in build_transparency(settings))
    modules = {"encoder": encoder, "decoder": decoder}
    loop = Loop(run, "transparency", modules, images, peak=1e-3, ema=0.99, device=device)
    _train(settings, run, loop, encoder, decoder, joint=True)
    encoder, _ = load_transparency(settings, run, device)
    encode_foregrounds(encoder, run, device)


def train_alpha(settings: Settings, run: Path, device: torch.device, images: int) -> None:
    """Train the decoder alone."""
    encoder, decoder = load_transparency(settings, run, device)
    decoder.train().requires_grad_(True)
    loop = Loop(run, "alpha", {"decoder": decoder}, images, peak=5e-4, ema=0.99, device=device)
    _train(settings, run, loop, encoder, decoder, joint=False)


def _train(
    settings: Settings, run: Path, loop: Loop, encoder: TransparentEncoder, decoder: TransparentDecoder, joint: bool
) -> None:
    device = loop.device
    pictures, latents = Pictures(run / "data", "foreground"), load_latents(run, "foreground")
    vae = load_normalised(load_autoencoder(settings, run, device), run)
    generator = np.random.default_rng((4, loop.step))
    torch.manual_seed(loop.step)
    # Four crops of half the side are the work of one picture, and are counted so.
    count = max(1, settings.transparency_batch // 4)
    for step, due in loop.steps():
        chosen = np.sort(generator.integers(len(pictures), size=4 * count if joint else count))
        rgba = pictures.take(chosen).to(device)
        mean, std = (latents[name][chosen].to(device).float() for name in ("mean", "std"))
        if joint:
            side = settings.size // 16  # of the crop, on the latents' grid
            top, left = (int(generator.integers(side + 1)) for _ in range(2))
            rgba = rgba[..., 8 * top : 8 * (top + side), 8 * left : 8 * (left + side)]
            mean, std = (one[..., top : top + side, left : left + side] for one in (mean, std))
        with loop.autocast():
            target, pixels, result, offset = _pass(vae, encoder, decoder, rgba, mean, std, joint, int(step % 8))
        harmless = (pixels.float() - over_grey(rgba)).abs().mean()
        alpha, colour = _errors(result.float(), target)
        penalty = offset.float().pow(2).mean()
        loss = alpha + colour + HARMLESS_WEIGHT * harmless + OFFSET_WEIGHT * penalty
        parts = {"alpha": alpha.item(), "colour": colour.item(), "harmless": harmless.item(), "offset": penalty.item()}
        loop.update(loss, count, **parts)
        if due:
            rows = [rgba, pixels, target.roll(-1, 1), result.roll(-1, 1)]
            save_sheet(run / f"{loop.stage}-{step:06d}.png", rows, min(8, len(rgba)))


def _pass(
    vae: AutoencoderKL,
    encoder: TransparentEncoder,
    decoder: TransparentDecoder,
    rgba: Tensor,
    mean: Tensor,
    std: Tensor,
    joint: bool,
    view: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One pass through encoder, VAE and decoder, the decoder's part in one of the eight views.

    Returns:
        Target (alpha, padded RGB), the VAE's picture in [0, 1], the decoder's raw result, the offset in units of the
        latents' spread.
    """
    target = alpha_and_padded_rgb(rgba)
    with torch.set_grad_enabled(joint):
        offset = std * OFFSET_GAIN * encoder(target)
        noisy = mean + offset + LATENT_NOISE * torch.rand_like(mean[:, :1, :1, :1]) * torch.randn_like(mean)
        pixels = vae.decode(noisy / SCALING_FACTOR).sample / 2 + 0.5
    turned = [
        torch.rot90(one.flip(3) if view >= 4 else one, view % 4, (2, 3)) for one in (target, pixels.clamp(0, 1), noisy)
    ]
    result = decoder(turned[1], turned[2] / SCALING_FACTOR)
    upright = torch.rot90(result, -(view % 4), (2, 3))
    return target, pixels, upright.flip(3) if view >= 4 else upright, offset


def _errors(result: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """L1 of alpha with its edges, and of colour, which counts where it can be seen."""
    difference = result - target
    alpha = difference[:, :1].abs().mean()
    for dim in (2, 3):
        alpha = alpha + 0.5 * difference[:, :1].diff(dim=dim).abs().mean()
    return alpha, (difference[:, 1:].abs() * (0.1 + target[:, :1])).mean()
