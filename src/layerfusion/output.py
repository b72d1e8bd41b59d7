"""What a run gives back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import torch
from diffusers.utils import BaseOutput

from layerfusion.errors import LayerFusionError
from layerfusion.method import AttentionMaps, UNetPass
from layerfusion.triplet import PICTURES, WITH_ALPHA, Subject, Triplet

if TYPE_CHECKING:
    from layerfusion.layers import LayerStack

Images = list[PIL.Image.Image] | np.ndarray | torch.Tensor


@dataclass
class StepMaps:
    """The priors and masks of one step.

    Attributes:
        timestep: The scheduler's timestep.
        structure: s' at the structure layer's grid, (F, B, rows, columns), float32; None where it is not used.
        attentions: The priors and masks of every attention in which blending acted, in the order of computation.
    """

    timestep: float
    structure: torch.Tensor | None
    attentions: list[AttentionMaps]

    @classmethod
    def of(cls, timestep: float, step: UNetPass) -> "StepMaps":
        """What one joint pass collected."""
        structure = step.structure
        if structure is not None:
            structure = structure.cpu().unflatten(0, (len(step.layout.foregrounds), step.layout.batch))
        return cls(timestep, structure, step.observer.maps if step.observer else [])


@dataclass
class SubjectBatch:
    """One of several foregrounds of B triplets, as `output_type` asks.

    Attributes:
        foreground: RGBA, in a frame of its own, whole where a nearer subject hides it.
        relit: RGBA; the same in the light of the scene.
        shadow, light: RGBA, in the scene: its share of what the subjects throw on it.
        placements: B affine maps (a, b, c, d, e, f) from its frame to the scene, in pixels; see `layers.Affine`.
    """

    foreground: Images
    relit: Images
    shadow: Images
    light: Images
    placements: list[tuple[float, float, float, float, float, float]]

    @classmethod
    def of(
        cls,
        pictures: dict[str, torch.Tensor],
        placements: list[tuple[float, float, float, float, float, float]],
        finished: Callable[[torch.Tensor], Images],
    ) -> "SubjectBatch":
        """From tensors by name, each `finished` as the output type asks."""
        each: dict[str, Any] = {name: finished(tensor) for name, tensor in pictures.items()}
        return cls(**each, placements=placements)


@dataclass
class LayerFusionOutput(BaseOutput):
    """B triplets, as `output_type` asks: PIL pictures, arrays (B, H, W, C) or tensors (B, C, H, W) in [0, 1], latents.

    Attributes:
        foreground: RGBA, straight alpha.
        background: RGB.
        blended: RGB; the picture in which foreground and background met (generative blending).
        composite: RGB; the foreground laid over the background (alpha blending). None for latents, as all below.
        relit: RGBA; the foreground in the light of the blended picture.
        shadow, light: RGBA; what the blended picture adds round the subject, to be multiplied and screened over the
            background. See `layerfusion.relighting`.
        layered: RGB; background, shadow, light and relit foreground, composited. Of PIL pictures with `subjects` it is
            what their layers add up to; as an array or a tensor it differs from that by how they are resampled.
        subjects: Where several foregrounds are asked for, or one has a place: each of them, from the farthest to the
            nearest. `foreground` and `relit` are then all of them in the scene, one over the other.
        premultiplied: RGB; the foreground over mid-grey, as the VAE decodes it. Only on request.
        maps: One entry a step. Only on request.
    """

    foreground: Images
    background: Images
    blended: Images
    composite: Images | None = None
    relit: Images | None = None
    shadow: Images | None = None
    light: Images | None = None
    layered: Images | None = None
    subjects: list[SubjectBatch] | None = None
    premultiplied: Images | None = None
    maps: list[StepMaps] | None = None

    def __post_init__(self) -> None:
        if self.subjects and isinstance(self.layered, list):
            self.layered = [self.to_stack(index).composite().convert("RGB") for index in range(len(self.layered))]
        super().__post_init__()

    def triplet(self, index: int = 0) -> Triplet:
        """Triplet `index` of the batch.

        Raises:
            LayerFusionError: the pictures are not PIL images.
        """
        batches = {name: getattr(self, name) for name in PICTURES}
        pictures = {name: batch[index] for name, batch in batches.items() if isinstance(batch, list)}
        if not {"foreground", "background", "blended", "composite"} <= set(pictures):
            raise LayerFusionError('a triplet is made of PIL images; generate with output_type="pil".')
        subjects = []
        for each in self.subjects or []:
            own: dict[str, Any] = {name: getattr(each, name)[index] for name in WITH_ALPHA}
            subjects.append(Subject(**own, placement=each.placements[index]))
        return Triplet(**pictures, subjects=tuple(subjects))

    def triplets(self) -> list[Triplet]:
        """All of the batch; errors as for `triplet`."""
        return [self.triplet(index) for index in range(len(self.foreground))]

    def to_stack(self, index: int = 0) -> "LayerStack":
        """Triplet `index` as layers; see `Triplet.to_stack`. Errors as for `triplet`."""
        return self.triplet(index).to_stack()
