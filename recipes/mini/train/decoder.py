"""Stage 1b: the autoencoder's decoder alone, on the frozen latents, while the base learns to make such latents."""

from pathlib import Path

import numpy as np
import torch

from recipes.mini.train.autoencoder import load_autoencoder, reconstruction_loss
from recipes.mini.train.data import KINDS, Pictures, choose, mixture
from recipes.mini.train.latents import SCALING_FACTOR, load_latents, load_normalised
from recipes.mini.train.loop import Loop
from recipes.mini.train.settings import Settings
from recipes.mini.train.sheets import save_sheet


def train_decoder(settings: Settings, run: Path, device: torch.device, images: int) -> None:
    """Train the decoder; `load_normalised` takes it from its checkpoint from then on."""
    pictures = {kind: Pictures(run / "data", kind) for kind in KINDS}
    latents = {kind: load_latents(run, kind)["mean"] for kind in KINDS}
    vae = load_normalised(load_autoencoder(settings, run, device), run)
    modules = {"decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv}
    for module in modules.values():
        module.requires_grad_(True)
    loop = Loop(run, "decoder", modules, images, peak=5e-4, ema=0.99, device=device)
    generator = np.random.default_rng((5, loop.step))
    for step, due in loop.steps():
        chosen = choose(pictures, settings.vae_batch, generator)
        target = 2 * mixture(pictures, chosen).to(device) - 1
        latent = torch.cat([latents[kind][indices] for kind, indices in chosen.items()]).to(device).float()
        with loop.autocast():
            result = vae.decode(latent / SCALING_FACTOR).sample.float()
        loss = reconstruction_loss(result, target)
        loop.update(loss, settings.vae_batch)
        if due:
            save_sheet(run / f"decoder-{step:06d}.png", [(one / 2 + 0.5).clamp(0, 1) for one in (target, result)])
