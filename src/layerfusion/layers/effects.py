"""Multiply and screen layers that are clear where they do nothing.

A multiply layer of colour C and alpha α changes an opaque backdrop b to b·(1 − α + α·C) = b·M, a screen layer to
b + α·C·(1 − b) = b + L·(1 − b): only M or L counts, so the same effect can be had with the smallest α that holds it,

    multiply  α = 1 − min M,  C = (M − 1 + α) / α          screen  α = max L,  C = L / α      (min, max over channels)

Such a layer can be trimmed to what it does, may hang over the border of its backdrop, and looks nearly the same where a
program lays it over as normal: b·(1 − α) + α·C is exact where the effect is grey (C black, or white).
"""

from dataclasses import replace

import numpy as np

from layerfusion.layers.layer import Layer


def cleared(layer: Layer) -> Layer:
    """A multiply or screen layer with the smallest alpha that gives the same picture on an opaque backdrop.

    Rounding changes M and L by at most 0.5/255; the opacity stays apart. Layers of other modes come back as they are.
    """
    if layer.blend not in ("multiply", "screen"):
        return layer
    own = layer.pixels[..., 3:].astype(np.float32)
    light = layer.pixels[..., :3].astype(np.float32) * own / 255
    effect = own - light if layer.blend == "multiply" else light  # 1 − M or L, in [0, 255]
    alpha = np.rint(effect.max(-1, keepdims=True))
    share = np.divide(255 * effect, alpha, out=np.zeros_like(effect), where=alpha > 0)
    colour = 255 - share if layer.blend == "multiply" else share
    pixels = np.concatenate([np.clip(np.rint(colour), 0, 255) * (alpha > 0), alpha], -1).astype(np.uint8)
    return replace(layer, pixels=pixels)
