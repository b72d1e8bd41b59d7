"""Distances between distributions of pictures, and of pictures from words, on features that a network gives.

The formulas are those of torchmetrics and clean-fid; which features they act on is `features`' matter.
"""

from collections.abc import Callable

import numpy as np

from layerfusion.evaluation.measures import Interval


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """FID (Heusel et al. 2017): ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 √(Σ_a Σ_b)).

    Args:
        a, b: (N, D) and (M, D), features; N and M above D for covariances of full rank.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    gap = a.mean(0) - b.mean(0)
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The product of two positive semidefinite matrices has eigenvalues that are real and not negative.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(np.atleast_2d(of_a @ of_b)).real, 0))
    return float(gap @ gap + np.trace(np.atleast_2d(of_a)) + np.trace(np.atleast_2d(of_b)) - 2 * roots.sum())


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """KID (Bińkowski et al. 2018): the unbiased squared MMD with the kernel k(x, y) = (xᵀy / D + 1)³.

    On all features at once: libraries average it over random subsets, to the same expectation. Below 0 is chance.

    Args:
        a, b: (N, D) and (M, D), features.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)

    def within(x: np.ndarray) -> float:
        kernel = _cubic(x, x)
        return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))

    return within(a) + within(b) - 2 * float(_cubic(a, b).mean())


def _cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a @ b.T / a.shape[1] + 1) ** 3


def cosines(pictures: np.ndarray, words: np.ndarray) -> np.ndarray:
    """The CLIP score of each picture with its words, max(100 cos, 0), (N,) of two (N, D)."""
    lengths = np.linalg.norm(pictures, axis=1) * np.linalg.norm(words, axis=1)
    return np.maximum(100 * (pictures * words).sum(1) / np.maximum(lengths, 1e-12), 0)


def by_halves(
    statistic: Callable[[np.ndarray, np.ndarray], float], n: int, m: int, draws: int = 200, seed: int = 0
) -> Interval:
    """A 95 % interval of a statistic of two samples by the delete-half jackknife (Shao and Wu 1989).

    The deviation of a statistic over random halves is that of the statistic over new samples. No half has a case twice:
    the bootstrap's repetitions would look like a distribution that is narrower than it is, and a distance would grow.

    Args:
        statistic: Of the numbers of the cases drawn from each sample.
        n, m: Cases of each.
        draws: How often halves are drawn.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    halves = [(rng.permutation(n)[: n // 2], rng.permutation(m)[: m // 2]) for _ in range(draws)]
    reach = 1.96 * float(np.std([statistic(*half) for half in halves]))
    whole = statistic(np.arange(n), np.arange(m))
    return Interval(whole - reach, whole + reach)
