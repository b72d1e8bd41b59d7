"""A small painter: soft shapes on a float canvas, in coordinates of the frame (0 to 1, y downwards).

Nothing here draws detail finer than about three pixels at 128: an autoencoder of factor 8 could not carry it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Colour = Sequence[float] | np.ndarray
SHIFT = 4  # fractional bits of the polygon coordinates given to OpenCV


def rgb(code: str) -> np.ndarray:
    """`"#rrggbb"` as three floats in [0, 1]."""
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255


def mix(a: Colour, b: Colour, t: float) -> np.ndarray:
    """The colour at `t` of the way from `a` to `b`."""
    return np.asarray(a, np.float32) * (1 - t) + np.asarray(b, np.float32) * t


class Canvas:
    """A picture being painted: `image` is (size, size, 3) float32 in [0, 1], `x` and `y` are the pixel centres."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.image = np.zeros((size, size, 3), np.float32)
        centres = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.x, self.y = centres[None, :], centres[:, None]

    # Fields

    def noise(self, rng: np.random.Generator, across: int, down: int | None = None) -> np.ndarray:
        """Smooth noise (size, size) in about [0, 1] with `across` × `down` cells."""
        cells = rng.random((down or across, across), dtype=np.float32)
        return cv2.resize(cells, (self.size, self.size), interpolation=cv2.INTER_CUBIC)

    def curve(
        self, rng: np.random.Generator, base: float, height: float, cells: int, sharp: bool = False
    ) -> np.ndarray:
        """A random skyline (size,): y = base ± height, plus a finer octave."""
        mode = cv2.INTER_LINEAR if sharp else cv2.INTER_CUBIC
        line = np.zeros(self.size, np.float32)
        for octave, weight in ((1, 1.0), (3, 0.3)):
            knots = rng.random((1, cells * octave + 1), dtype=np.float32) * 2 - 1
            line += weight * cv2.resize(knots, (self.size, 1), interpolation=mode)[0]
        return base + height * line

    def below(self, line: np.ndarray | float, soft: float = 1.0) -> np.ndarray:
        """Coverage (size, size) of everything under a skyline, with an edge `soft` pixels wide."""
        edge = np.asarray(line, np.float32)
        return np.clip((self.y - np.atleast_1d(edge)[None, :]) * self.size / soft + 0.5, 0, 1)

    # Painting

    def blend(self, mask: np.ndarray, colour: Colour | np.ndarray) -> None:
        """Lay a colour (3,) or a picture (size, size, 3) over the canvas where `mask` says."""
        self.image += (np.asarray(colour, np.float32) - self.image) * mask[..., None]

    def gradient(self, stops: Sequence[tuple[float, Colour]], mask: np.ndarray | None = None) -> None:
        """A vertical gradient through `stops` (y, colour), over all or under a mask."""
        ys, colours = [s[0] for s in stops], np.array([s[1] for s in stops], np.float32)
        rows = np.stack([np.interp(self.y[:, 0], ys, colours[:, c]) for c in range(3)], -1).astype(np.float32)
        if mask is None:
            self.image[:] = rows[:, None]
        else:
            self.blend(mask, rows[:, None])

    def poly(self, points: Sequence[tuple[float, float]] | np.ndarray, colour: Colour, alpha: float = 1.0) -> None:
        """A filled polygon with smooth edges."""
        pixels = np.round((np.asarray(points, np.float64) * self.size - 0.5) * (1 << SHIFT)).astype(np.int32)
        low = np.maximum(pixels.min(0) // (1 << SHIFT) - 1, 0)
        high = np.minimum(pixels.max(0) // (1 << SHIFT) + 3, self.size)
        if (high <= low).any():
            return
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(mask, [pixels - low * (1 << SHIFT)], 255, cv2.LINE_AA, SHIFT)
        patch = self.image[low[1] : high[1], low[0] : high[0]]
        patch += (np.asarray(colour, np.float32) - patch) * (mask * np.float32(alpha / 255))[..., None]

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, alpha: float = 1.0) -> None:
        """A filled rectangle."""
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, alpha)

    def stroke(self, points: Sequence[tuple[float, float]], width: float, colour: Colour, alpha: float = 1.0) -> None:
        """A line of constant width through `points`."""
        mask = np.zeros((self.size, self.size), np.uint8)
        pixels = np.round((np.asarray(points) * self.size - 0.5) * (1 << SHIFT)).astype(np.int32)
        cv2.polylines(mask, [pixels], False, 255, max(1, round(width * self.size)), cv2.LINE_AA, SHIFT)
        self.blend(mask * np.float32(alpha / 255), colour)

    def ellipse(
        self, cx: float, cy: float, rx: float, ry: float, colour: Colour, alpha: float = 1.0, soft: float = 0.0
    ) -> None:
        """A filled ellipse; `soft` is the share of the radius over which it fades out."""
        s = self.size
        x0, x1 = max(int((cx - rx) * s) - 1, 0), min(int((cx + rx) * s) + 2, s)
        y0, y1 = max(int((cy - ry) * s) - 1, 0), min(int((cy + ry) * s) + 2, s)
        if x1 <= x0 or y1 <= y0:
            return
        d = np.sqrt(((self.x[:, x0:x1] - cx) / rx) ** 2 + ((self.y[y0:y1] - cy) / ry) ** 2)
        fade = max(soft, 1.0 / (min(rx, ry) * s))
        mask = np.clip((1 - d) / fade + (0.5 if soft == 0 else 0), 0, 1)
        if soft:
            mask = mask * mask * (3 - 2 * mask)
        patch = self.image[y0:y1, x0:x1]
        patch += (np.asarray(colour, np.float32) - patch) * (alpha * mask)[..., None]

    def glow(self, cx: float, cy: float, radius: float, colour: Colour, strength: float = 1.0) -> None:
        """Light added around a point, falling off as a Gaussian of standard deviation `radius`."""
        d2 = ((self.x - cx) ** 2 + (self.y - cy) ** 2) / (radius * radius)
        self.image += np.exp(-0.5 * d2)[..., None] * (np.asarray(colour, np.float32) * np.float32(strength))

    def shine(self, cx: float, cy: float, radius: float, colour: Colour, strength: float = 1.0) -> None:
        """Light what is around a point: colours times 1 + strength × colour, falling off as in `glow`."""
        d2 = ((self.x - cx) ** 2 + (self.y - cy) ** 2) / (radius * radius)
        self.image *= 1 + np.exp(-0.5 * d2)[..., None] * (np.asarray(colour, np.float32) * np.float32(strength))

    def tint(self, field: np.ndarray, amount: float, mask: np.ndarray | None = None) -> None:
        """Lighten and darken by a noise field in [0, 1]: colours times 1 ± amount."""
        factor = 1 + amount * (2 * field - 1)
        self.image *= (factor if mask is None else 1 + (factor - 1) * mask)[..., None]
