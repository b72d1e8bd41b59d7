"""The paper's method, and nothing but it."""

from layerfusion.method.attention import JointAttention, UNetPass, resolve_structure_layer, self_attention_layers
from layerfusion.method.config import LayerFusionConfig
from layerfusion.method.observer import AttentionMaps, AttentionPriors, Observer
from layerfusion.method.streams import BACKGROUND, BLENDED, StreamLayout

__all__ = [
    "BACKGROUND",
    "BLENDED",
    "AttentionMaps",
    "AttentionPriors",
    "JointAttention",
    "LayerFusionConfig",
    "Observer",
    "StreamLayout",
    "UNetPass",
    "resolve_structure_layer",
    "self_attention_layers",
]
