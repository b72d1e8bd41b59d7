"""Triplets of the embedded model for known content, generated in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from layerfusion import LayerFusionConfig, LayerFusionOutput, LayerFusionPipeline
from layerfusion.models import Vocabulary
from layerfusion.relighting import Relit, relight
from recipes.mini.world import World, article

INDEPENDENT = LayerFusionConfig(blend=False, share_attention=False)
STREAMS = ("foreground", "background", "blended")


def tensors(*pictures: np.ndarray) -> list[torch.Tensor]:
    """(N, H, W, C) arrays as (N, C, H, W) tensors."""
    return [torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 1).float() for picture in pictures]


def array(picture: torch.Tensor) -> np.ndarray:
    """(N, C, H, W) as an (N, H, W, C) array."""
    return picture.movedim(1, -1).numpy()


def pixels(picture: np.ndarray) -> np.ndarray:
    """[0, 1] as 8 bits, laid out in memory as it reads: safetensors would take another order as it lies."""
    return np.ascontiguousarray((255 * picture).round().astype(np.uint8))


def known_world(size: int, build: Path, vocabulary: Vocabulary | None) -> World:
    """The world at a size, with the subjects and scenes that a model was trained on."""
    world = World(size, build=build)
    if vocabulary is not None:
        world.objects = tuple(spec for spec in world.objects if not vocabulary.unknown_words(spec.key))
        world.scenes = tuple(spec for spec in world.scenes if not vocabulary.unknown_words(spec.key))
    return world


@dataclass(frozen=True)
class Case:
    """What is asked of the model: an object (with a colour), a scene, a style for the whole picture, a seed."""

    obj: str
    scene: str
    seed: int
    colour: str | None = None
    style: str | None = None

    def prompts(self, world: World) -> tuple[str, str]:
        """The foreground's and the background's prompt, in the plainest words of the vocabulary."""
        noun = f"{self.colour} {self.obj}" if self.colour else self.obj
        place = world.scene(self.scene).phrases[0]
        style = next((spec.phrase for spec in world.styles if spec.key == self.style), None)
        return article(noun), f"{place}, {style}" if style else place


@dataclass(frozen=True)
class Sampling:
    """How triplets are drawn: denoising steps, guidance of every stream, how many at once, passes for alpha."""

    steps: int = 25
    guidance: float = 2.5
    batch: int = 8
    passes: int = 8


@dataclass(frozen=True)
class Triplets:
    """N triplets in [0, 1], float32: foreground (N, H, W, 4), the others (N, H, W, 3)."""

    cases: tuple[Case, ...]
    foreground: np.ndarray
    background: np.ndarray
    blended: np.ndarray
    composite: np.ndarray

    @property
    def on_grey(self) -> np.ndarray:
        """The foregrounds over mid-grey, as the world's samples of foregrounds stand."""
        alpha = self.foreground[..., 3:]
        return self.foreground[..., :3] * alpha + 0.5 * (1 - alpha)

    def where(self, keep: Callable[[Case], bool]) -> Triplets:
        """The triplets whose case is kept."""
        at = [i for i, case in enumerate(self.cases) if keep(case)]
        names = ("foreground", "background", "blended", "composite")
        return Triplets(tuple(self.cases[i] for i in at), *(getattr(self, name)[at] for name in names))


def generate(
    pipe: LayerFusionPipeline,
    world: World,
    cases: Sequence[Case],
    config: LayerFusionConfig | None = None,
    sampling: Sampling | None = None,
) -> Triplets:
    """Run the pipeline on every case; each has its own generator, so that a result does not depend on its batch."""
    sampling = sampling or Sampling()
    parts: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(cases), sampling.batch):
        batch = cases[start : start + sampling.batch]
        foregrounds, backgrounds = zip(*(case.prompts(world) for case in batch), strict=True)
        out = pipe(
            list(foregrounds),
            list(backgrounds),
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance,
            generator=[torch.Generator().manual_seed(case.seed) for case in batch],
            config=config,
            transparency_passes=sampling.passes,
            output_type="np",
        )
        assert isinstance(out, LayerFusionOutput)
        parts.append(tuple(np.asarray(x) for x in (out.foreground, out.background, out.blended, out.composite)))
    return Triplets(tuple(cases), *(np.concatenate(column) for column in zip(*parts, strict=True)))


def relit(triplets: Triplets) -> Relit:
    """Their layers."""
    return relight(*tensors(*(getattr(triplets, name) for name in STREAMS)))
