"""IP-Adapter (Ye et al. 2023): a stream that is given a picture attends to it beside its prompt.

It belongs to the attention of one stream, a_FG or a_BG, and so comes before anything is blended.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import (
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
    IPAdapterXFormersAttnProcessor,
)
from jaxtyping import Float, Shaped
from torch import Tensor

from layerfusion.method.priors import token_grid

IP_ADAPTERS = (IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0, IPAdapterXFormersAttnProcessor)
"""The processors that `load_ip_adapter` puts on a UNet: in each cross-attention, all adapters' projections."""

IPAdapters: TypeAlias = IPAdapterAttnProcessor | IPAdapterAttnProcessor2_0 | IPAdapterXFormersAttnProcessor


def attend_to_pictures(
    adapters: IPAdapters,
    query: Float[Tensor, "rows heads M dim"],
    pictures: list[Float[Tensor, "rows _ _ _"]],
    pictured: Shaped[Tensor, " rows"],
    masks: Sequence[Tensor | None] | None,
    size: tuple[int, int],
) -> Float[Tensor, "rows heads M dim"]:
    """What the adapters add to the output of a cross-attention, before its output projection.

    Args:
        adapters: The projections and scales of this cross-attention.
        query: (rows, heads, M, dim).
        pictures: For each adapter (rows, images, tokens, channels), as the UNet's image projection gives them.
        pictured: (rows,) 1 where the row's stream was given pictures, 0 where it was not.
        masks: For each adapter (1, images, height, width) in [0, 1], where each of its pictures acts in the stream;
            None where they act everywhere.
        size: (height, width) of the latent.

    Returns:
        (rows, heads, M, dim).
    """
    added = torch.zeros_like(query)
    every = zip(
        pictures, adapters.scale, adapters.to_k_ip, adapters.to_v_ip, masks or [None] * len(pictures), strict=True
    )
    for picture, scale, to_k, to_v, mask in every:
        # Without masks all pictures of an adapter are attended to at once; with masks each by itself, in its place.
        if mask is None:
            parts, places = [picture.flatten(1, 2)], [torch.ones((), device=query.device)]
        else:
            resized = F.interpolate(mask.to(query), token_grid(size, query.shape[2]), mode="bicubic")
            parts, places = list(picture.unbind(1)), list(resized[0].flatten(1)[:, :, None])
        scales = scale if isinstance(scale, list) else [scale] * len(parts)
        for tokens, factor, place in zip(parts, scales, places, strict=True):
            key, value = (to(tokens).unflatten(-1, (query.shape[1], -1)).transpose(1, 2) for to in (to_k, to_v))
            added = added + factor * place * F.scaled_dot_product_attention(query, key, value)
    return added * pictured.to(added.dtype)[:, None, None, None]
