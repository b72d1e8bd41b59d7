"""Harmonizers that move the statistics of colour and know nothing else: none, Reinhard's, the histogram's."""

from __future__ import annotations

import numpy as np

from layerfusion.evaluation.baselines.interface import Scene, System

FEWEST = 16
"""Pixels of subject or surroundings below which there are no statistics, and the composite stays as it is."""


class Paste:
    """The composite as it is."""

    def harmonize(self, composite: np.ndarray, mask: np.ndarray, scene: Scene) -> np.ndarray:
        return composite


class Reinhard:
    """Mean and deviation of the subject's L*, a*, b* become those of its surroundings (Reinhard et al. 2001).

    In CIELAB, as harmonization benchmarks take it, in place of the paper's lαβ.
    """

    def harmonize(self, composite: np.ndarray, mask: np.ndarray, scene: Scene) -> np.ndarray:
        from skimage.color import lab2rgb, rgb2lab

        inside = mask > 0.5
        if min(inside.sum(), (~inside).sum()) < FEWEST:
            return composite
        lab = rgb2lab(composite.astype(np.float64))
        (mean, std), (wanted_mean, wanted_std) = ((x.mean(0), x.std(0)) for x in (lab[inside], lab[~inside]))
        moved = lab2rgb((lab - mean) / np.maximum(std, 1e-6) * wanted_std + wanted_mean)
        return _inside(composite, moved, mask)


class Histogram:
    """Each channel's distribution over the subject becomes the surroundings' (scikit-image's `match_histograms`)."""

    def harmonize(self, composite: np.ndarray, mask: np.ndarray, scene: Scene) -> np.ndarray:
        from skimage.exposure import match_histograms

        inside = mask > 0.5
        if min(inside.sum(), (~inside).sum()) < FEWEST:
            return composite
        moved = composite.copy()
        moved[inside] = match_histograms(composite[inside], composite[~inside], channel_axis=-1)
        return _inside(composite, moved, mask)


def _inside(composite: np.ndarray, moved: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The moved colours where the mask is, by its opacity."""
    weight = mask[..., None]
    return np.clip(composite * (1 - weight) + moved * weight, 0, 1).astype(np.float32)


PASTE = System("plain paste", ("harmonize",), "", "alpha blending", lambda folder, pipeline: Paste())
REINHARD = System(
    "Reinhard", ("harmonize",), "", "Reinhard et al. 2001, on scikit-image", lambda folder, pipeline: Reinhard()
)
HISTOGRAM = System("histogram matching", ("harmonize",), "", "scikit-image", lambda folder, pipeline: Histogram())
