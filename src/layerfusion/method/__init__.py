"""The paper's method, and nothing but it."""

from typing import TYPE_CHECKING, Any

from layerfusion.method.config import LayerFusionConfig

if TYPE_CHECKING:
    from layerfusion.method.attention import JointAttention, UNetPass, resolve_structure_layer, self_attention_layers
    from layerfusion.method.observer import AttentionMaps, AttentionPriors, Observer
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


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: a request is checked, configuration and all, before torch is imported.
    if name not in __all__:
        raise AttributeError(f"module 'layerfusion.method' has no attribute {name!r}")
    from importlib import import_module

    homes = {"AttentionMaps": "observer", "AttentionPriors": "observer", "Observer": "observer"}
    homes |= dict.fromkeys(("BACKGROUND", "BLENDED", "FOREGROUND", "StreamLayout", "foreground_names"), "streams")
    return getattr(import_module(f"layerfusion.method.{homes.get(name, 'attention')}"), name)
