"""From latents to pictures: the VAE and the transparent decoder, in a wider type where a narrow one overflows."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL
from diffusers.utils import logging
from torch import Tensor

from layerfusion.errors import LayerFusionError
from layerfusion.relighting import relight
from layerfusion.transparency import TransparentDecoder, settle_alpha

if TYPE_CHECKING:
    from layerfusion.held import Held

logger = logging.get_logger(__name__)


def unscale_latents(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Undo the scaling that the UNet's latents have: divide by the scaling factor (and undo mean and deviation)."""
    mean, std = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is None or std is None:
        return latents / vae.config.scaling_factor
    as_channels = [torch.tensor(x, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1) for x in (mean, std)]
    return latents * as_channels[1] / vae.config.scaling_factor + as_channels[0]


def decode_triplets(
    vae: AutoencoderKL,
    decoder: TransparentDecoder,
    latents: Tensor,
    passes: int = 8,
    clean_alpha: bool = True,
    held: "Held | None" = None,
) -> dict[str, Tensor]:
    """Latents (3, B, 4, h, w) of foreground, blended and background → the pictures of B triplets, by name.

    One stream at a time, which bounds the memory. Given pictures (`held`) are not decoded, but taken as they are.

    Args:
        vae, decoder: The model's.
        latents: As the UNet leaves them.
        passes: Of the transparent decoder, 8 or 1.
        clean_alpha: Whether alpha is settled (`settle_alpha`), or stays as it was decoded.
        held: The pictures that the run was given.

    Returns:
        `foreground` (RGBA), `background`, `blended`, `composite` (the foreground over the background), `premultiplied`
        (the foreground over mid-grey), and `relit`, `shadow`, `light`, `layered` as `relight` gives them; each
        (B, 3 or 4, 8h, 8w) in [0, 1], float32.
    """
    of_foreground, of_blended, of_background = latents
    pictures: dict[str, Tensor] = {} if held is None else held.whole(latents.device)
    if "foreground" in pictures:
        rgb, alpha = pictures["foreground"].split([3, 1], dim=1)
        pictures["premultiplied"] = 0.5 + (rgb - 0.5) * alpha
    else:
        pictures["premultiplied"] = decode_picture(vae, of_foreground)
        foreground = decode_transparency(vae, decoder, pictures["premultiplied"], of_foreground, passes)
        pictures["foreground"] = settle_alpha(foreground) if clean_alpha else foreground
    for name, stream in (("background", of_background), ("blended", of_blended)):
        if name not in pictures:
            pictures[name] = decode_picture(vae, stream)
    if held is not None:
        pictures = held.laid_back(pictures, vae, of_background)
    rgb, alpha = pictures["foreground"].split([3, 1], dim=1)
    relit = relight(pictures["foreground"], pictures["background"], pictures["blended"])
    return {
        **pictures,
        "composite": rgb * alpha + pictures["background"] * (1 - alpha),
        "relit": relit.relit,
        "shadow": relit.shadow,
        "light": relit.light,
        "layered": relit.layered,
    }


def decode_picture(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """UNet latents (B, 4, h, w) → RGB (B, 3, 8h, 8w) in [0, 1], float32.

    In float16 a VAE that overflows there (`force_upcast`, as SDXL's own) runs in float32 from the start.

    Raises:
        LayerFusionError: the result is NaN even in float32.
    """
    latents = unscale_latents(vae, latents)

    def decode(dtype: torch.dtype) -> Tensor:
        return vae.decode(latents.to(dtype), return_dict=False)[0]

    picture = decode_finite(vae, decode, widen=vae.dtype == torch.float16 and vae.config.force_upcast)
    return (picture / 2 + 0.5).clamp(0, 1)


def decode_transparency(
    vae: AutoencoderKL, decoder: TransparentDecoder, picture: Tensor, latents: Tensor, passes: int
) -> Tensor:
    """The foreground's picture (B, 3, H, W) in [0, 1] and its UNet latents → RGBA (B, 4, H, W) in [0, 1], float32."""
    latents = unscale_latents(vae, latents)

    def decode(dtype: torch.dtype) -> Tensor:
        return decoder.estimate(picture.to(dtype), latents.to(dtype), passes)

    return decode_finite(decoder, decode)


def decode_finite(module: Any, run: Callable[[torch.dtype], Tensor], widen: bool = False) -> Tensor:
    """run(dtype) in the module's own type; where that gives NaN or infinity, or with `widen`, in float32.

    The module is back in its own type afterwards. The result is float32.
    """
    own = module.dtype
    if not widen:
        result = run(own).float()
        if result.isfinite().all():
            return result
        if own != torch.float32:
            logger.warning(f"{type(module).__name__} overflowed in {own}; decoding again in torch.float32.")
    if own != torch.float32:
        module.to(torch.float32)
        try:
            result = run(torch.float32)
        finally:
            module.to(own)
        if result.isfinite().all():
            return result
    raise LayerFusionError("the picture is NaN after decoding, also in float32; check the model's weights.")
