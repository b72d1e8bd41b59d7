"""What the report computes: colour gains, regressions, areas under curves, overlaps. Pictures are in [0, 1]."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.stats import linregress, rankdata

SOLID = 0.9  # alpha above which a pixel counts as the thing itself
FEWEST = 60  # pixels below which no colour is measured


class Line(NamedTuple):
    """y ≈ slope · x + intercept, and Pearson's r."""

    slope: float
    intercept: float
    r: float


def fit(x: np.ndarray, y: np.ndarray) -> Line:
    """Least squares over the finite pairs; r is 0 where y does not vary, and all is NaN with fewer than three pairs."""
    x, y = np.asarray(x, float).ravel(), np.asarray(y, float).ravel()
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 3:
        return Line(float("nan"), float("nan"), float("nan"))
    if np.ptp(y[known]) < 1e-9:
        return Line(0.0, float(y[known].mean()), 0.0)
    result = linregress(x[known], y[known])
    return Line(float(result.slope), float(result.intercept), float(result.rvalue))


def interior(alpha: np.ndarray) -> np.ndarray:
    """Where the thing is solid, a thirty-second of the side away from its edge: (H, W) → (H, W) bool."""
    size = max(3, alpha.shape[0] // 32 | 1)
    return cv2.erode((alpha > SOLID).astype(np.uint8), np.ones((size, size), np.uint8)) > 0


def colour_gain(lit: np.ndarray, unlit: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The factor (3,) between the mean colours of two pictures (H, W, 3) over a region; NaN where it is too small."""
    if where.sum() < FEWEST:
        return np.full(3, np.nan)
    return lit[where].mean(0) / np.maximum(unlit[where].mean(0), 0.02)


def auc(scores: np.ndarray, inside: np.ndarray) -> float:
    """Area under the ROC curve: the chance that an inside value exceeds an outside one; NaN without both."""
    scores, inside = np.ravel(scores), np.ravel(inside).astype(bool)
    n, m = int(inside.sum()), int((~inside).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(scores)[inside].sum() - n * (n + 1) / 2) / (n * m))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two alphas, cut at one half; 0 where both are empty."""
    a, b = a > 0.5, b > 0.5
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 0.0


def mean_overlap(alphas: np.ndarray) -> float:
    """Mean `overlap` over all pairs of (N, H, W)."""
    pairs = [overlap(alphas[i], alphas[j]) for i in range(len(alphas)) for j in range(i)]
    return float(np.mean(pairs))
