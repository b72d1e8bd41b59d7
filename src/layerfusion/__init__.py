"""LayerFusion: a foreground (RGBA), a background and a blended picture, denoised together."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Control",
    "Foreground",
    "Layer",
    "LayerFusionConfig",
    "LayerFusionError",
    "LayerFusionOutput",
    "LayerFusionPipeline",
    "LayerStack",
    "Triplet",
]

if TYPE_CHECKING:
    from layerfusion.controls import Control
    from layerfusion.errors import LayerFusionError
    from layerfusion.foregrounds import Foreground
    from layerfusion.layers import Layer, LayerStack
    from layerfusion.method import LayerFusionConfig
    from layerfusion.output import LayerFusionOutput
    from layerfusion.pipeline import LayerFusionPipeline
    from layerfusion.triplet import Triplet

_HOMES = {
    "Control": "controls",
    "Foreground": "foregrounds",
    "Layer": "layers",
    "LayerFusionConfig": "method",
    "LayerFusionError": "errors",
    "LayerFusionOutput": "output",
    "LayerFusionPipeline": "pipeline",
    "LayerStack": "layers",
    "Triplet": "triplet",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: the commands on layers start without torch and diffusers.
    if name not in _HOMES:
        raise AttributeError(f"module 'layerfusion' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"layerfusion.{_HOMES[name]}"), name)
