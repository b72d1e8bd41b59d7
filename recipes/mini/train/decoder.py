"""Stage 1b: the autoencoder's decoder alone, on the frozen latents, while the base learns to make such latents."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from recipes.mini.train.autoencoder import CROP_SHARE, load_autoencoder, reconstruction_loss
from recipes.mini.train.data import KINDS, Pictures, choose, mixture
from recipes.mini.train.latents import SCALING_FACTOR, load_latents, load_normalised
from recipes.mini.train.loop import Loop
from recipes.mini.train.settings import Settings
from recipes.mini.train.sheets import save_sheet

CROPS = 6
"""Pictures a step, of half the side, in the first part of the stage (`autoencoder.CROP_SHARE`)."""
TEXTURE_WEIGHT, WINDOW = 6.0, 8


def texture_loss(result: Tensor, target: Tensor) -> Tensor:
    """How unlike two pictures' textures are: their contrast between pixels, in windows that overlap by half.

    A latent does not hold where each blade of grass is, and the pixels' error is least where none is drawn. This error
    is least where there is as much of it as in the target, wherever it is.

    Args:
        result, target: (B, 3, H, W).

    Returns:
        The mean difference, a scalar.
    """

    def contrast(picture: Tensor) -> Tensor:
        right, down = picture.diff(dim=3)[..., 1:-1, 1:], picture.diff(dim=2)[..., 1:, 1:-1]
        around = picture[..., 2:, 1:-1] + picture[..., :-2, 1:-1] + picture[..., 1:-1, 2:] + picture[..., 1:-1, :-2]
        laplacian = 4 * picture[..., 1:-1, 1:-1] - around
        return avg_pool2d(torch.cat([right, down, laplacian], dim=1).abs(), WINDOW, WINDOW // 2)

    return (contrast(result) - contrast(target)).abs().mean()


def train_decoder(settings: Settings, run: Path, device: torch.device, images: int) -> None:
    """Train the decoder; `load_normalised` takes it from its checkpoint from then on."""
    pictures = {kind: Pictures(run / "data", kind) for kind in KINDS}
    latents = {kind: load_latents(run, kind)["mean"] for kind in KINDS}
    vae = load_normalised(load_autoencoder(settings, run, device), run)
    modules = {"decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv}
    for module in modules.values():
        module.requires_grad_(True)
    loop = Loop(run, "decoder", modules, images, peak=4e-4, ema=0.99, device=device)
    generator = np.random.default_rng((5, loop.step))
    for step, due in loop.steps():
        whole = loop.progress >= CROP_SHARE
        chosen = choose(pictures, settings.vae_batch if whole else CROPS, generator)
        target = 2 * mixture(pictures, chosen) - 1
        latent = torch.cat([latents[kind][indices] for kind, indices in chosen.items()]).float()
        if not whole:
            half = settings.size // 16
            top, left = (int(generator.integers(half + 1)) for _ in range(2))
            latent = latent[..., top : top + half, left : left + half]
            target = target[..., 8 * top : 8 * (top + half), 8 * left : 8 * (left + half)]
        target, latent = target.to(device), latent.to(device)
        with loop.autocast():
            result = vae.decode(latent / SCALING_FACTOR).sample.float()
        reconstruction, texture = reconstruction_loss(result, target), texture_loss(result, target)
        loop.update(
            reconstruction + TEXTURE_WEIGHT * texture, len(target), l1=reconstruction.item(), texture=texture.item()
        )
        if due:
            save_sheet(run / f"decoder-{step:06d}.png", [(one / 2 + 0.5).clamp(0, 1) for one in (target, result)])
