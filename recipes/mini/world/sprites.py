"""Foregrounds: sprites from the package, recoloured on request, and the see-through ones drawn here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from recipes.mini.world import seethrough
from recipes.mini.world.vocabulary import ObjectSpec

VARIANTS = 8  # drawings of each see-through object: no two bottles are alike


def recolour(colour: np.ndarray, source: tuple[float, float], target: tuple[float, float, float]) -> np.ndarray:
    """Turn the hues around `source` (hue, width in degrees) of a picture (H, W, 3) float32 into a target colour.

    `target` is (hue, saturation factor, value factor). Hues keep a third of their spread, so that the shading the
    sprite's painter put into them stays; the weight fades out at the border of the window and towards greys.
    """
    hsv = cv2.cvtColor(colour, cv2.COLOR_RGB2HSV)
    away = (hsv[..., 0] - source[0] + 180) % 360 - 180
    weight = np.clip((source[1] - np.abs(away)) / 8, 0, 1) * np.clip((hsv[..., 1] - 0.22) / 0.15, 0, 1)
    turned = hsv.copy()
    turned[..., 0] = (target[0] + away / 3) % 360
    turned[..., 1] = np.clip(hsv[..., 1] * target[1], 0, 1)
    turned[..., 2] = np.clip(hsv[..., 2] * target[2], 0, 1)
    return colour + (cv2.cvtColor(turned, cv2.COLOR_HSV2RGB) - colour) * weight[..., None]


def trimmed(picture: np.ndarray) -> np.ndarray:
    """Cut the empty border off a premultiplied picture (H, W, 4) float32."""
    seen = picture[..., 3] > 0.02
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return np.ascontiguousarray(picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


class Sprites:
    """Loads and caches pictures: `get` gives premultiplied (h, w, 4) float32, trimmed, longest side about 256."""

    def __init__(self, assets: Path, colours: dict[str, tuple[float, float, float]]) -> None:
        self.assets, self.colours = assets, colours
        self.get = lru_cache(maxsize=None)(self._get)

    def _get(self, spec: ObjectSpec, colour: str | None, variant: int) -> np.ndarray:
        if spec.drawn:
            return trimmed(seethrough.draw(spec.drawn, np.random.default_rng([variant, 11])))
        raw = cv2.imread(str(self.assets / f"{spec.sprite}.webp"), cv2.IMREAD_UNCHANGED)
        picture = cv2.cvtColor(raw, cv2.COLOR_BGRA2RGBA).astype(np.float32) / 255
        if colour and spec.hue:
            picture[..., :3] = recolour(np.ascontiguousarray(picture[..., :3]), spec.hue, self.colours[colour])
        picture[..., :3] *= picture[..., 3:]
        return trimmed(picture)

    def scaled(self, spec: ObjectSpec, colour: str | None, variant: int, longest: int) -> np.ndarray:
        """The picture with its longest side `longest` pixels."""
        picture = self.get(spec, colour, variant if spec.drawn else 0)
        height, width = picture.shape[:2]
        factor = longest / max(height, width)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
