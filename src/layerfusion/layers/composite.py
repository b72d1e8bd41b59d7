"""Compositing of placed layers by the W3C's formulas (Compositing and Blending Level 1, sections 9 and 10).

With premultiplied colours c = C·α, a source (s) over a backdrop (b), and blend function B:

    α  = αs + αb − αs·αb
    c  = (1 − αb)·cs + (1 − αs)·cb + αs·αb·B(Cb, Cs)

For the modes here αs·αb·B needs no division: multiply is cs·cb; screen is αb·cs + αs·cb − cs·cb; overlay is
2·cs·cb where 2·cb ≤ αb, else αs·αb − 2·(αb − cb)·(αs − cs).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from layerfusion.layers.resample import linear_of_srgb, srgb_of_linear

Blend = Literal["normal", "multiply", "screen", "overlay"]
BLENDS: tuple[Blend, ...] = get_args(Blend)
STRIP_SAMPLES = 1 << 17  # pixels worked on at once, so that the working planes stay in the processor's cache


class Placed(NamedTuple):
    """Pixels on the canvas grid: uint8 (h, w, 4) straight alpha, first pixel at (left, top), opacity in [0, 1]."""

    pixels: np.ndarray
    left: int
    top: int
    opacity: float
    blend: Blend


def composite(size: tuple[int, int], layers: Sequence[Placed], linear: bool = False) -> np.ndarray:
    """Composite layers, bottom first, over a transparent canvas.

    Args:
        size: (width, height) of the canvas.
        linear: blend in linear light; otherwise sRGB values are blended as they are, as Photoshop, Krita and
            browsers do by default.

    Returns:
        uint8 (height, width, 4), straight alpha; colour is 0 where alpha is 0.
    """
    width, height = size
    result = np.empty((height, width, 4), np.uint8)
    rows = max(1, STRIP_SAMPLES // width)
    canvas = np.empty((4, min(rows, height), width), np.float32)
    for y in range(0, height, rows):
        strip = canvas[:, : min(rows, height - y)]
        strip[:] = 0
        opaque = False
        for layer in layers:
            opaque = _lay(strip, layer, y, opaque, linear)
        _quantize(strip, result[y : y + strip.shape[1]], opaque, linear)
    return result


def _lay(strip: np.ndarray, layer: Placed, y: int, opaque: bool, linear: bool) -> bool:
    """Composite one layer into a strip of canvas rows starting at y, in place.

    Args:
        strip: float32 (4, rows, width), premultiplied red, green, blue, and alpha, all in [0, 1].
        opaque: whether the strip's alpha is 1 everywhere; then its alpha plane is left alone.

    Returns:
        Whether it is so afterwards.
    """
    _, rows, width = strip.shape
    height, layer_width = layer.pixels.shape[:2]
    top, bottom = max(y, layer.top), min(y + rows, layer.top + height)
    left, right = max(0, layer.left), min(width, layer.left + layer_width)
    if top >= bottom or left >= right:
        return opaque
    source = layer.pixels[top - layer.top : bottom - layer.top, left - layer.left : right - layer.left]
    alphas = source[..., 3]
    strongest, weakest = alphas.max(), alphas.min()
    if strongest == 0 or layer.opacity == 0:
        return opaque
    backdrop = strip[:, top - y : bottom - y, left:right]
    solid = bool(weakest == 255) and layer.opacity == 1
    alpha = np.multiply(alphas, np.float32(layer.opacity / 255), dtype=np.float32)
    if layer.blend != "normal":
        _blend(backdrop, source, alpha, layer.blend, linear)
    elif solid:
        for channel in range(3):
            backdrop[channel] = _light(source, channel, linear)
        backdrop[3] = 1
    else:
        _over(backdrop, source, alpha, opaque, linear)
    return opaque or (solid and backdrop.shape[1:] == strip.shape[1:])


def _light(source: np.ndarray, channel: int, linear: bool) -> np.ndarray:
    """One channel of uint8 source pixels as float32 in [0, 1]."""
    if linear:
        return linear_of_srgb()[source[..., channel]]
    return np.multiply(source[..., channel], np.float32(1 / 255), dtype=np.float32)


def _over(backdrop: np.ndarray, source: np.ndarray, alpha: np.ndarray, opaque: bool, linear: bool) -> None:
    """Normal mode: c = cs + (1 − αs)·cb, written as cb + αs·(Cs − cb)."""
    for channel in range(3):
        step = _light(source, channel, linear)
        step -= backdrop[channel]
        step *= alpha
        backdrop[channel] += step
    if not opaque:
        backdrop[3] += alpha * (1 - backdrop[3])


def _blend(backdrop: np.ndarray, source: np.ndarray, alpha: np.ndarray, blend: Blend, linear: bool) -> None:
    """The other modes, by the formulas at the head of this file."""
    below = backdrop[3]
    for channel in range(3):
        colour = _light(source, channel, linear) * alpha
        behind = backdrop[channel]
        product = colour * behind
        if blend == "screen":
            behind += colour - product
            continue
        if blend == "multiply":
            mixed = product
        else:
            light = alpha * below - 2 * (below - behind) * (alpha - colour)
            mixed = np.where(2 * behind <= below, 2 * product, light)
        behind *= 1 - alpha
        behind += (1 - below) * colour + mixed
    below += alpha * (1 - below)


def _quantize(strip: np.ndarray, out: np.ndarray, opaque: bool, linear: bool) -> None:
    """Premultiplied float planes to straight uint8 (rows, width, 4), rounded."""
    alpha = strip[3]
    if not opaque:
        # Half of the smallest 8-bit step or less is written as alpha 0, and its colour as 0.
        visible = alpha >= 0.5 / 255
        strip[:3] *= visible / np.where(visible, alpha, 1)
    for channel in range(3):
        plane = strip[channel]
        if linear:
            plane = srgb_of_linear(plane)
        np.multiply(plane, 255, out=plane)
        plane += 0.5
        out[..., channel] = np.clip(plane, 0, 255, out=plane)
    out[..., 3] = 255 if opaque else alpha * 255 + 0.5
