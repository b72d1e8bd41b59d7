"""Shared self-attention (Sec. 3.3): the blended and the background stream attend as one sequence."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from layerfusion.method.streams import BACKGROUND, BLENDED, StreamLayout


def attend_to_both(
    layout: StreamLayout,
    query: Float[Tensor, "rows heads M dim"],
    key: Float[Tensor, "rows heads M dim"],
    value: Float[Tensor, "rows heads M dim"],
    scale: float,
    closed: Bool[Tensor, "B M"] | None = None,
) -> Float[Tensor, "plain heads M dim"]:
    """Attention of the plain streams' rows to the tokens of both.

    Args:
        layout: The order of the rows; it has both plain streams.
        query, key, value: Of all rows.
        scale: Of the product of query and key.
        closed: Tokens of the blended stream that the background may not attend to.

    Returns:
        The blended stream's rows, then the background's. A stream without its unconditional half shows its conditional
        one to both halves of the other.
    """
    if closed is None and not {BLENDED, BACKGROUND} & set(layout.unguided):
        # As one sequence of 2M tokens.
        q, k, v = (layout.pair(rows) for rows in (query, key, value))
        return layout.unpair(F.scaled_dot_product_attention(q, k, v, scale=scale))
    attended = []
    for name in (BLENDED, BACKGROUND):
        own = layout.stream(query, name)
        keys, values = (_of_both(layout, x, len(own)) for x in (key, value))
        seen = None
        if closed is not None and name == BACKGROUND:
            seen = torch.cat([~closed, torch.ones_like(closed)], dim=1).repeat(len(own), 1)[:, None, None]
        attended.append(F.scaled_dot_product_attention(own.flatten(0, 1), keys, values, attn_mask=seen, scale=scale))
    return torch.cat(attended)


def _of_both(layout: StreamLayout, rows: Tensor, halves: int) -> Tensor:
    """What so many halves of a stream see: both streams' tokens, blended first, (halves·B, heads, 2M, dim)."""
    streams = (layout.stream(rows, name)[-halves:] for name in (BLENDED, BACKGROUND))
    return torch.cat([stream.expand(halves, *stream.shape[1:]) for stream in streams], dim=3).flatten(0, 1)
