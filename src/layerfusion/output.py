"""What a run gives back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import torch
from diffusers.utils import BaseOutput

from layerfusion.errors import LayerFusionError
from layerfusion.method import AttentionMaps, UNetPass

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
class LayerFusionOutput(BaseOutput):
    """B triplets, as `output_type` asks: PIL pictures, arrays (B, H, W, C) or tensors (B, C, H, W) in [0, 1], latents.

    Attributes:
        foreground: RGBA, straight alpha.
        background: RGB.
        blended: RGB; the picture in which foreground and background met (generative blending).
        composite: RGB; the foreground laid over the background (alpha blending). None for latents.
        premultiplied: RGB; the foreground over mid-grey, as the VAE decodes it. Only on request.
        maps: One entry a step. Only on request.
    """

    foreground: Images
    background: Images
    blended: Images
    composite: Images | None = None
    premultiplied: Images | None = None
    maps: list[StepMaps] | None = None

    def to_stack(self, index: int = 0) -> "LayerStack":
        """Triplet `index` as layers: the foreground over the background, the blended picture as a hidden reference.

        Raises:
            LayerFusionError: the pictures are not PIL images.
        """
        from layerfusion.layers import stack_from_triplet

        triplet = (self.foreground[index], self.background[index], self.blended[index])
        pictures = [picture for picture in triplet if isinstance(picture, PIL.Image.Image)]
        if len(pictures) < len(triplet):
            raise LayerFusionError('a stack is made of PIL images; generate with output_type="pil".')
        return stack_from_triplet(*pictures)
