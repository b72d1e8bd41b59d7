"""Errors of an alpha matte as AIM-500 has them (Li et al. 2021): (H, W) arrays in [0, 1] → numbers, 0 the best.

Definitions as in the benchmark's own evaluation, which differ from others' in their factors: SAD in thousands, MSE and
MAD per pixel, the gradient's error over 10, the connectivity's over 1000.
"""

from itertools import pairwise

import numpy as np

SIGMA = 1.4  # of the Gaussian whose derivatives give the gradient
STEP, FREE = 0.1, 0.15  # thresholds of connectivity, and the distance that costs nothing


def errors(alpha: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """SAD, MSE and MAD over the whole picture, and the errors of gradient and connectivity."""
    difference = np.abs(alpha - truth)
    return {
        "SAD": float(difference.sum() / 1000),
        "MSE": float((difference**2).mean()),
        "MAD": float(difference.mean()),
        "gradient": gradient_error(alpha, truth),
        "connectivity": connectivity_error(alpha, truth),
    }


def errors_in_trimap(alpha: np.ndarray, truth: np.ndarray, trimap: np.ndarray) -> dict[str, float]:
    """SAD, MSE and MAD where the trimap (H, W, 8 bits) is undecided (128); elsewhere its word is taken."""
    undecided = (trimap != 0) & (trimap != 255)
    taken = np.where(undecided, alpha, trimap / 255)
    difference = np.abs(taken - truth)
    count = max(int((trimap == 128).sum()) or int(undecided.sum()), 1)
    return {
        "SAD in the trimap": float(difference.sum() / 1000),
        "MSE in the trimap": float((difference**2).sum() / count),
        "MAD in the trimap": float(difference.sum() / count),
    }


def gradient_error(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Σ (|∇α| − |∇α*|)² / 10, with derivatives of a Gaussian."""
    from scipy.ndimage import gaussian_gradient_magnitude

    one, other = (gaussian_gradient_magnitude(np.asarray(x, np.float32), SIGMA) for x in (alpha, truth))
    return float(((one - other) ** 2).sum() / 10)


def connectivity_error(alpha: np.ndarray, truth: np.ndarray) -> float:
    """Σ |φ(α) − φ(α*)| / 1000 (Rhemann et al. 2009).

    The source is the largest region in which both exceed a threshold, neighbours sharing an edge; l is the last
    threshold, in steps of 0.1, at which a pixel belongs to it, and φ = 1 − (α − l) where that distance reaches 0.15,
    else 1.
    """
    from scipy.ndimage import label

    level = np.full(alpha.shape, -1.0)
    thresholds = np.arange(0, 1 + STEP, STEP)
    for below, threshold in pairwise(thresholds):
        regions, count = label((alpha >= threshold) & (truth >= threshold))
        if count == 0:
            continue
        largest = regions == np.bincount(regions.ravel())[1:].argmax() + 1
        level[(level == -1) & ~largest] = below
    level[level == -1] = 1

    def phi(matte: np.ndarray) -> np.ndarray:
        distance = matte - level
        return 1 - distance * (distance >= FREE)

    return float(np.abs(phi(alpha) - phi(truth)).sum() / 1000)
