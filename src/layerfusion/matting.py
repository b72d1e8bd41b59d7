"""The alpha of a subject whose picture and whose background are both known."""

import torch
import torch.nn.functional as F
from torch import Tensor

UNSEEN, SEEN = 0.1, 0.25
"""Distances of a pixel from the background, in RGB of [0, 1]: below the one it shows no subject, above the other no
background. A background that was completed where nobody saw it is not exact."""
RADIUS, EDGE = 1 / 64, 1e-4
"""Of the guided filter: half its window in heights, and the variance in the picture from which an edge is kept."""


@torch.no_grad()
def matte(alpha: Tensor, inner: Tensor, outer: Tensor, picture: Tensor, background: Tensor) -> Tensor:
    """An alpha that agrees with what the picture shows beside its background.

    δ = clip((|P − B| − 0.1) / 0.15, 0, 1) says how much of a pixel the background does not explain. At the border of
    the subject the alpha is at most δ, well within it at least: there the alpha may have holes where the foreground
    model did not know the subject again, and δ where subject and background are of one colour. The result follows the
    edges of the picture (guided filter: He, Sun and Tang 2013).

    Args:
        alpha: (B, 1, H, W) in [0, 1], as it was decoded.
        inner, outer: (B, 1, H, W) bool, where the subject surely is, and where it may be.
        picture, background: (B, 3, H, W) in [0, 1].

    Returns:
        (B, 1, H, W) in [0, 1].
    """
    distance = (picture - background).square().sum(1, keepdim=True).sqrt()
    unexplained = ((distance - UNSEEN) / (SEEN - UNSEEN)).clamp(0, 1)
    rough = torch.where(inner, torch.maximum(alpha, unexplained), torch.minimum(alpha, unexplained)) * outer
    return guided(rough, picture, max(1, round(RADIUS * picture.shape[2])), EDGE).clamp(0, 1) * outer


def guided(values: Tensor, picture: Tensor, radius: int, edge: float) -> Tensor:
    """The guided filter: in every window of 2·radius + 1 pixels, values (B, 1, H, W) as a linear function of colour.

    Args:
        values: What is filtered.
        picture: The guide, (B, 3, H, W) in [0, 1].
        radius: Of the windows, in pixels.
        edge: Variance of the picture's colour below which a window is flat.
    """

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2 * radius + 1, 1, radius, count_include_pad=False)

    of_values, of_picture = mean(values), mean(picture)
    covariance = (mean(picture * values) - of_picture * of_values).movedim(1, -1)
    products = torch.einsum("bihw,bjhw->bijhw", picture, picture).flatten(1, 2)
    variance = mean(products) - torch.einsum("bihw,bjhw->bijhw", of_picture, of_picture).flatten(1, 2)
    variance = variance.movedim(1, -1).unflatten(-1, (3, 3)) + edge * torch.eye(3).to(picture)
    slope = torch.linalg.solve(variance, covariance).movedim(-1, 1)
    offset = of_values - (slope * of_picture).sum(1, keepdim=True)
    return (mean(slope) * picture).sum(1, keepdim=True) + mean(offset)
