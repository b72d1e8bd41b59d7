"""IP-Adapter (Ye et al. 2023): a stream that is given a picture attends to it beside its prompt.

It belongs to the attention of one stream, a_FG or a_BG, and so comes before anything is blended.
"""

from typing import TypeAlias

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import (
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
    IPAdapterXFormersAttnProcessor,
)
from torch import Tensor

IP_ADAPTERS = (IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0, IPAdapterXFormersAttnProcessor)
"""The processors that `load_ip_adapter` puts on a UNet: in each cross-attention, all adapters' projections."""

IPAdapters: TypeAlias = IPAdapterAttnProcessor | IPAdapterAttnProcessor2_0 | IPAdapterXFormersAttnProcessor


def attend_to_pictures(adapters: IPAdapters, query: Tensor, pictures: list[Tensor], pictured: Tensor) -> Tensor:
    """What the adapters add to the output of a cross-attention, before its output projection.

    Args:
        adapters: The projections and scales of this cross-attention.
        query: (rows, heads, M, dim).
        pictures: For each adapter (rows, images, tokens, channels), as the UNet's image projection gives them.
        pictured: (rows,) 1 where the row's stream was given pictures, 0 where it was not.

    Returns:
        (rows, heads, M, dim).
    """
    added = torch.zeros_like(query)
    for picture, scale, to_k, to_v in zip(pictures, adapters.scale, adapters.to_k_ip, adapters.to_v_ip, strict=True):
        tokens = picture.flatten(1, 2)
        key, value = (to(tokens).unflatten(-1, (query.shape[1], -1)).transpose(1, 2) for to in (to_k, to_v))
        added = added + scale * F.scaled_dot_product_attention(query, key, value)
    return added * pictured.to(added.dtype)[:, None, None, None]
