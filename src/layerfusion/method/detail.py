"""Detail transfer: the blended stream takes the foreground's detail, in the scene's light. Beyond the paper; off in it.

Attention is blended token by token, on grids of a fraction of the latent's resolution: what is thin or small is lost.
Here the two streams meet once more after each step's prediction, at the latent's own resolution, in the clean latents
that the predictions speak of.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32
from torch import Tensor

from layerfusion.method.priors import token_grid

# Few are needed: the threshold between two classes settles geometrically.
ROUNDS = 10
EDGE = 0.1  # how far in from its edge a mask is doubted, of the latent's short side


@dataclass(frozen=True)
class SceneSubject:
    """A foreground as it is known to stand in the scene: given, or looked at in pixels.

    A latent that is resampled is none of the resampled picture, and a mask of attention is coarse; this is neither.

    Attributes:
        colour: (B, C, h, w), float32, the latent of its colour, which goes on beyond its outline.
        alpha: (B, 1, h, w) in [0, 1].
        known: (B,) bool, of which triplets.
    """

    colour: Float32[Tensor, "B C h w"]
    alpha: Float32[Tensor, "B 1 h w"]
    known: Bool[Tensor, " B"]

    def over(self, colour: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        """What is known of the triplets, and of the others what is given: (B, C, h, w) and (B, 1, h, w)."""
        known = self.known[:, None, None, None]
        return torch.where(known, self.colour, colour), torch.where(known, self.alpha, alpha)

    def renewed(self, former: "SceneSubject | None") -> "SceneSubject":
        """With what was known before of the other triplets."""
        if former is None:
            return self
        return SceneSubject(*self.over(former.colour, former.alpha), self.known | former.known)


def subject_mask(
    masks: list[Float32[Tensor, "F B _"]], size: tuple[int, int]
) -> Float32[Tensor, "F B {size[0]} {size[1]}"]:
    """Where the foregrounds are, from the mask_soft of every attention of one pass: their mean, stretched.

        m = clip((v − v₀) / (v₁ − v₀), 0, 1)      v: mean of the masks, each resized to the latent

    v₀ and v₁ are the means of the two classes of values that the threshold (v₀ + v₁)/2 parts (Ridler and Calvard,
    1978): background and subject, however large the subject is. One attention's mask is noisy; their mean is not.

    Args:
        masks: (F, B, M) each, M of the attention's own grid.
        size: (height, width) of the latent.

    Returns:
        (F, B, height, width), float32 in [0, 1]; zeros where the masks are empty.
    """
    resized = [
        F.interpolate(mask.unflatten(-1, token_grid(size, mask.shape[-1])), size, mode="bilinear", align_corners=False)
        for mask in masks
    ]
    v = torch.stack(resized).mean(0).flatten(2)
    threshold = v.mean(-1, keepdim=True)
    for _ in range(ROUNDS):
        subject = (v > threshold).float()
        high = (v * subject).sum(-1, keepdim=True) / subject.sum(-1, keepdim=True).clamp_min(1)
        low = (v * (1 - subject)).sum(-1, keepdim=True) / (1 - subject).sum(-1, keepdim=True).clamp_min(1)
        threshold = (low + high) / 2
    stretched = torch.where(high > low, (v - low) / (high - low), torch.zeros_like(v))
    return stretched.clamp(0, 1).unflatten(-1, size)


def trim_mask(mask: Float32[Tensor, "B 1 h w"], foreground: Float32[Tensor, "B C h w"]) -> Float32[Tensor, "B 1 h w"]:
    """m · max(q, m₀), the mask cut back to the outline of the subject.

        q = δ⁴ / (δ⁴ + 4v²),     δ² = |x̂_FG − b|²,     m₀: the least of m within `EDGE`

    b and v are mean and variance of x̂_FG outside the mask: of the backdrop that a foreground is generated on. The grids
    of attention are coarse, so that a mask reaches beyond the subject, and the detail there is that of the backdrop: a
    rim of grey. Far inside the mask is believed, since a subject may be of the backdrop's colour.

    Args:
        mask: m, (B, 1, h, w), as `subject_mask` finds it.
        foreground: x̂_FG, (B, C, h, w), float32.

    Returns:
        (B, 1, h, w), nowhere above the mask.
    """
    outside = (1 - mask) / (1 - mask).sum((-2, -1), keepdim=True).clamp_min(1e-6)
    backdrop = (outside * foreground).sum((-2, -1), keepdim=True)
    distance = (foreground - backdrop).square().sum(1, keepdim=True)
    variance = (outside * distance).sum((-2, -1), keepdim=True)
    subject = distance.square() / (distance.square() + 4 * variance.square()).clamp_min(1e-12)
    reach = round(EDGE * min(mask.shape[-2:]))
    inner = -F.max_pool2d(-mask, 2 * reach + 1, stride=1, padding=reach)
    return mask * torch.maximum(subject, inner)


def transfer_detail(
    foreground: Float32[Tensor, "B C h w"],
    blended: Float32[Tensor, "B C h w"],
    mask: Float32[Tensor, "B 1 h w"],
    strength: float,
    light: float,
) -> Float32[Tensor, "B C h w"]:
    """x̂_Blended + κ m (x̂_FG + η (μ(x̂_Blended) − μ(x̂_FG)) − x̂_Blended), the blended stream's clean latent.

    μ is the mean over the picture weighted by m, for each channel: the light that fell on the subject.

    Args:
        foreground, blended: x̂, the clean latents that the streams predict, (B, C, h, w), float32.
        mask: m, (B, 1, h, w), as `trim_mask` leaves it.
        strength: κ; 0 leaves the blended latent as it is.
        light: η; 1 keeps the blended stream's mean inside the mask, 0 takes the foreground's, unlit.

    Returns:
        (B, C, h, w).
    """
    weights = mask / mask.sum((-2, -1), keepdim=True).clamp_min(1e-6)
    shift = (weights * (blended - foreground)).sum((-2, -1), keepdim=True)
    return blended + strength * mask * (foreground + light * shift - blended)
