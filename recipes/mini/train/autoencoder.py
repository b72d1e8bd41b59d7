"""Stage 1: the autoencoder, on every kind of picture. Then it is frozen; the next stages work on its latents."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from recipes.mini.train.data import KINDS, Pictures, choose, mixture
from recipes.mini.train.loop import Loop, load_averaged
from recipes.mini.train.settings import Settings
from recipes.mini.train.sheets import save_sheet

KL_WEIGHT = 2e-4
NORM_GROUPS = 8
CROP_SHARE = 0.6
"""First share of the stage that trains on crops of half the side: four times the variety for the same work."""


def build_autoencoder(settings: Settings) -> AutoencoderKL:
    """A factor-8 AutoencoderKL without attention, so that it may train on crops."""
    levels = len(settings.vae)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=settings.vae,
        layers_per_block=settings.vae_layers,
        latent_channels=4,
        norm_num_groups=NORM_GROUPS,
        sample_size=settings.size,
        mid_block_add_attention=False,
    )
    # A posterior as wide as the prior would drown the latent in noise for the first thousand steps.
    nn.init.constant_(vae.quant_conv.bias[4:], -6.0)
    return vae


def load_autoencoder(settings: Settings, run: Path, device: torch.device) -> AutoencoderKL:
    """The frozen autoencoder of a run."""
    vae = build_autoencoder(settings)
    load_averaged(run, "autoencoder", {"vae": vae})
    return vae.to(device).eval().requires_grad_(False)


def reconstruction_loss(result: Tensor, target: Tensor) -> Tensor:
    """L1 on pixels and on their differences to the right and downward (edges), squared error on 4x4 means (colour)."""
    loss = (result - target).abs().mean()
    for dim in (2, 3):
        loss = loss + 0.5 * (result.diff(dim=dim) - target.diff(dim=dim)).abs().mean()
    return loss + 2 * (avg_pool2d(result, 4) - avg_pool2d(target, 4)).pow(2).mean()


def train_autoencoder(settings: Settings, run: Path, device: torch.device, images: int) -> None:
    """Train the autoencoder; checkpoint, log and sheets lie in `run`."""
    pictures = {kind: Pictures(run / "data", kind) for kind in KINDS}
    torch.manual_seed(0)
    vae = build_autoencoder(settings).to(device)
    loop = Loop(run, "autoencoder", {"vae": vae}, images, peak=1e-3, ema=0.998, device=device)
    generator = np.random.default_rng((1, loop.step))
    fixed = mixture(pictures, choose(pictures, 12, np.random.default_rng(0))).to(device)
    for step, due in loop.steps():
        if due:
            _show(vae, loop, fixed, run / f"autoencoder-{step:06d}.png")
        if loop.progress < CROP_SHARE:
            batch = mixture(pictures, choose(pictures, settings.vae_batch * 4, generator))
            top, left = (int(generator.integers(settings.size // 16 + 1)) * 8 for _ in range(2))
            batch = batch[..., top : top + settings.size // 2, left : left + settings.size // 2]
        else:
            batch = mixture(pictures, choose(pictures, settings.vae_batch, generator))
        target = 2 * batch.to(device) - 1
        if step % 2:
            target = target.flip(3)
        with loop.autocast():
            posterior = vae.encode(target).latent_dist
            result = vae.decode(posterior.sample()).sample
        # kl() sums over a picture's latent; its mean keeps the weight independent of the picture's size.
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        reconstruction = reconstruction_loss(result.float(), target)
        loop.update(reconstruction + KL_WEIGHT * kl, settings.vae_batch, kl=kl.item(), l1=reconstruction.item())
    _show(vae, loop, fixed, run / "autoencoder-last.png")


@torch.no_grad()
def _show(vae: AutoencoderKL, loop: Loop, pictures: Tensor, path: Path) -> None:
    loop.ema.store(loop.parameters)
    loop.ema.copy_to(loop.parameters)
    result = vae.decode(vae.encode(2 * pictures - 1).latent_dist.mean).sample / 2 + 0.5
    loop.ema.restore(loop.parameters)
    save_sheet(path, [pictures, result])
