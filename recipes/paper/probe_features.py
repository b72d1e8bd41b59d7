"""Table 1's features where Inception and CLIP are not on the machine: the embedded world's own probe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from layerfusion.evaluation.distances import cosines
from recipes.mini.probes import SIDE, Probe
from recipes.mini.world import World, article

FIRST = 3  # layers of the probe's body up to the end of its first level
BATCH = 64


class ProbeFeatures:
    """`layerfusion.evaluation.features.Features` of a probe: the paper's formulas on other features.

    In place of Inception's final pooling: the mean and the maximum of the last level, which the probe's heads see. Of
    its first pooling: the mean of the first level. In place of CLIP: 100 times the cosine of what the heads see and the
    head's weights for what the prompt names.
    """

    name = "the project's own probe, not Inception or CLIP"

    def __init__(self, probe: Probe, world: World) -> None:
        self.probe = probe
        objects = {article(spec.key): (probe.object_head, probe.objects.index(spec.key)) for spec in world.objects}
        scenes = {spec.phrases[0]: (probe.scene_head, probe.scenes.index(spec.key)) for spec in world.scenes}
        self.heads = objects | scenes

    def deep(self, pictures: np.ndarray) -> np.ndarray:
        return self._each(pictures, self._pooled)

    def texture(self, pictures: np.ndarray) -> np.ndarray:
        return self._each(pictures, lambda batch: self.probe.body[:FIRST](batch).mean((2, 3)))

    def agreement(self, pictures: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
        heads = [self.heads[prompt] for prompt in prompts]
        words = np.stack([head.weight[index].detach().numpy() for head, index in heads])
        return cosines(self.deep(pictures), words)

    def named(self, pictures: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
        """Whether the probe names what the prompt asks for, (N,) of 0 and 1."""
        found = torch.from_numpy(self.deep(pictures))
        heads = [self.heads[prompt] for prompt in prompts]
        return np.array([float(head(x).argmax() == index) for x, (head, index) in zip(found, heads, strict=True)])

    def _pooled(self, batch: Tensor) -> Tensor:
        last = self.probe.body(batch)
        return torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1)

    @torch.no_grad()
    def _each(self, pictures: np.ndarray, act: object) -> np.ndarray:
        assert callable(act)
        parts = []
        for start in range(0, len(pictures), BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(pictures[start : start + BATCH])).movedim(-1, 1).float()
            small = torch.nn.functional.interpolate(batch, (SIDE, SIDE), mode="area")
            parts.append(act(small * 2 - 1).numpy())
        return np.concatenate(parts)
