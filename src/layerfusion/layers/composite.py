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
STRIP_SAMPLES = 1 << 16  # pixels worked on at once, so that the working planes stay in the processor's cache


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
    rows = min(height, max(1, STRIP_SAMPLES // width))
    # Working memory is allocated once: fresh memory for every step would take longer than the arithmetic.
    canvas, work = np.empty((4, rows, width), np.float32), _Work(rows * width)
    for y in range(0, height, rows):
        strip = canvas[:, : min(rows, height - y)]
        strip[:] = 0
        opaque = False
        for layer in layers:
            opaque = _lay(strip, layer, y, opaque, linear, work)
        _quantize(strip, result[y : y + strip.shape[1]], opaque, linear, work)
    return result


class _Work:
    """Working planes of a strip, and the reading of 8-bit pixels into them.

    Pixels are read as one integer each: shifting and masking is twice as fast as picking out every fourth byte. A plane
    for fewer pixels than the strip has lies without gaps at the start of its buffer, which halves the time again.
    """

    def __init__(self, size: int) -> None:
        self.integers = np.empty(size, np.int32)
        self.floats = np.empty((2, size), np.float32)

    def channel(self, pixels: np.ndarray, number: int, plane: int) -> np.ndarray:
        """Channel `number` of uint8 (h, w, 4) pixels as float32 (h, w) in [0, 255], in working plane `plane`."""
        packed = pixels.view("<i4")[..., 0]
        integers = self.integers[: packed.size].reshape(packed.shape)
        floats = self.floats[plane, : packed.size].reshape(packed.shape)
        np.right_shift(packed, 8 * number, out=integers)
        integers &= 255
        np.copyto(floats, integers)
        return floats

    def light(self, pixels: np.ndarray, number: int, linear: bool) -> np.ndarray:
        """A colour channel in [0, 255], as it is or as linear light."""
        if linear:
            return 255 * linear_of_srgb()[pixels[..., number]]
        return self.channel(pixels, number, 1)


def _lay(strip: np.ndarray, layer: Placed, y: int, opaque: bool, linear: bool, work: _Work) -> bool:
    """Composite one layer into a strip of canvas rows starting at y, in place.

    Args:
        strip: float32 (4, rows, width): premultiplied red, green, blue in [0, 255], and alpha in [0, 1].
        opaque: whether the strip's alpha is 1 everywhere; then its alpha plane is left alone.

    Returns:
        Whether it is so afterwards.
    """
    _, rows, width = strip.shape
    height, layer_width = layer.pixels.shape[:2]
    top, bottom = max(y, layer.top), min(y + rows, layer.top + height)
    left, right = max(0, layer.left), min(width, layer.left + layer_width)
    if top >= bottom or left >= right or layer.opacity == 0:
        return opaque
    source = layer.pixels[top - layer.top : bottom - layer.top, left - layer.left : right - layer.left]
    any_bits = np.bitwise_or.reduce(source.view("<i4")[..., 0], axis=0)
    seen = np.flatnonzero(any_bits >> 24)
    if len(seen) == 0:
        return opaque
    columns = slice(seen[0], seen[-1] + 1)
    source, backdrop = source[:, columns], strip[:, top - y : bottom - y, left:right][..., columns]
    alpha = work.channel(source, 3, 0)
    alpha *= np.float32(layer.opacity / 255)
    solid = bool(alpha.min() == 1)
    if layer.blend != "normal":
        _blend(backdrop, source, alpha, layer.blend, linear, work)
    elif solid:
        for channel in range(3):
            backdrop[channel] = work.light(source, channel, linear)
        backdrop[3] = 1
    else:
        _over(backdrop, source, alpha, opaque, linear, work)
    return opaque or (solid and backdrop.shape[1:] == strip.shape[1:])


def _over(backdrop: np.ndarray, source: np.ndarray, alpha: np.ndarray, opaque: bool, linear: bool, work: _Work) -> None:
    """Normal mode: c = cs + (1 − αs)·cb, written as cb + αs·(Cs − cb)."""
    for channel in range(3):
        step = work.light(source, channel, linear)
        step -= backdrop[channel]
        step *= alpha
        backdrop[channel] += step
    if not opaque:
        backdrop[3] += alpha * (1 - backdrop[3])


def _blend(
    backdrop: np.ndarray, source: np.ndarray, alpha: np.ndarray, blend: Blend, linear: bool, work: _Work
) -> None:
    """The other modes, by the formulas at the head of this file, with colours in [0, 255]."""
    below = backdrop[3]
    for channel in range(3):
        colour = work.light(source, channel, linear) * alpha
        behind = backdrop[channel]
        product = colour * behind
        product *= np.float32(1 / 255)
        if blend == "screen":
            behind += colour
            behind -= product
            continue
        if blend == "multiply":
            mixed = product
        else:
            light = 255 * alpha * below - (510 * below - 2 * behind) * (alpha - colour * np.float32(1 / 255))
            mixed = np.where(2 * behind <= 255 * below, 2 * product, light)
        behind *= 1 - alpha
        colour *= 1 - below
        behind += colour
        behind += mixed
    below += alpha * (1 - below)


def _quantize(strip: np.ndarray, out: np.ndarray, opaque: bool, linear: bool, work: _Work) -> None:
    """Premultiplied float planes to straight uint8 (rows, width, 4), rounded."""
    alpha = strip[3]
    if not opaque:
        # Half of the smallest 8-bit step or less is written as alpha 0, and its colour as 0.
        visible = alpha >= 0.5 / 255
        strip[:3] *= visible / np.where(visible, alpha, 1)
    packed = out.view("<i4")[..., 0]
    integers = work.integers[: packed.size].reshape(packed.shape)
    packed[:] = -(1 << 24) if opaque else (alpha * 255 + 0.5).astype(np.int32) << 24
    for channel in range(3):
        plane = strip[channel]
        if linear:
            plane[:] = 255 * srgb_of_linear(plane / 255)
        plane += 0.5
        np.copyto(integers, np.clip(plane, 0, 255, out=plane), casting="unsafe")
        integers <<= 8 * channel
        packed |= integers
