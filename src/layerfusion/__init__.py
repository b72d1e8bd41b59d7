"""LayerFusion: a foreground (RGBA), a background and a blended picture, denoised together."""

from typing import TYPE_CHECKING

from layerfusion.lazy import lazily

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

# The commands on layers start without torch and diffusers.
__getattr__ = lazily(
    __name__,
    {
        "controls": ("Control",),
        "errors": ("LayerFusionError",),
        "foregrounds": ("Foreground",),
        "layers": ("Layer", "LayerStack"),
        "method": ("LayerFusionConfig",),
        "output": ("LayerFusionOutput",),
        "pipeline": ("LayerFusionPipeline",),
        "triplet": ("Triplet",),
    },
)
