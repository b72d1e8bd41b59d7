"""Regions round a subject, by its alpha; every distance is a share of the picture's height."""

import torch.nn.functional as F
from torch import Tensor

SEEN = 0.05  # alpha above which a pixel belongs to the subject
REACH, FEATHER = 0.09, 0.03  # how far a subject's shadow and light reach, and over how much they fade


def dilate(alpha: Tensor, distance: float) -> Tensor:
    """The greatest value within `distance`, in heights: (B, 1, H, W) → the same."""
    steps = max(1, round(distance * alpha.shape[-2]))
    return F.max_pool2d(alpha.float(), 2 * steps + 1, 1, steps)


def erode(region: Tensor, distance: float) -> Tensor:
    """What is farther than `distance`, in heights, from the outside of a region: (B, 1, H, W) bool → the same."""
    return dilate((~region).float(), distance) < 0.5


def reach(alpha: Tensor) -> Tensor:
    """How far a subject acts on what is around it: (B, 1, H, W) in [0, 1], 1 at the subject, 0 out of its reach."""
    near = dilate((alpha > SEEN).float(), REACH)
    steps = max(1, round(FEATHER * alpha.shape[-2]))
    return F.avg_pool2d(near, 2 * steps + 1, 1, steps, count_include_pad=False)
