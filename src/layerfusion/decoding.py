"""From latents to pictures: the VAE and the transparent decoder, in a wider type where a narrow one overflows."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from diffusers import AutoencoderKL
from diffusers.utils import logging
from torch import Tensor

from layerfusion.errors import LayerFusionError
from layerfusion.placing import Places
from layerfusion.relighting import RelitSubject, composite_rgba, lay_in, linear_of_srgb, relight_several, srgb_of_linear
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


@dataclass(frozen=True)
class DecodedSubject:
    """One of several foregrounds of B triplets: its pictures by name, (B, 4, H, W), and where they lie.

    `foreground` and `relit` are in the foreground's own frame, which `placements` carry to the scene's, B of them:
    (a, b, c, d, e, f) in pixels, as `layerfusion.layers.Affine` has it. `shadow` and `light` are in the scene's.
    """

    pictures: dict[str, Tensor]
    placements: list[tuple[float, float, float, float, float, float]]


def decode_triplets(
    vae: AutoencoderKL,
    decoder: TransparentDecoder,
    latents: Tensor,
    passes: int = 8,
    clean_alpha: bool = True,
    held: "Held | None" = None,
    places: Places | None = None,
    own_pixels: bool = True,
) -> tuple[dict[str, Tensor], list[DecodedSubject]]:
    """Latents (S, B, 4, h, w) of the foregrounds, blended and background → the pictures of B triplets, by name.

    One stream at a time, which bounds the memory. Given pictures (`held`) are not decoded, but taken as they are.

    Args:
        vae, decoder: The model's.
        latents: As the UNet leaves them.
        passes: Of the transparent decoder, 8 or 1.
        clean_alpha: Whether alpha is settled (`settle_alpha`), or stays as it was decoded.
        held: The pictures that the run was given.
        places: Where the foregrounds stand; their extents are taken from the decoded alphas.
        own_pixels: Whether a layer that is given or placed shows its own pixels in the blended picture (`lay_in`).

    Returns:
        `foreground` (RGBA, all of them in the scene, one over the other), `background`, `blended`, `composite` (the
        foreground over the background), `premultiplied` (the foreground over mid-grey), and `relit`, `shadow`, `light`,
        `layered` as `relight` gives them; each (B, 3 or 4, 8h, 8w) in [0, 1], float32. Then, where there are several
        foregrounds or one has a place, each of them, from the farthest to the nearest.
    """
    *of_foregrounds, of_blended, of_background = latents
    pictures: dict[str, Tensor] = {} if held is None else held.whole(latents.device)
    given = [] if held is None else held.cutouts(latents.device)

    def decoded(index: int) -> tuple[Tensor, Tensor]:
        if (cutout := given[index] if given else None) is not None:
            rgb, alpha = cutout.split([3, 1], dim=1)
            return cutout, 0.5 + (rgb - 0.5) * alpha
        grey = decode_picture(vae, of_foregrounds[index])
        rgba = decode_transparency(vae, decoder, grey, of_foregrounds[index], passes)
        return settle_alpha(rgba) if clean_alpha else rgba, grey

    frames, greys = map(list, zip(*(decoded(index) for index in range(len(of_foregrounds))), strict=True))
    for name, stream in (("background", of_background), ("blended", of_blended)):
        if name not in pictures:
            pictures[name] = decode_picture(vae, stream)
    if held is not None:
        frames, pictures = held.given_back(list(frames), pictures, vae, of_background)
    if len(frames) == 1 and places is None:
        height, width = frames[0].shape[-2:]
        pictures["foreground"], pictures["premultiplied"] = frames[0], greys[0][..., :height, :width]
        return pictures | _met([pictures["foreground"]], pictures, held, places, own_pixels)[0], []
    for index, frame in enumerate(frames):
        if places is not None:
            places.found(index, frame[:, 3:])
    in_scene = frames if places is None else [places.rgba_to_scene(index, frame) for index, frame in enumerate(frames)]
    together, relit = _met(in_scene, pictures, held, places, own_pixels)
    rgb, alpha = together["foreground"].split([3, 1], dim=1)
    together["premultiplied"] = 0.5 + (rgb - 0.5) * alpha
    return pictures | together, [_subject(*each, places) for each in zip(count(), frames, relit, strict=False)]


def _met(
    foregrounds: list[Tensor],
    pictures: dict[str, Tensor],
    held: "Held | None",
    places: Places | None,
    own_pixels: bool,
) -> tuple[dict[str, Tensor], list[RelitSubject]]:
    """What foregrounds in the scene, a background and a blended picture make together; and each foreground relit."""
    foreground = composite_rgba(foregrounds)
    rgb, alpha = foreground.split([3, 1], dim=1)
    background, blended = pictures["background"], pictures["blended"]
    relit, each = relight_several(foregrounds, background, blended)
    if own_pixels and (held is not None or places is not None):
        where = torch.ones_like(alpha) if held is None else held.own_pixels(alpha)
        blended = blended + where * (lay_in(foreground, background, blended, relit) - blended)
    return {
        "foreground": foreground,
        "blended": blended,
        "composite": rgb * alpha + background * (1 - alpha),
        "relit": relit.relit,
        "shadow": relit.shadow,
        "light": relit.light,
        "layered": relit.layered,
    }, each


def _subject(index: int, frame: Tensor, relit: RelitSubject, places: Places | None) -> DecodedSubject:
    height, width = frame.shape[-2:]
    if places is None or not places.placed(index):
        own, placements = relit.relit, [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)] * len(frame)
    else:
        # Where its frame reaches out of the scene, nothing is known of the light.
        known = places.to_frame(index, torch.ones_like(frame[:, :1]))
        gain = places.to_frame(index, relit.gain) + 1 - known
        own = torch.cat([srgb_of_linear(linear_of_srgb(frame[:, :3]) * gain).clamp(0, 1), frame[:, 3:]], dim=1)
        axes = [place.axes() for place in places.each[index]]
        placements = [(sx, 0.0, tx * width, 0.0, sy, ty * height) for (sx, tx), (sy, ty) in axes]
    return DecodedSubject({"foreground": frame, "relit": own, "shadow": relit.shadow, "light": relit.light}, placements)


def decode_picture(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """UNet latents (B, 4, h, w) → RGB (B, 3, 8h, 8w) in [0, 1], float32.

    In float16 a VAE that overflows there (`force_upcast`, as SDXL's own) runs in float32 from the start.

    Raises:
        LayerFusionError: the result is NaN even in float32.
    """
    latents = unscale_latents(vae, latents)

    def decode(dtype: torch.dtype) -> Tensor:
        return vae.decode(latents.to(dtype), return_dict=False)[0]

    picture = run_finite(vae, decode, widen=vae.dtype == torch.float16 and vae.config.force_upcast)
    return (picture / 2 + 0.5).clamp(0, 1)


def decode_transparency(
    vae: AutoencoderKL, decoder: TransparentDecoder, picture: Tensor, latents: Tensor, passes: int
) -> Tensor:
    """The foreground's picture (B, 3, H, W) in [0, 1] and its UNet latents → RGBA (B, 4, H, W) in [0, 1], float32."""
    latents = unscale_latents(vae, latents)

    def decode(dtype: torch.dtype) -> Tensor:
        return decoder.estimate(picture.to(dtype), latents.to(dtype), passes)

    return run_finite(decoder, decode)


def run_finite(module: Any, run: Callable[[torch.dtype], Tensor], widen: bool = False) -> Tensor:
    """run(dtype) in the module's own type; where that gives NaN or infinity, or with `widen`, in float32.

    The module is back in its own type afterwards. The result is float32.
    """
    own = module.dtype
    if not widen:
        result = run(own).float()
        if result.isfinite().all():
            return result
        if own != torch.float32:
            logger.warning(f"{type(module).__name__} overflowed in {own}; running it again in torch.float32.")
    if own != torch.float32:
        module.to(torch.float32)
        try:
            result = run(torch.float32)
        finally:
            module.to(own)
        if result.isfinite().all():
            return result
    raise LayerFusionError(
        f"{type(module).__name__} gives NaN, also in float32; check the model's weights, and what is given."
    )
