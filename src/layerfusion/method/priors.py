"""The generative priors: structure from self-attention, content confidence from cross-attention (Sec. 3.2).

All arithmetic is in float32, whatever the model's dtype. M is the number of tokens of a picture.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor

# Attention probabilities are worked through in blocks of at most this many values: 4 MiB in float32, 8 with their
# logits, so that SDXL's priors stay within 20 MB at 4,096 tokens (`python -m benchmarks.counted`).
BLOCK_VALUES = 1024 * 1024


def minmax(values: Float[Tensor, "*rows M"]) -> Float32[Tensor, "*rows M"]:
    """Scale each row of (…, M) to [0, 1]. A flat row (max = min) gives zeros."""
    values = values.float()
    low, high = values.aminmax(dim=-1, keepdim=True)
    return torch.where(high > low, (values - low) / (high - low), torch.zeros_like(values))


def quantile_range(values: Float[Tensor, "*rows M"], low: float, high: float) -> Float32[Tensor, "*rows M"]:
    """clip((v − q_low) / (q_high − q_low), 0, 1) of each row of (…, M), q the row's quantiles; 0 and 1 give `minmax`.

    One outlier sets the scale of a min–max range; a quantile range leaves outliers out of it. A row whose two quantiles
    are equal gives zeros.
    """
    if (low, high) == (0, 1):
        return minmax(values)
    values = values.float()
    bounds = torch.quantile(values, torch.tensor([low, high], device=values.device), dim=-1, keepdim=True)
    bottom, top = bounds
    return torch.where(top > bottom, (values - bottom) / (top - bottom), torch.zeros_like(values)).clamp(0, 1)


def sparsity(
    query: Float[Tensor, "B heads M dim"], key: Float[Tensor, "B heads M dim"], scale: float | None = None
) -> Float32[Tensor, "B M"]:
    """s_i = 1 / Σ_j m_ij², m the self-attention probabilities averaged over heads (Algorithm 1).

    The (heads, M, M) probabilities are never held: they are worked through in blocks, of whole pictures where these are
    small and of query rows where they are not.

    Args:
        query, key: (B, heads, M, dim), after the projections, any floating dtype.
        scale: Factor on the logits; 1/√dim where None.

    Returns:
        (B, M) in float32, each value in [1, M]: over how many tokens token i spreads.
    """
    batch, heads, tokens, dim = query.shape
    scale = dim**-0.5 if scale is None else scale
    result = torch.empty(batch, tokens, dtype=torch.float32, device=query.device)
    images, rows = _block(tokens, heads * tokens)
    for some in _slices(batch, images):
        transposed = key[some].float().transpose(-1, -2)
        for these in _slices(tokens, rows):
            mean = torch.softmax((query[some, :, these].float() * scale) @ transposed, dim=-1).mean(dim=1)
            result[some, these] = mean.square().sum(dim=-1).reciprocal()
    return result


def structure_prior(
    query: Float[Tensor, "B heads M dim"],
    key: Float[Tensor, "B heads M dim"],
    scale: float | None = None,
    sign: int = 1,
) -> Float32[Tensor, "B M"]:
    """s' = 1 − minmax(s), the structure prior (Algorithm 1); with sign −1, s' = minmax(s).

    Written as minmax(∓s), which is the same and gives zeros for a flat map.

    Args:
        query, key, scale: As `sparsity` takes them.
        sign: 1 (the paper's: foreground tokens attend widely) or −1.

    Returns:
        (B, M) in float32, in [0, 1] for each picture.
    """
    return minmax(-sign * sparsity(query, key, scale))


def content_confidence(
    query: Float[Tensor, "B heads M dim"],
    key: Float[Tensor, "B heads T dim"],
    eos: Int[Tensor, " B"],
    scale: float | None = None,
) -> Float32[Tensor, "B M"]:
    """c = mean over heads of n[:, :, EOS], n the cross-attention probabilities (Algorithm 2).

    Only the column of the end-of-text token is formed: n[EOS] = 1 / Σ_t exp(logit[t] − logit[EOS]), in blocks as in
    `sparsity`. Where a sum overflows, n is below float32's range and 0.

    Args:
        query: (B, heads, M, dim).
        key: (B, heads, T, dim), of the conditional foreground prompt.
        eos: (B,) integers, the place of the first end-of-text token of each prompt.
        scale: Factor on the logits; 1/√dim where None.

    Returns:
        (B, M) in float32, in (0, 1).
    """
    batch, heads, tokens, dim = query.shape
    key = key.float()
    column = key.gather(2, eos.view(-1, 1, 1, 1).expand(batch, heads, 1, dim))
    scaled = (key - column).transpose(-1, -2) * (dim**-0.5 if scale is None else scale)
    result = torch.empty(batch, tokens, dtype=torch.float32, device=query.device)
    images, rows = _block(tokens, heads * scaled.shape[-1])
    for some in _slices(batch, images):
        for these in _slices(tokens, rows):
            above = query[some, :, these].float() @ scaled[some]  # logit[t] − logit[EOS]
            result[some, these] = above.exp_().sum(dim=-1).reciprocal().mean(dim=1)
    return result


def _block(tokens: int, width: int) -> tuple[int, int]:
    """(pictures, query rows of each) whose probabilities, `width` values a row, are held at once."""
    rows = min(tokens, max(1, BLOCK_VALUES // width))
    return max(1, BLOCK_VALUES // (width * rows)), rows


def _slices(length: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, length, size)]


def resize_to_tokens(
    prior: Float32[Tensor, "B h w"], size: tuple[int, int], tokens: int
) -> Float32[Tensor, "B {tokens}"]:
    """Resize a prior bilinearly to a block's token grid.

    Args:
        prior: (B, h, w), in float32.
        size: (height, width) of the latent. The grid has its shape, halved k times so that height·width/4ᵏ = `tokens`.
        tokens: M of the block.

    Returns:
        (B, tokens).
    """
    grid = token_grid(size, tokens)
    if prior.shape[-2:] != grid:
        prior = F.interpolate(prior[:, None], size=grid, mode="bilinear", align_corners=False)[:, 0]
    return prior.flatten(1)


def token_grid(size: tuple[int, int], tokens: int) -> tuple[int, int]:
    """(rows, columns) of the block with that many tokens, for a latent of `size` (height, width)."""
    height, width = size
    while height * width > tokens:
        # Every downsampling of the UNet is a convolution of stride 2 and padding 1: it rounds up.
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width
