"""RGB padding: the colour of what is visible, diffused outward into what is not (LayerDiffuse, Sec. 3.2).

An RGBA picture says nothing about the colour of its invisible pixels. The encoder must see some colour there, and a
smooth continuation of the visible one makes the easiest target: no edge in RGB where only alpha has one.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

PYRAMID_RATIO = 1.25
"""Size of a pyramid level over the next coarser one; near 1 the result nears many Gaussian blurs in a row."""


def pad_rgb_batch(rgba: Tensor) -> Tensor:
    """Diffuse visible colour into invisible pixels.

    With premultiplied colour p and alpha a averaged down a pyramid, coarsest level first,

        colour = p + (1 - a) * upsampled(colour of the coarser level)

    so a pixel with alpha 1 keeps its colour exactly, and one with alpha 0 takes that of its surroundings.

    Args:
        rgba: (B, 4, H, W) in [0, 1]: alpha first, then straight (not premultiplied) RGB.

    Returns:
        (B, 3, H, W) RGB in [0, 1]; black for a picture that is invisible everywhere.
    """
    alpha = rgba[:, :1].float()
    levels = [torch.cat([rgba[:, 1:].float() * alpha, alpha], dim=1)]
    while min(levels[-1].shape[2:]) > 1:
        height, width = (max(1, int(side / PYRAMID_RATIO)) for side in levels[-1].shape[2:])
        levels.append(interpolate(levels[-1], size=(height, width), mode="area"))
    total = levels[-1].sum(dim=(2, 3), keepdim=True)
    colour = total[:, :3] / total[:, 3:].clamp(min=1e-8)
    for level in reversed(levels):
        coarser = interpolate(colour, size=level.shape[2:], mode="bilinear", align_corners=False)
        colour = level[:, :3] + coarser * (1 - level[:, 3:])
    return colour.clamp(0, 1).to(rgba.dtype)


def pad_rgb(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`pad_rgb_batch` for one picture as image libraries hold it.

    Args:
        rgba: (H, W, 4) uint8, straight RGB, then alpha.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    picture = torch.from_numpy(np.ascontiguousarray(rgba)).movedim(-1, 0)[None].float() / 255
    colour = pad_rgb_batch(picture[:, [3, 0, 1, 2]])
    return (colour[0].movedim(0, -1) * 255).round().to(torch.uint8).numpy()
