"""Measures of a triplet: is the subject whole, in the light, grounded, and is the rest of the picture left alone.

Pictures are (H, W, 3) arrays in [0, 1], alphas (H, W) in [0, 1]. A measure that has too few pixels to say anything is
NaN. Nothing here knows a model or a world: truth, where a measure needs it, is an argument.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

SOLID = 0.9  # alpha above which a pixel counts as the thing itself
FEWEST = 60  # pixels below which nothing is measured
LUMA = np.array([0.2126, 0.7152, 0.0722])  # Rec. 709


class Line(NamedTuple):
    """y ≈ slope · x + intercept, and Pearson's r."""

    slope: float
    intercept: float
    r: float


class Interval(NamedTuple):
    """A bootstrap interval."""

    low: float
    high: float


# --- regions ----------------------------------------------------------------------------------------------------------


def interior(alpha: np.ndarray) -> np.ndarray:
    """Where the thing is solid, a sixty-fourth of the height away from its edge: (H, W) → (H, W) bool."""
    return ~_dilate(alpha <= SOLID, max(3, alpha.shape[0] // 32 | 1))


def beyond(alpha: np.ndarray, reach: float = 0.125) -> np.ndarray:
    """What lies out of the subject's reach: farther than `reach` of the height from anything visible: (H, W) bool."""
    return ~_dilate(alpha > 0.05, 2 * max(1, round(reach * alpha.shape[0])) + 1)


def _dilate(region: np.ndarray, size: int) -> np.ndarray:
    """A region grown by a square of `size` (odd); what lies outside the frame is not part of it."""
    grown = F.max_pool2d(torch.from_numpy(region[None].astype(np.float32)), size, 1, size // 2)
    return grown[0].numpy() > 0.5


# --- the subject ------------------------------------------------------------------------------------------------------


def wholeness(picture: np.ndarray, foreground: np.ndarray, alpha: np.ndarray) -> float:
    """How much of what the picture shows in the subject's place is the subject, under whatever light: in [0, 1].

        R² = 1 − Σ_c Σ_x (p_cx − (a_c f_cx + b_c))² / Σ_c Σ_x (p_cx − p̄_c)²,     a_c ≥ 0

    over the pixels x of `interior(alpha)` and the channels c, with the best a_c and b_c for each channel. A light that
    is even over the subject scores 1, a detail that is missing or a colour that turned costs.

    Args:
        picture: The blended picture.
        foreground: The foreground's colour, straight.
        alpha: The foreground's.
    """
    return explained(picture, foreground, interior(alpha))


def explained(picture: np.ndarray, foreground: np.ndarray, where: np.ndarray) -> float:
    """R² of `wholeness` over any region, (H, W) bool."""
    if where.sum() < FEWEST:
        return float("nan")
    p, f = (x[where].astype(float) - x[where].astype(float).mean(0) for x in (picture, foreground))
    gain = np.maximum((p * f).sum(0), 0) / np.maximum((f * f).sum(0), 1e-12)
    total = (p * p).sum()
    return float(1 - ((p - gain * f) ** 2).sum() / total) if total > 1e-12 else float("nan")


def colour_gain(lit: np.ndarray, unlit: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The factor between the mean colours of two pictures over a region: g_c = mean lit_c / mean unlit_c, (3,)."""
    if where.sum() < FEWEST:
        return np.full(3, np.nan)
    return lit[where].mean(0) / np.maximum(unlit[where].mean(0), 0.02)


def fit(x: np.ndarray, y: np.ndarray) -> Line:
    """Least squares over the finite pairs: of measured gains on true ones, slope 1 is a subject fully in the light.

    r is 0 where y does not vary, and all is NaN with fewer than three pairs or where x does not vary.
    """
    x, y = np.asarray(x, float).ravel(), np.asarray(y, float).ravel()
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) < 1e-9:
        return Line(float("nan"), float("nan"), float("nan"))
    if np.ptp(y) < 1e-9:
        return Line(0.0, float(y.mean()), 0.0)
    dx, dy = x - x.mean(), y - y.mean()
    slope = (dx @ dy) / (dx @ dx)
    return Line(float(slope), float(y.mean() - slope * x.mean()), float(dx @ dy / np.sqrt((dx @ dx) * (dy @ dy))))


# --- around the subject -----------------------------------------------------------------------------------------------


def darkening(blended: np.ndarray, background: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """By which part the blended picture is darker than the background, outside the subject: (H, W) in [0, 1].

    1 − Y(blended) / Y(background), Y the luma, clipped to [0, 1], and 0 where alpha is above 0.05: the shadow.
    """
    ratio = (blended @ LUMA) / np.maximum(background @ LUMA, 0.02)
    return np.clip(1 - ratio, 0, 1) * (alpha <= 0.05)


def shadow_overlap(measured: np.ndarray, true: np.ndarray, faintest: float = 0.08) -> float:
    """How well a shadow lies where it should: Σ min(m, t) / Σ max(m, t) over the pixels, 1 for the same shadow.

    Args:
        measured, true: (H, W) in [0, 1], as `darkening` gives them.
        faintest: Darkening below this is texture, and counts as none.
    """
    m, t = (np.where(x < faintest, 0, x) for x in (measured, true))
    return float(np.minimum(m, t).sum() / np.maximum(m, t).sum()) if t.any() else float("nan")


def background_kept(blended: np.ndarray, background: np.ndarray, alpha: np.ndarray) -> float:
    """PSNR in dB of the blended picture against the background, `beyond` the subject's reach; at most 60."""
    where = beyond(alpha)
    if where.sum() < FEWEST:
        return float("nan")
    return float(-10 * np.log10(max(((blended[where] - background[where]) ** 2).mean(), 1e-6)))


def ghost(background: np.ndarray, foreground: np.ndarray, alpha: np.ndarray) -> float:
    """How much of the background, in the subject's place, the subject explains: `wholeness` of the background.

    Chance is not 0: any two pictures have something in common. Compare runs, or other pairs of the two.
    """
    return wholeness(background, foreground, alpha)


# --- maps and alphas --------------------------------------------------------------------------------------------------


def auc(scores: np.ndarray, inside: np.ndarray) -> float:
    """Area under the ROC curve: the chance that an inside value exceeds an outside one; NaN without both."""
    scores, inside = np.ravel(scores), np.ravel(inside).astype(bool)
    n, m = int(inside.sum()), int((~inside).sum())
    if not n or not m:
        return float("nan")
    _, rank_of, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[rank_of]
    return float((ranks[inside].sum() - n * (n + 1) / 2) / (n * m))


def lost(alphas: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Of which subjects less than a tenth of the area is there that the same have without blending.

    Args:
        alphas, alone: (N, H, W) in [0, 1]; a pixel is the subject's where it is above one half.

    Returns:
        (N,) bool.
    """
    area, of_alone = ((alpha > 0.5).sum((1, 2)) for alpha in (alphas, alone))
    return 10 * area < of_alone


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two alphas, cut at one half; 0 where both are empty."""
    a, b = a > 0.5, b > 0.5
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 0.0


def mean_overlap(alphas: np.ndarray) -> float:
    """Mean `overlap` over all pairs of (N, H, W)."""
    pairs = [overlap(alphas[i], alphas[j]) for i in range(len(alphas)) for j in range(i)]
    return float(np.mean(pairs))


# --- how sure we are --------------------------------------------------------------------------------------------------


def bootstrap(
    statistic: Callable[[np.ndarray], float], cases: int, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> Interval:
    """The percentile bootstrap interval of a statistic of many cases.

    Args:
        statistic: From the numbers of the cases drawn, (cases,) integers with repetition, to the value; draws for which
            it is NaN are left out, and all of them give NaN.
        cases: How many there are.
        level: The part of all draws that lies within.
        draws: How often the cases are drawn anew.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    values = np.array([statistic(rng.integers(cases, size=cases)) for _ in range(draws)])
    values = values[np.isfinite(values)]
    if not len(values):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
