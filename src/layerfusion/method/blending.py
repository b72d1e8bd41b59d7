"""The blending masks and the two blending equations (Sec. 3.3)."""

import torch
from torch import Tensor

from layerfusion.method.priors import minmax


def soft_mask(structure: Tensor, content: Tensor) -> Tensor:
    """mask_soft = minmax(s' · c) over the tokens of each picture: (B, M) and (B, M) → (B, M), float32 in [0, 1]."""
    return minmax(structure.float() * content.float())


def hard_mask(soft: Tensor, boundary: float) -> Tensor:
    """mask_hard = σ(d · (mask_soft − 0.5)), d the soft decision boundary coefficient: any shape, float32 in (0, 1)."""
    return torch.sigmoid(boundary * (soft.float() - 0.5))


def blend_into_blended(a_foreground: Tensor, a_blended: Tensor, soft: Tensor) -> Tensor:
    """Eq. 1: a'_Blended = a_FG · mask_soft + a_Blended · (1 − mask_soft)."""
    return a_foreground * soft + a_blended * (1 - soft)


def blend_into_foreground(a_blended: Tensor, a_foreground: Tensor, hard: Tensor) -> Tensor:
    """Eq. 2: a'_FG = a'_Blended · mask_hard + a_FG · (1 − mask_hard); `a_blended` is the result of Eq. 1."""
    return a_blended * hard + a_foreground * (1 - hard)
