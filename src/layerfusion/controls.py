"""ControlNet (Zhang et al. 2023): a stream that is given a picture follows it, as it would in a run of SDXL's own.

A ControlNet is a copy of ε's encoder and sees one stream at a time; what it adds to the UNet's features comes before
anything is blended.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import ControlNetModel, MultiControlNetModel
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from torch import Tensor

from layerfusion.errors import LayerFusionError
from layerfusion.method import StreamLayout
from layerfusion.prompts import Conditions, repeat_to

PROCESSOR = VaeImageProcessor(do_convert_rgb=True, do_normalize=False)


@dataclass(frozen=True)
class Control:
    """A picture that a ControlNet makes a stream follow.

    Attributes:
        image: One, or one for each pair of prompts; resized to the run's size.
        scale: How strongly: a factor on what the ControlNet adds.
        start, end: The part of the run in which it acts, as fractions of the steps, 0 ≤ start ≤ end ≤ 1.

    Raises:
        LayerFusionError: the scale is no finite number, or start and end are no part of the run.
    """

    image: PipelineImageInput
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise LayerFusionError(f"the scale of a control is {self.scale}; it must be a finite number.")
        if not 0 <= self.start <= self.end <= 1:
            raise LayerFusionError(
                f"start and end of a control are {self.start}, {self.end}; give 0 ≤ start ≤ end ≤ 1."
            )

    def at(self, step: int, steps: int) -> float:
        """Its scale at a step (counted from 0) of `steps`."""
        return self.scale if self.start <= step / steps and (step + 1) / steps <= self.end else 0.0


def joined(of_pairs: Sequence[Control | Sequence[Control] | None]) -> list[Control] | None:
    """What a stream follows, from what it follows in each pair of prompts; one entry stands for all of them.

    Raises:
        LayerFusionError: some pairs have none, or others, or other settings: they are denoised together.
    """
    each = [[control] if isinstance(control, Control) else list(control or []) for control in of_pairs]
    if len(each) == 1:
        return each[0] or None
    if len({tuple((one.scale, one.start, one.end) for one in controls) for controls in each}) > 1:
        raise LayerFusionError(
            "a foreground's control differs from pair to pair; give all pairs one, with the same scale, start and end."
        )
    return [replace(alike[0], image=[one.image for one in alike]) for alike in zip(*each, strict=True)] or None


@dataclass(frozen=True)
class Controls:
    """What steers the streams of a run.

    Attributes:
        model: One ControlNet, or N of them.
        streams: For each controlled stream's name, N controls.
        images: For each, N pictures, (B, 3, H, W) in [0, 1].
    """

    model: ControlNetModel | MultiControlNetModel
    streams: Mapping[str, list[Control]]
    images: Mapping[str, list[Tensor]]

    @classmethod
    def of(
        cls,
        model: ControlNetModel | MultiControlNetModel,
        given: Mapping[str, Control | Sequence[Control]],
        size: tuple[int, int],
        counts: tuple[int, int],
        device: torch.device,
    ) -> "Controls":
        """From the arguments of a call.

        Args:
            model: One ControlNet, or N of them.
            given: For each controlled stream's name, a control, or N of them.
            size: (height, width) of the run, in pixels.
            counts: Pairs of prompts, and triplets for each.
            device: Of the run.

        Raises:
            LayerFusionError: there are not N controls, not as many pictures as pairs, or the model is another.
        """
        if not isinstance(model, (ControlNetModel, MultiControlNetModel)):
            raise LayerFusionError(f"the controlnet is a {type(model).__name__}; give a ControlNetModel, or several.")
        n = len(model.nets) if isinstance(model, MultiControlNetModel) else 1
        streams = {name: [of] if isinstance(of, Control) else list(of) for name, of in given.items()}
        if any(len(controls) != n for controls in streams.values()):
            raise LayerFusionError(f"there are {n} ControlNets; give a Control for each.")

        def tensor(control: Control) -> Tensor:
            pictures = PROCESSOR.preprocess(control.image, *size).to(device, torch.float32)
            if len(pictures) not in (1, counts[0]):
                raise LayerFusionError(f"there are {len(pictures)} control pictures for {counts[0]} pairs of prompts.")
            return repeat_to(counts[0], pictures).repeat_interleave(counts[1], dim=0)

        return cls(model, streams, {name: [tensor(each) for each in of] for name, of in streams.items()})

    def residuals(
        self, layout: StreamLayout, sample: Tensor, timestep: Tensor, conditions: Conditions, step: int, steps: int
    ) -> list[Tensor]:
        """What is added to the UNet's features at a step: of each skip connection, and of the middle block, last.

        Args:
            layout: The order of the rows.
            sample: (rows, 4, h, w), as the UNet takes it.
            timestep: Of the step.
            conditions: Of every row.
            step, steps: The step's number from 0, of how many.

        Returns:
            (rows, channels, …) each, 0 in the rows of streams that are not controlled; nothing where nothing acts.
        """
        names = [name for name in layout.names if name in self.streams]
        scales = [[each.at(step, steps) for each in self.streams[name]] for name in names]
        if not any(any(of_stream) for of_stream in scales):
            return []

        def controlled(rows: Tensor) -> Tensor:
            return torch.cat([layout.stream(rows, name).flatten(0, 1) for name in names])

        def by_row(of_streams: list[Tensor]) -> Tensor:
            """(B or 1, …) of each controlled stream → (its rows, …)."""
            each = zip(names, of_streams, strict=True)
            rows = [repeat_to(layout.batch, of).repeat(layout.halves_of(name), 1, 1, 1) for name, of in each]
            return torch.cat(rows).to(sample)

        pictures: Any = [by_row(list(each)) for each in zip(*(self.images[name] for name in names), strict=True)]
        factors: Any = [
            by_row([torch.full((1, 1, 1, 1), scale) for scale in each]) for each in zip(*scales, strict=True)
        ]
        if isinstance(self.model, ControlNetModel):
            pictures, factors = pictures[0], factors[0]
        down, middle = self.model(
            controlled(sample),
            timestep,
            encoder_hidden_states=controlled(conditions.prompt_embeds),
            controlnet_cond=pictures,
            conditioning_scale=factors,
            added_cond_kwargs={
                "text_embeds": controlled(conditions.add_text_embeds),
                "time_ids": controlled(conditions.add_time_ids),
            },
            return_dict=False,
        )

        def everywhere(residual: Tensor) -> Tensor:
            rows = residual.new_zeros(layout.rows, *residual.shape[1:])
            pieces = residual.split([layout.halves_of(name) * layout.batch for name in names])
            for name, piece in zip(names, pieces, strict=True):
                layout.stream(rows, name).copy_(piece.unflatten(0, (-1, layout.batch)))
            return rows

        return [everywhere(residual) for residual in (*down, middle)]


def unet_arguments(residuals: list[Tensor]) -> dict[str, Any]:
    """How the UNet takes `Controls.residuals`."""
    if not residuals:
        return {}
    *down, middle = residuals
    return {"down_block_additional_residuals": tuple(down), "mid_block_additional_residual": middle}
