"""The paper's method, and what must act within the attention beside it."""

from typing import TYPE_CHECKING

from layerfusion.lazy import lazily
from layerfusion.method.config import LayerFusionConfig

if TYPE_CHECKING:
    from layerfusion.method.attention import JointAttention
    from layerfusion.method.blocks import resolve_structure_layer, self_attention_layers
    from layerfusion.method.observer import AttentionMaps, AttentionPriors, Observer
    from layerfusion.method.passes import UNetPass
    from layerfusion.method.streams import BACKGROUND, BLENDED, FOREGROUND, StreamLayout, foreground_names

__all__ = [
    "BACKGROUND",
    "BLENDED",
    "FOREGROUND",
    "AttentionMaps",
    "AttentionPriors",
    "JointAttention",
    "LayerFusionConfig",
    "Observer",
    "StreamLayout",
    "UNetPass",
    "foreground_names",
    "resolve_structure_layer",
    "self_attention_layers",
]

# A request is checked, configuration and all, before torch is imported.
__getattr__ = lazily(
    __name__,
    {
        "attention": ("JointAttention",),
        "blocks": ("resolve_structure_layer", "self_attention_layers"),
        "observer": ("AttentionMaps", "AttentionPriors", "Observer"),
        "passes": ("UNetPass",),
        "streams": ("BACKGROUND", "BLENDED", "FOREGROUND", "StreamLayout", "foreground_names"),
    },
)
