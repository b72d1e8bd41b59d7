"""From pictures to latents: what `decoding` undoes."""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from layerfusion.decoding import run_finite
from layerfusion.method.detail import SceneSubject
from layerfusion.transparency import TransparentEncoder, encode_transparent
from layerfusion.transparency.padding import pad_rgb_batch

OPAQUE = 0.9
"""Of the alpha of a subject that is laid in from its pixels (`encode_in_scene`)."""


def scale_latents(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Give the VAE's latents the scaling that the UNet's have; `layerfusion.decoding.unscale_latents` undoes it."""
    mean, std = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is None or std is None:
        return latents * vae.config.scaling_factor
    as_channels = [torch.tensor(x, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1) for x in (mean, std)]
    return (latents - as_channels[0]) * vae.config.scaling_factor / as_channels[1]


def encode_picture(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """RGB (B, 3, 8h, 8w) in [0, 1] → UNet latents (B, 4, h, w), float32: the mode of the VAE's posterior."""

    def encode(dtype: torch.dtype) -> Tensor:
        return vae.encode((2 * pictures - 1).to(dtype)).latent_dist.mode()

    return scale_latents(vae, run_finite(vae, encode, widen=_overflows(vae)))


def encode_cutout(vae: AutoencoderKL, encoder: TransparentEncoder, pictures: Tensor) -> Tensor:
    """RGBA (B, 4, 8h, 8w), straight alpha, in [0, 1] → UNet latents (B, 4, h, w) for ε_FG, float32."""

    def encode(dtype: torch.dtype) -> Tensor:
        return encode_transparent(vae, encoder, pictures.to(dtype))

    return run_finite(vae, encode, widen=_overflows(vae))


def encode_in_scene(vae: AutoencoderKL, scene: Tensor, known: Tensor) -> SceneSubject:
    """What straight RGBA pictures (B, 4, 8h, 8w) of the scene are in latents; `known` (B,) as `SceneSubject` has it.

    A see-through subject is not known: what is laid in at every step anew would become opaque. Opaque is one whose
    alpha, weighted by itself, is `OPAQUE` or more in the mean.
    """
    colour = encode_picture(vae, pad_rgb_batch(scene)).float()
    alpha = F.interpolate(scene[:, 3:].float(), colour.shape[-2:], mode="area")
    opacity = scene[:, 3].float().square().sum((-2, -1)) / scene[:, 3].float().sum((-2, -1)).clamp_min(1e-6)
    return SceneSubject(colour, alpha, known & (opacity >= OPAQUE))


def _overflows(vae: AutoencoderKL) -> bool:
    return bool(vae.dtype == torch.float16 and vae.config.force_upcast)
