"""The paper's method, and nothing but it."""

from typing import TYPE_CHECKING, Any

from layerfusion.method.config import LayerFusionConfig

if TYPE_CHECKING:
    from layerfusion.method.attention import (
        AttentionMaps,
        JointAttention,
        UNetPass,
        resolve_structure_layer,
        self_attention_layers,
    )
    from layerfusion.method.streams import BACKGROUND, BLENDED, FOREGROUND, StreamLayout

__all__ = [
    "BACKGROUND",
    "BLENDED",
    "FOREGROUND",
    "AttentionMaps",
    "JointAttention",
    "LayerFusionConfig",
    "StreamLayout",
    "UNetPass",
    "resolve_structure_layer",
    "self_attention_layers",
]


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: a request is checked, configuration and all, before torch is imported.
    if name not in __all__:
        raise AttributeError(f"module 'layerfusion.method' has no attribute {name!r}")
    from importlib import import_module

    home = "streams" if name in ("BACKGROUND", "BLENDED", "FOREGROUND", "StreamLayout") else "attention"
    return getattr(import_module(f"layerfusion.method.{home}"), name)
