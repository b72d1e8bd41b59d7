"""How near one stack of layers is to another: (H, W, 4) uint8 arrays, straight alpha, the farthest layer first.

The layers' edit distance is LayerD's (Suzuki et al. 2025): both stacks are grouped, aligned by dynamic time warping,
and, for each number of edits, neighbours in either stack are merged where that helps most.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from PIL import Image

EDITS = 5


class Alignment(NamedTuple):
    """Means over the aligned pairs after some edits: L1 of colour in [0, 1], and soft IoU of alpha."""

    edits: int
    colour: float
    alpha: float


def colour_distance(layer: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference of RGB in [0, 1] where the truth is visible at all; 0 where it is nowhere."""
    seen = truth[..., 3] > 0
    difference = np.abs(layer[..., :3].astype(float) - truth[..., :3]).mean(-1) / 255
    return float(difference[seen].mean()) if seen.any() else 0.0


def soft_iou(layer: np.ndarray, truth: np.ndarray) -> float:
    """Σ min(α, α*) / Σ max(α, α*); 0 where both are empty."""
    a, b = layer[..., 3].astype(float), truth[..., 3].astype(float)
    union = np.maximum(a, b).sum()
    return float(np.minimum(a, b).sum() / union) if union else 0.0


def cost(layer: np.ndarray, truth: np.ndarray) -> float:
    """Half colour, half alpha, in [0, 1]."""
    return (colour_distance(layer, truth) + 1 - soft_iou(layer, truth)) / 2


def grouped(layers: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Layers that nothing covers are taken off together, again and again, and each lot becomes one layer."""
    left, lots = list(range(len(layers))), []
    visible = [layer[..., 3] > 0 for layer in layers]
    while left:
        top = [k for k in left if not any((visible[k] & visible[other]).any() for other in left if other > k)]
        lots.append(reduce(over, [layers[k] for k in top]))
        left = [k for k in left if k not in top]
    return lots[::-1]


def over(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """One layer laid over another, both straight."""
    return np.asarray(Image.alpha_composite(Image.fromarray(below), Image.fromarray(above)))


def aligned(layers: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs of numbers by dynamic time warping: each layer has a partner, order is kept."""
    costs = np.array([[cost(a, b) for b in truth] for a in layers])
    total = np.full((len(layers) + 1, len(truth) + 1), np.inf)
    total[0, 0] = 0
    for i in range(len(layers)):
        for j in range(len(truth)):
            total[i + 1, j + 1] = costs[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    i, j = len(layers), len(truth)
    path = []
    while i and j:
        path.append((i - 1, j - 1))
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda at: total[at])
    return path[::-1]


def edit_distances(layers: Sequence[np.ndarray], truth: Sequence[np.ndarray], edits: int = EDITS) -> list[Alignment]:
    """The alignment without edits, after one, and so on, until none helps or `edits` are made."""
    stacks = [grouped(layers), grouped(truth)]
    pairs = aligned(*stacks)
    found = [_measured(0, stacks, pairs)]
    while len(found) <= edits:
        gains = [
            _merge_gains(stacks[0], stacks[1], pairs),
            _merge_gains(stacks[1], stacks[0], [p[::-1] for p in pairs]),
        ]
        best = [max(each, default=(-np.inf, -1)) for each in gains]
        side = int(best[0][0] <= best[1][0])  # of equal ones, the truth is edited
        gain, at = best[side]
        if gain == -np.inf:
            break
        stacks[side][at : at + 2] = [over(*stacks[side][at : at + 2])]
        pairs = aligned(*stacks)
        found.append(_measured(len(found), stacks, pairs))
    return found


def _measured(edits: int, stacks: Sequence[Sequence[np.ndarray]], pairs: Sequence[tuple[int, int]]) -> Alignment:
    each = [(stacks[0][i], stacks[1][j]) for i, j in pairs]
    return Alignment(edits, *(float(np.mean([of(*pair) for pair in each])) for of in (colour_distance, soft_iou)))


def _merge_gains(
    layers: Sequence[np.ndarray], others: Sequence[np.ndarray], pairs: Sequence[tuple[int, int]]
) -> list[tuple[float, int]]:
    """(gain, −) for each two neighbours whose merging brings them nearer to their partners; two layers always stay.

    The merged layer takes the first one's partners; the second one's go to it, or to the layer after it.
    """
    if len(layers) <= 2:
        return []

    def alike(layer: np.ndarray, partners: Sequence[np.ndarray]) -> float:
        return sum(1 - cost(layer, other) for other in partners)

    gains = []
    for i in range(len(layers) - 1):
        first, second = ([others[j] for k, j in pairs if k == at] for at in (i, i + 1))
        merged = over(layers[i], layers[i + 1])
        rest = [alike(merged, second)]
        if i + 2 < len(layers):
            rest += [alike(layers[i + 2], first), alike(layers[i + 2], second)]
        gain = alike(merged, first) + max(rest) - alike(layers[i], first) - alike(layers[i + 1], second)
        if gain > 0:
            gains.append((gain, i))
    return gains
