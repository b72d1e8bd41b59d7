"""Small pictures of a run that is still sampled: latents to colours by one linear map, which costs nothing."""

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from layerfusion.latents import encode_picture
from layerfusion.pipeline import LayerFusionPipeline

SIDE = 64  # of the latents; larger ones are halved until they fit
# What the map is learned from: pictures of so many patches of any colour, a side.
PICTURES, PATCHES, PIXELS = 8, 8, 256


class Previewer:
    """From the latents that a step says it will come to, to pictures of them.

    The map is fitted to the VAE at hand: patches of random colours in, and the latents that it gives them.

    Args:
        pipeline: The model.
    """

    @torch.no_grad()
    def __init__(self, pipeline: LayerFusionPipeline) -> None:
        patches = torch.rand(PICTURES, 3, PATCHES, PATCHES, generator=Generator().manual_seed(0))
        pictures = interpolate(patches, size=(PIXELS, PIXELS))
        latents = encode_picture(pipeline.vae, pictures.to(pipeline._execution_device)).cpu()
        colours = adaptive_avg_pool2d(pictures, (latents.shape[-2], latents.shape[-1]))
        self.weights = torch.linalg.lstsq(_with_one(latents), colours.movedim(1, -1).reshape(-1, 3)).solution

    def draw(self, clean: Tensor, index: int) -> dict[str, str]:
        """Foreground, blended and background of triplet `index` as data URLs (PNG); clean: (S, B, 4, h, w)."""
        count = len(clean)
        streams = {"foreground": 0, "blended": count - 2, "background": count - 1}
        return {name: self._url(clean[stream, index]) for name, stream in streams.items()}

    def _url(self, latent: Tensor) -> str:
        file = io.BytesIO()
        Image.fromarray(self.colours(latent)).save(file, "PNG")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()

    def colours(self, latent: Tensor) -> np.ndarray:
        """(4, h, w) → uint8 (height, width, 3), of `SIDE` at most."""
        latent = latent[None].float().cpu()
        while max(latent.shape[-2:]) > SIDE:
            latent = adaptive_avg_pool2d(latent, (latent.shape[-2] // 2, latent.shape[-1] // 2))
        rows = (_with_one(latent) @ self.weights).reshape(*latent.shape[-2:], 3)
        return np.asarray((rows.clamp(0, 1) * 255).round().to(torch.uint8))


def _with_one(latents: Tensor) -> Tensor:
    """(N, 4, h, w) → (N·h·w, 5)"""
    rows = latents.movedim(1, -1).reshape(-1, latents.shape[1])
    return torch.cat([rows, torch.ones(len(rows), 1)], 1)
