"""Small pictures of a run that is still sampled: latents to colours by one linear map, which costs nothing."""

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from layerfusion.decoding import decode_picture
from layerfusion.pipeline import LayerFusionPipeline

SIDE = 64  # of the latents; larger ones are halved until they fit


class Previewer:
    """From the latents of a step to pictures of what they are becoming.

    The map is fitted to the model at hand, whatever its VAE: latents in, the colours it decoded them to out. What is
    drawn is the step's estimate of the clean latent, as two successive latents x_s, x_t of a sampler without noise give
    it: both are α·x_0 + σ·ε with one ε, so x_0 = (x_t - σ_t/σ_s · x_s) / (α_t - σ_t/σ_s · α_s).

    Args:
        latents: (S, B, C, h, w), clean.
        pictures: (S·B, 3, H, W), what they decode to, in [0, 1].
    """

    def __init__(self, latents: Tensor, pictures: Tensor) -> None:
        flat = latents.flatten(0, 1).float().cpu()
        colours = (
            adaptive_avg_pool2d(pictures.float().cpu(), (flat.shape[-2], flat.shape[-1])).movedim(1, -1).reshape(-1, 3)
        )
        self.weights = torch.linalg.lstsq(_with_one(flat), colours).solution  # (C + 1, 3)
        self._before: Tensor | None = None

    @classmethod
    def of(cls, pipeline: LayerFusionPipeline, latents: Tensor) -> "Previewer":
        """Fitted to what the pipeline's VAE makes of some clean latents."""
        flat = latents.flatten(0, 1)
        with torch.no_grad():
            pictures = torch.cat([decode_picture(pipeline.vae, one[None]) for one in flat])
        return cls(latents, pictures)

    def begin(self) -> None:
        """A new run: nothing was seen of it yet."""
        self._before = None

    def clean(self, pipeline: LayerFusionPipeline, step: int, latents: Tensor) -> Tensor:
        """The estimate of the clean latents after `step`, from 0; the latents themselves where there is none yet."""
        before, self._before = self._before, latents
        sigmas = getattr(pipeline.scheduler, "sigmas", None)
        if before is None or before.shape != latents.shape or sigmas is None or step + 1 >= len(sigmas):
            return latents
        # Euler's latents keep the signal whole, and so start large; those of the DPM solvers keep the variance.
        whole = float(pipeline.scheduler.init_noise_sigma) > 1
        (a_s, s_s), (a_t, s_t) = (_scales(float(sigmas[i]), whole) for i in (step, step + 1))
        ratio = s_t / s_s
        return (latents - ratio * before) / (a_t - ratio * a_s)

    def draw(self, clean: Tensor, index: int) -> dict[str, str]:
        """Foreground, blended and background of triplet `index` as data URLs (PNG)."""
        count = len(clean)
        streams = {"foreground": 0, "blended": count - 2, "background": count - 1}
        return {name: self._url(clean[stream, index]) for name, stream in streams.items()}

    def _url(self, latent: Tensor) -> str:
        latent = latent[None].float().cpu()
        while max(latent.shape[-2:]) > SIDE:
            latent = adaptive_avg_pool2d(latent, (latent.shape[-2] // 2, latent.shape[-1] // 2))
        height, width = latent.shape[-2:]
        colours = (_with_one(latent) @ self.weights).reshape(height, width, 3).clamp(0, 1)
        picture = Image.fromarray(np.asarray((colours * 255).round().to(torch.uint8)))
        file = io.BytesIO()
        picture.save(file, "PNG")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _with_one(latents: Tensor) -> Tensor:
    """(N, C, h, w) → (N·h·w, C + 1)"""
    rows = latents.movedim(1, -1).reshape(-1, latents.shape[1])
    return torch.cat([rows, torch.ones(len(rows), 1)], 1)


def _scales(sigma: float, whole: bool) -> tuple[float, float]:
    """α and σ of latents α·x_0 + σ·ε, from their ratio."""
    alpha = 1.0 if whole else (1 + sigma**2) ** -0.5
    return alpha, alpha * sigma
