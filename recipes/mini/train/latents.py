"""Latents, made once after the autoencoder is frozen."""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor

from layerfusion.files import atomic_write
from layerfusion.transparency import TransparentEncoder, alpha_and_padded_rgb
from layerfusion.transparency.encoder import OFFSET_GAIN
from recipes.mini.precision import fast_products
from recipes.mini.train.data import KINDS, Pictures, over_grey
from recipes.mini.train.loop import load_averaged

SCALING_FACTOR = 0.13025
"""As in SDXL; `normalise` gives the latents the spread that goes with it."""


@torch.no_grad()
def normalise(vae: AutoencoderKL, mean: Tensor, std: Tensor) -> None:
    """Fold mean and spread of every latent channel (4,) into the two 1x1 convolutions around the latent.

    Afterwards latents have mean 0 and standard deviation 1 / SCALING_FACTOR in every channel, and pictures decode
    as before.
    """
    gain = 1 / (std * SCALING_FACTOR)
    encode, decode = vae.quant_conv, vae.post_quant_conv
    encode.weight[:4] *= gain[:, None, None, None]
    encode.bias[:4] = (encode.bias[:4] - mean) * gain
    encode.bias[4:] += 2 * gain.log()
    decode.bias += torch.einsum("oihw,i->o", decode.weight, mean)
    decode.weight /= gain[None, :, None, None]
    vae.register_to_config(scaling_factor=SCALING_FACTOR)


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, run: Path, device: torch.device, batch: int = 4) -> None:
    """Measure and fold the latents' spread, then write `latents/<kind>.safetensors`: scaled mean and std, fp16.

    Few at a time and channels last: twice as fast on a CPU as large batches, which leave its caches.

    The moments that were folded stand in `latents/moments.json`; `load_normalised` reads them.
    """
    vae = vae.to(memory_format=torch.channels_last)
    folder = run / "latents"
    folder.mkdir(exist_ok=True)
    pictures = {kind: Pictures(run / "data", kind) for kind in KINDS}
    if not (folder / "moments.json").exists():
        sample = torch.cat(
            [_posterior(vae, p, np.arange(0, len(p), len(p) // 300), device)[0] for p in pictures.values()]
        )
        moments = {"mean": sample.mean(dim=(0, 2, 3)).tolist(), "std": sample.std(dim=(0, 2, 3)).tolist()}
        (folder / "moments.json").write_text(json.dumps(moments))
    load_normalised(vae, run)
    for kind, source in pictures.items():
        if (folder / f"{kind}.safetensors").exists():
            continue
        parts = [
            _posterior(vae, source, np.arange(start, min(start + batch, len(source))), device)
            for start in range(0, len(source), batch)
        ]
        both = {name: torch.cat([part[i] for part in parts]) for i, name in enumerate(("mean", "std"))}
        with atomic_write(folder / f"{kind}.safetensors") as path:
            save_file({name: (value * SCALING_FACTOR).half().contiguous() for name, value in both.items()}, path)
        print(f"{kind}: {len(source)} latents", flush=True)


def load_normalised(vae: AutoencoderKL, run: Path) -> AutoencoderKL:
    """Fold the measured moments of the run's latents into its freshly loaded autoencoder.

    Once the decoder has been trained further on those latents, it takes the first one's place.
    """
    moments = json.loads((run / "latents" / "moments.json").read_text())
    device = vae.device
    normalise(vae, torch.tensor(moments["mean"], device=device), torch.tensor(moments["std"], device=device))
    if (run / "decoder.safetensors").exists():
        load_averaged(run, "decoder", {"decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv})
    return vae


def load_latents(run: Path, kind: str) -> dict[str, Tensor]:
    """`mean` and `std` (N, 4, h, w) fp16 of the scaled posterior; x_a stands under `mean` of kind `transparent`."""
    return load_file(run / "latents" / f"{kind}.safetensors")


@torch.no_grad()
def encode_foregrounds(encoder: TransparentEncoder, run: Path, device: torch.device, batch: int = 8) -> None:
    """Write `latents/transparent.safetensors`: the foregrounds' latents with the transparency offset, scaled, fp16."""
    source, plain = Pictures(run / "data", "foreground"), load_latents(run, "foreground")
    parts = []
    for start in range(0, len(source), batch):
        rgba = source.take(np.arange(start, min(start + batch, len(source)))).to(device)
        with fast_products(device.type):
            offset = encoder(alpha_and_padded_rgb(rgba)).float() * OFFSET_GAIN
        mean, std = (plain[name][start : start + batch].to(device).float() for name in ("mean", "std"))
        parts.append((mean + std * offset).half().cpu())
    with atomic_write(run / "latents" / "transparent.safetensors") as path:
        save_file({"mean": torch.cat(parts).contiguous()}, path)


@torch.no_grad()
def _posterior(
    vae: AutoencoderKL, source: Pictures, indices: np.ndarray, device: torch.device
) -> tuple[Tensor, Tensor]:
    batch = source.take(indices).to(device)
    pixels = over_grey(batch) if source.kind == "foreground" else batch
    with fast_products(device.type):
        posterior = vae.encode(2 * pixels - 1).latent_dist
    return posterior.mean.float().cpu(), posterior.std.float().cpu()
