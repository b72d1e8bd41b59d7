"""RGB padding: the colour of what is visible, diffused outward into what is not (LayerDiffuse, Sec. 3.2).

An RGBA picture says nothing about the colour of its invisible pixels. The encoder must see some colour there, and a
smooth continuation of the visible one makes the easiest target: no edge in RGB where only alpha has one.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

PYRAMID_RATIO = 1.2
"""Size of a pyramid level over the next coarser one, as the published encoder was trained with it."""


@torch.autocast("cpu", enabled=False)
@torch.autocast("cuda", enabled=False)
def pad_rgb_batch(rgba: Tensor) -> Tensor:
    """Diffuse visible colour into invisible pixels.

    With premultiplied colour p and alpha a averaged down a pyramid, coarsest level first,

        colour = p + (1 - a) * upsampled(colour of the coarser level)

    so a pixel with alpha 1 keeps its colour exactly, and one with alpha 0 takes that of its surroundings. A pixel of a
    coarser level is the mean over the area that it covers, to fractions of pixels; upsampling is bilinear.

    Args:
        rgba: (B, 4, H, W) in [0, 1], straight (not premultiplied) colour.

    Returns:
        (B, 3, H, W) RGB in [0, 1]; black for a picture that is invisible everywhere.
    """
    alpha = rgba[:, 3:].float()
    levels = [torch.cat([rgba[:, :3].float() * alpha, alpha], dim=1)]
    while min(levels[-1].shape[2:]) > 1:
        height, width = levels[-1].shape[2:]
        rows, columns = (_area_means(side, int(side / PYRAMID_RATIO)).to(alpha) for side in (height, width))
        levels.append(rows @ levels[-1] @ columns.T)
    total = levels[-1].sum(dim=(2, 3), keepdim=True)
    colour = total[:, :3] / total[:, 3:].clamp(min=1e-8)
    for level in reversed(levels):
        coarser = interpolate(colour, size=level.shape[2:], mode="bilinear", align_corners=False)
        colour = level[:, :3] + coarser * (1 - level[:, 3:])
    return colour.clamp(0, 1).to(rgba.dtype)


def pad_rgb(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`pad_rgb_batch` for one picture as image libraries hold it.

    Args:
        rgba: (H, W, 4) uint8.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    picture = torch.from_numpy(np.ascontiguousarray(rgba)).movedim(-1, 0)[None].float() / 255
    return (pad_rgb_batch(picture)[0].movedim(0, -1) * 255).round().to(torch.uint8).numpy()


def alpha_and_padded_rgb(rgba: Tensor) -> Tensor:
    """RGBA (B, 4, H, W) in [0, 1] → what the encoder takes in and the decoder finds: alpha, then padded RGB."""
    return torch.cat([rgba[:, 3:], pad_rgb_batch(rgba)], dim=1)


def _area_means(size: int, smaller: int) -> Tensor:
    """(smaller, size): what takes `size` values to the means over `smaller` equal parts of them, in float64."""
    edges = torch.arange(smaller + 1, dtype=torch.float64) * size / smaller
    cells = torch.arange(size, dtype=torch.float64)
    covered = torch.minimum(edges[1:, None], cells + 1) - torch.maximum(edges[:-1, None], cells)
    return covered.clamp(min=0) * smaller / size
