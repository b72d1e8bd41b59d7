"""Styles of whole pictures. Each takes and gives (H, W, 3) float32 in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from recipes.mini.world.paint import rgb

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _steps(picture: np.ndarray, levels: int) -> np.ndarray:
    return np.round(picture * (levels - 1)) / (levels - 1)


def comics(picture: np.ndarray) -> np.ndarray:
    """Flat loud colours with ink along the edges."""
    unit = picture.shape[0] / 128
    flat = cv2.bilateralFilter(picture, 5, 0.15, 3 * unit)
    grey = cv2.GaussianBlur(flat, (0, 0), 0.9 * unit) @ LUMA
    edge = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) * unit
    ink = cv2.GaussianBlur(np.clip((edge - 0.3) * 2.6, 0, 1), (0, 0), 0.7 * unit)
    loud = (flat @ LUMA)[..., None] + (flat - (flat @ LUMA)[..., None]) * 1.45
    return _steps(np.clip(loud, 0, 1), 6) * (1 - 0.85 * np.clip(ink * 1.2, 0, 1))[..., None]


def sepia(picture: np.ndarray) -> np.ndarray:
    """One brown tone, with dark corners."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    grey = np.clip((picture @ LUMA - 0.5) * 1.1 + 0.52, 0, 1) ** 0.9
    tone = np.stack([np.interp(grey, [0, 0.5, 1], stops) for stops in rgb_stops("#24150b", "#a87b4c", "#fbeccb")], -1)
    return (tone * (1 - 0.3 * np.clip((x * x + y * y) / 2 - 0.25, 0, 1))[..., None]).astype(np.float32)


def rgb_stops(*codes: str) -> np.ndarray:
    """Colours as three rows of stops, one a channel."""
    return np.stack([rgb(code) for code in codes], -1)


def watercolour(picture: np.ndarray) -> np.ndarray:
    """Pale washes with darker borders on paper."""
    size = picture.shape[0]
    unit = size / 128
    wash = picture
    for _ in range(2):
        wash = cv2.bilateralFilter(wash, 9, 0.22, 3.5 * unit)
    border = np.abs(wash @ LUMA - cv2.GaussianBlur(wash, (0, 0), 2.5 * unit) @ LUMA)
    cells = np.random.default_rng(7).random((9, 9), dtype=np.float32)
    blotch = cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC)
    pale = 1 - (1 - wash) * (0.62 + 0.3 * blotch)[..., None]
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    edge = np.clip((np.maximum(np.abs(x), np.abs(y)) + 0.12 * (blotch - 0.5) - 0.86) * 9, 0, 1)[..., None]
    painted = pale - (border * 0.9)[..., None]
    return (painted + (rgb("#fbf7ec") - painted) * edge).astype(np.float32)


def pixel_art(picture: np.ndarray) -> np.ndarray:
    """Forty large pixels a side, few colours."""
    size = picture.shape[0]
    small = cv2.resize(picture, (40, 40), interpolation=cv2.INTER_AREA)
    small = np.clip((small - 0.5) * 1.12 + 0.5, 0, 1)
    return cv2.resize(_steps(small, 7), (size, size), interpolation=cv2.INTER_NEAREST)


STYLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "comics": comics,
    "sepia": sepia,
    "watercolour": watercolour,
    "pixel_art": pixel_art,
}
