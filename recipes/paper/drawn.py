"""What Table 1 compares, drawn: triplets of each system, and the two generators alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Generator

from layerfusion import LayerFusionConfig, LayerFusionOutput, LayerFusionPipeline
from layerfusion.evaluation.baselines import Missing
from layerfusion.evaluation.baselines.interface import Generator as System
from layerfusion.evaluation.baselines.layerdiffuse import SEQUENTIAL, Alone, SequentialLayerDiffuse
from recipes.mini.train.sequential import FOLDER, STAGES, file_of
from recipes.paper.kept import Pictures

EMBEDDED = "mini"  # the model whose world is known
PASSES = 1  # of the transparent decoder, in every row alike
OTHERS = 1_000_000  # between the seeds of triplets and those of the generators alone


@dataclass(frozen=True)
class Pair:
    """One triplet that is asked for."""

    foreground: str
    background: str
    seed: int


class LayerFusion:
    """This project's own, in a configuration; None is the model's."""

    def __init__(self, pipeline: LayerFusionPipeline, config: LayerFusionConfig | None) -> None:
        self.pipeline, self.config = pipeline, config

    def generate(self, pairs: Sequence[tuple[str, str]], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """As `Generator.generate` of the baselines."""
        foregrounds, backgrounds = (list(prompts) for prompts in zip(*pairs, strict=True))
        out = self.pipeline(
            foregrounds,
            backgrounds,
            generator=[Generator().manual_seed(seed) for seed in seeds],
            config=self.config,
            transparency_passes=PASSES,
            output_type="np",
        )
        assert isinstance(out, LayerFusionOutput)
        return {name: np.asarray(getattr(out, name)) for name in ("foreground", "background", "blended")}


PAPER, OWN, SMALL = "LayerFusion, the paper's", "LayerFusion, the model's own", "LayerDiffuse, our small sequential"


def small_sequential(pipeline: LayerFusionPipeline, folder: Path = FOLDER) -> SequentialLayerDiffuse:
    """The embedded model's own sequential pipeline, as `recipes.mini.train.sequential` trains it."""
    return SequentialLayerDiffuse(
        pipeline, {stage: load_file(folder / file_of(stage)) for stage in STAGES}, passes=PASSES
    )


def systems(pipeline: LayerFusionPipeline, model: str, folder: Path) -> dict[str, Callable[[], System | Missing]]:
    """The rows of the table, each made ready when it is asked for."""
    rows: dict[str, Callable[[], System | Missing]] = {
        PAPER: lambda: LayerFusion(pipeline, LayerFusionConfig.paper()),
        OWN: lambda: LayerFusion(pipeline, None),
    }
    if model == EMBEDDED:
        rows[SMALL] = lambda: small_sequential(pipeline)
    return rows | {SEQUENTIAL.name: lambda: SEQUENTIAL.prepare(folder, None if model == EMBEDDED else pipeline)}


def triplets(kept: Pictures, name: str, system: System, pairs: Sequence[Pair], batch: int) -> dict[str, np.ndarray]:
    """`foreground` (N, H, W, 4), `background` and `blended` (N, H, W, 3) of a system."""

    def make(part: Sequence[Pair]) -> dict[str, np.ndarray]:
        return system.generate([(pair.foreground, pair.background) for pair in part], [pair.seed for pair in part])

    return kept.of(name, pairs, make, batch)


def alone(kept: Pictures, pipeline: LayerFusionPipeline, pairs: Sequence[Pair], batch: int) -> dict[str, np.ndarray]:
    """`foreground` (N, H, W, 4) of the foreground generator alone, `background` (N, H, W, 3) of the base alone."""
    generators = Alone(pipeline, PASSES)

    def make(part: Sequence[Pair]) -> dict[str, np.ndarray]:
        seeds = [pair.seed + OTHERS for pair in part]
        with torch.no_grad():
            made = {
                "foreground": generators.foregrounds([pair.foreground for pair in part], seeds),
                "background": generators.pictures([pair.background for pair in part], seeds),
            }
        return {key: value.movedim(1, -1).cpu().numpy() for key, value in made.items()}

    return kept.of("each generator alone", pairs, make, batch)
