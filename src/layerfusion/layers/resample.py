"""Put a layer's pixels on the canvas grid without fringes: premultiplied, anti-aliased, then straight again."""

import math
from functools import cache

import numpy as np
from PIL import Image

from layerfusion.layers.affine import Affine
from layerfusion.layers.limits import check_size

MAX_SUPERSAMPLING = 8  # beyond it the picture is first shrunk by area averaging
STRIP_PIXELS = 1 << 22  # samples held at once


@cache
def linear_of_srgb() -> np.ndarray:
    """float32 (256,): linear light in [0, 1] of each 8-bit sRGB value (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb_of_linear(light: np.ndarray) -> np.ndarray:
    """The inverse curve: linear light in [0, 1] to sRGB in [0, 1], any shape."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def bake(
    pixels: np.ndarray, placement: Affine, linear: bool = False, within: tuple[int, int] | None = None
) -> tuple[np.ndarray, int, int]:
    """Resample a layer so that its pixels lie on the canvas grid.

    Flips, quarter turns and whole-pixel moves only reorder pixels. Everything else is sampled in premultiplied
    colour: shrinking averages k × k bilinear samples per canvas pixel (k = 1 / scale, rounded up), the rest is
    bicubic. The layer's border is anti-aliased, and sampling never mixes in anything from outside it.

    Args:
        pixels: uint8 (height, width, 4), straight alpha.
        placement: from the layer's pixels to the canvas.
        linear: average in linear light instead of sRGB values.
        within: (width, height) of a canvas outside which nothing need be resampled; the layer must touch it.

    Returns:
        (pixels uint8 (h, w, 4) straight alpha, left, top): the canvas position of its first pixel.

    Raises:
        LayerFusionError: the result would be larger than any canvas may be.
    """
    if placement.is_exact:
        return _permute(pixels, placement)
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = grid_bounds(placement, (width, height))
    if within is not None:
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(within[0], x1), min(within[1], y1)
    size = (x1 - x0, y1 - y0)
    check_size(*size, "The placed layer")
    local = placement.then(Affine.translation(-x0, -y0))
    planes, inverse = _prepare(pixels, local, linear)
    return _sample(planes, inverse, size, _Mask(pixels, local), linear), x0, y0


def grid_bounds(placement: Affine, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the canvas pixels that a placed picture of `size` touches, at least one each way.

    A border within 1/1000 pixel of the grid lies on it: rounding errors must not add a row of nothing.
    """
    left, top, right, bottom = placement.bounds(*size)
    x0, y0 = math.floor(left + 1e-3), math.floor(top + 1e-3)
    return x0, y0, max(x0 + 1, math.ceil(right - 1e-3)), max(y0 + 1, math.ceil(bottom - 1e-3))


def grid_size(placement: Affine, size: tuple[int, int], within: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of what a placed picture takes up on the canvas grid, at most that of `within`."""
    left, top, right, bottom = grid_bounds(placement, size)
    return min(within[0], right - left), min(within[1], bottom - top)


def _permute(pixels: np.ndarray, placement: Affine) -> tuple[np.ndarray, int, int]:
    """Move pixels to pixels: no arithmetic on colours."""
    height, width = pixels.shape[:2]
    left, top, _, _ = placement.bounds(width, height)
    a, b, _, d, e, _ = (round(number) for number in placement.as_tuple())
    transposed = a == 0
    turned = pixels.swapaxes(0, 1) if transposed else pixels
    along_x, along_y = (b, d) if transposed else (a, e)
    return np.ascontiguousarray(turned[::along_y, ::along_x]), round(left), round(top)


def _prepare(pixels: np.ndarray, placement: Affine, linear: bool) -> tuple[list[Image.Image], Affine]:
    """Premultiplied float planes (alpha last), padded by repeating the border, and the map from canvas to them."""
    alpha = pixels[..., 3].astype(np.float32) / 255
    light = linear_of_srgb() if linear else np.arange(256, dtype=np.float32) / 255
    planes = [light[pixels[..., channel]] * alpha for channel in range(3)] + [alpha]
    height, width = alpha.shape
    # Shrinking by more than MAX_SUPERSAMPLING along an axis of the layer starts with an area average.
    shrunk = (
        max(1, min(width, math.ceil(width * math.hypot(placement.a, placement.d) * MAX_SUPERSAMPLING))),
        max(1, min(height, math.ceil(height * math.hypot(placement.b, placement.e) * MAX_SUPERSAMPLING))),
    )
    images = [Image.fromarray(plane) for plane in planes]
    if shrunk != (width, height):
        images = [image.resize(shrunk, Image.Resampling.BOX) for image in images]
        placement = Affine.scaling(width / shrunk[0], height / shrunk[1]).then(placement)
    pad = math.ceil(2 / placement.stretches()[1]) + 2
    pad = min(pad, 4 * MAX_SUPERSAMPLING)
    padded = [Image.fromarray(np.pad(np.asarray(image), pad, mode="edge")) for image in images]
    return padded, placement.inverse().then(Affine.translation(pad, pad))


def _sample(
    planes: list[Image.Image], inverse: Affine, size: tuple[int, int], mask: "_Mask", linear: bool
) -> np.ndarray:
    """Sample strip by strip, each canvas pixel from k × k points; returns straight uint8 (h, w, 4)."""
    width, height = size
    k = min(MAX_SUPERSAMPLING, math.ceil(inverse.stretches()[0] - 1e-6))
    method = Image.Resampling.BICUBIC if k == 1 else Image.Resampling.BILINEAR
    rows = max(1, STRIP_PIXELS // (width * k * k))
    result = np.empty((height, width, 4), np.uint8)
    for y in range(0, height, rows):
        strip = (width, min(rows, height - y))
        points = Affine.scaling(1 / k, 1 / k).then(Affine.translation(0, y)).then(inverse).as_tuple()
        sampled = [
            plane.transform((strip[0] * k, strip[1] * k), Image.Transform.AFFINE, points, method) for plane in planes
        ]
        if k > 1:
            sampled = [plane.reduce(k) for plane in sampled]
        _write_straight([np.asarray(plane) for plane in sampled], mask(strip, y), linear, result[y : y + strip[1]])
    return pad_colours(result)


class _Mask:
    """How much of each canvas pixel the layer's rectangle covers: its anti-aliased border."""

    def __init__(self, pixels: np.ndarray, placement: Affine) -> None:
        alpha = pixels[..., 3]
        self.seen = bool(alpha[[0, -1]].any() or alpha[:, [0, -1]].any())  # otherwise the border is invisible anyway
        self.size = (pixels.shape[1], pixels.shape[0])
        self.inverse = placement.inverse()

    def __call__(self, size: tuple[int, int], y0: int) -> "np.ndarray | np.float32":
        """float32 (h, w) in [0, 1] for the strip that starts at row y0."""
        if not self.seen:
            return np.float32(1)
        x = np.arange(size[0], dtype=np.float32) + np.float32(0.5)
        y = (np.arange(y0, y0 + size[1], dtype=np.float32) + np.float32(0.5))[:, None]
        m = self.inverse
        covered = np.ones((size[1], size[0]), np.float32)
        for (a, b, c), length in zip(((m.a, m.b, m.c), (m.d, m.e, m.f)), self.size, strict=True):
            slope = math.hypot(a, b)  # layer pixels per canvas pixel, across this pair of edges
            inside = np.float32(a / slope) * x + np.float32(b / slope) * y + np.float32(c / slope)
            far = np.minimum(np.float32(length / slope) - inside, np.float32(0.5))
            covered *= np.clip(np.minimum(inside, np.float32(0.5), out=inside) + far, 0, 1)
        return covered


def _write_straight(
    planes: list[np.ndarray], covered: "np.ndarray | np.float32", linear: bool, out: np.ndarray
) -> None:
    """Divide colours by their alpha, then clip: bicubic overshoot must not shift the colour of an edge."""
    alpha = planes[3]
    share = np.reciprocal(np.maximum(alpha, np.float32(1e-4)))
    for channel in range(3):
        colour = np.clip(planes[channel] * share, 0, 1)
        if linear:
            colour = srgb_of_linear(colour)
        out[..., channel] = colour * 255 + 0.5
    out[..., 3] = np.clip(alpha, 0, 1) * covered * 255 + 0.5


def pad_colours(pixels: np.ndarray, levels: int = 4) -> np.ndarray:
    """Give invisible pixels the colour of the visible ones nearby, so that no program's own resampling darkens edges.

    A pyramid of averages over the visible pixels is filled from coarse to fine; 2**levels pixels around the visible
    part get a colour, the rest becomes black.

    Args:
        pixels: uint8 (height, width, 4), straight alpha.

    Returns:
        The same alpha and visible colours, with colours under alpha 0 replaced.
    """
    alpha = pixels[..., 3]
    if alpha.all() or not alpha.any():
        return pixels
    pyramid = [_with_alpha(Image.fromarray(pixels), alpha > 0)]
    for _ in range(levels):
        coarser = pyramid[-1].reduce(2)  # Pillow averages premultiplied colours
        pyramid.append(_with_alpha(coarser, np.asarray(coarser.getchannel("A")) > 0))
    filled = pyramid.pop()
    while pyramid:
        level = pyramid.pop()
        filled = filled.resize((filled.width * 2, filled.height * 2), Image.Resampling.NEAREST).crop(
            (0, 0, *level.size)
        )
        filled.paste(level, mask=level)
    colours = np.array(filled)
    colours[..., :3] *= colours[..., 3:] > 0
    colours[..., 3] = alpha
    return colours


def _with_alpha(image: Image.Image, visible: np.ndarray) -> Image.Image:
    """The picture with alpha 255 where visible, else 0."""
    image.putalpha(Image.fromarray(visible.view(np.uint8) * np.uint8(255)))
    return image
