"""Blend pictures that are given: foreground and background are held to them, only the blended stream is generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from layerfusion import LayerFusionConfig, LayerFusionOutput, LayerFusionPipeline
from layerfusion.transparency import encode_transparent
from recipes.mini.triplets import Sampling

REACH = 1 / 8  # of the side: as far from the subject the blended stream is still free to paint shadow and light


def encode_picture(pipe: LayerFusionPipeline, picture: Tensor) -> Tensor:
    """RGB (B, 3, H, W) in [0, 1] → latents as the UNet knows them, the mean of the VAE's posterior."""
    return pipe.vae.encode(2 * picture - 1).latent_dist.mean * pipe.vae.config.scaling_factor


@torch.no_grad()
def harmonize(
    pipe: LayerFusionPipeline,
    prompts: Sequence[tuple[str, str]],
    foregrounds: np.ndarray,
    backgrounds: np.ndarray,
    seeds: Sequence[int],
    config: LayerFusionConfig | None,
    sampling: Sampling,
) -> np.ndarray:
    """The blended pictures (N, H, W, 3) of given foregrounds (N, H, W, 4) and backgrounds (N, H, W, 3), in [0, 1].

    Before every step the latents of the foreground and of the background are those of the given pictures, noised to
    the step with the triplet's own noise; out of the subject's reach those of the blended stream are the background's.
    """
    rgba, rgb = (torch.from_numpy(pictures).movedim(-1, 1) for pictures in (foregrounds, backgrounds))
    foreground = encode_transparent(pipe.vae, pipe.transparent_encoder, rgba)
    background = encode_picture(pipe, rgb)
    noise = torch.stack([torch.randn(background.shape[1:], generator=torch.Generator().manual_seed(s)) for s in seeds])
    free = _free(rgba[:, 3:], background.shape[2:])

    def hold(pipeline: Any, step: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        timesteps = pipeline.scheduler.timesteps
        if step + 1 == len(timesteps):
            held = [foreground, background]
        else:
            at = timesteps[step + 1].repeat(len(noise))
            held = [pipeline.scheduler.add_noise(latents, noise, at) for latents in (foreground, background)]
        blended = free * tensors["latents"][1] + (1 - free) * held[1]
        return {"latents": torch.stack([held[0], blended, held[1]])}

    output = pipe(
        [foreground for foreground, _ in prompts],
        [background for _, background in prompts],
        height=rgb.shape[2],
        width=rgb.shape[3],
        num_inference_steps=sampling.steps,
        guidance_scale=sampling.guidance,
        latents=noise,
        config=config,
        transparency_passes=1,
        output_type="np",
        callback_on_step_end=hold,
    )
    assert isinstance(output, LayerFusionOutput)
    return np.asarray(output.blended)


def _free(alpha: Tensor, size: Sequence[int]) -> Tensor:
    """Where the blended stream is free: 1 in reach of the subject, 0 beyond, (B, 1, h, w)."""
    reach = round(REACH * alpha.shape[2])
    near = max_pool2d((alpha > 0.05).float(), 2 * reach + 1, stride=1, padding=reach)
    return torch.nn.functional.interpolate(near, size=tuple(size), mode="area")
