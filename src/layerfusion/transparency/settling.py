"""Clean alpha: a decoder's almost nothing is nothing, and its almost solid is solid."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

FLOOR = 12 / 255
CEILING = 247 / 255
RAMP = 3  # a ramp joins floor and ceiling to what is kept as it is, over so many times their distance from 0 and 1
SPECK = 0.2  # of the highest alpha: what nowhere near reaches this is noise
REACH = 1 / 8  # near, as a share of the short side
COMPANY = 0.25  # of the 5 × 5 pixels round a faint one, that must be there too


def settle_alpha(rgba: Tensor, floor: float = FLOOR, ceiling: float = CEILING) -> Tensor:
    """Settle the floor and the ceiling of alpha after decoding, and drop faint specks: lone, or far from the subject.

    A transparent decoder leaves a veil of a few 255ths over the whole frame, strongest along its border, so that no
    bounding box is tight. With lo = `floor`, hi = `ceiling` and k = `RAMP`,

        α' = 0                          α ≤ lo
        α' = (α − lo)·k / (k − 1)       lo < α < k·lo
        α' = α                          between
        α' = 1 − (hi − α)·k / (k − 1)   1 − k·(1 − hi) < α < hi
        α' = 1                          hi ≤ α

    which is continuous, and leaves the alpha of see-through things alone. Straight colour is kept: the decoder
    estimates it apart from alpha, so a veil goes with its colour and a solid surface does not darken.

    Args:
        rgba: (B, 4, H, W) in [0, 1], straight RGB, then alpha.
        floor: alpha up to here becomes 0; 0 leaves low alpha alone, specks included.
        ceiling: alpha from here on becomes 1; 1 leaves high alpha alone.

    Returns:
        The same, a new tensor.
    """
    rgb, alpha = rgba.split([3, 1], dim=1)
    steep = RAMP / (RAMP - 1)
    settled = torch.minimum(alpha, (alpha - floor) * steep)
    settled = torch.maximum(settled, 1 - (ceiling - alpha) * steep).clamp(0, 1)
    if floor > 0:
        visible = (alpha > SPECK * alpha.amax((2, 3), keepdim=True)).to(alpha.dtype)
        reach = round(REACH * min(alpha.shape[2:]))
        # A square window's maximum, one side at a time.
        near = max_pool2d(visible, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
        settled = settled * max_pool2d(near, (1, 2 * reach + 1), stride=1, padding=(0, reach))
        company = avg_pool2d((settled > 0).to(alpha.dtype), 5, stride=1, padding=2)
        settled = torch.where((settled < floor) & (company < COMPANY), torch.zeros_like(settled), settled)
    return torch.cat([rgb, settled], dim=1)
