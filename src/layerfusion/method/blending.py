"""The blending masks and the two blending equations (Sec. 3.3)."""

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from layerfusion.method.priors import quantile_range


def soft_mask(
    structure: Float[Tensor, "B M"], content: Float[Tensor, "B M"], mask_range: tuple[float, float] = (0.0, 1.0)
) -> Float32[Tensor, "B M"]:
    """mask_soft = minmax(s' · c) over the tokens of each picture: (B, M) and (B, M) → (B, M), float32 in [0, 1].

    With a `mask_range` other than (0, 1), `quantile_range` of s' · c in the place of min–max.
    """
    return quantile_range(structure.float() * content.float(), *mask_range)


def hard_mask(soft: Float[Tensor, "*shape"], boundary: float) -> Float32[Tensor, "*shape"]:
    """mask_hard = σ(d · (mask_soft − 0.5)), d the soft decision boundary coefficient: any shape, float32 in (0, 1)."""
    return torch.sigmoid(boundary * (soft.float() - 0.5))


def align_mean(
    a_foreground: Float[Tensor, "*#rows M channels"],
    a_blended: Float[Tensor, "*#rows M channels"],
    soft: Float[Tensor, "*#rows M 1"],
    strength: float,
) -> Float[Tensor, "*#rows M channels"]:
    """a_FG + λ (μ(a_Blended) − μ(a_FG)), before Eq. 1: the foreground's attention with some of the scene's light.

    μ is the mean over the tokens weighted by mask_soft, for each channel. Where the mask is empty nothing changes.

    Args:
        a_foreground, a_blended: (…, M, channels).
        soft: (…, M, 1).
        strength: λ; with 1 the two means are equal.
    """
    soft = soft.float()
    weights = (soft / soft.sum(-2, keepdim=True).clamp_min(1e-12)).to(a_foreground.dtype)
    return a_foreground + strength * (weights.transpose(-1, -2) @ (a_blended - a_foreground))


def blend_into_blended(
    a_foreground: Float[Tensor, "*#rows M channels"],
    a_blended: Float[Tensor, "*#rows M channels"],
    soft: Float[Tensor, "*#rows M 1"],
) -> Float[Tensor, "*#rows M channels"]:
    """Eq. 1: a'_Blended = a_FG · mask_soft + a_Blended · (1 − mask_soft)."""
    return torch.lerp(a_blended, a_foreground, soft)


def blend_into_foreground(
    a_blended: Float[Tensor, "*#rows M channels"],
    a_foreground: Float[Tensor, "*#rows M channels"],
    hard: Float[Tensor, "*#rows M 1"],
) -> Float[Tensor, "*#rows M channels"]:
    """Eq. 2: a'_FG = a'_Blended · mask_hard + a_FG · (1 − mask_hard); `a_blended` is the result of Eq. 1."""
    return torch.lerp(a_foreground, a_blended, hard)
