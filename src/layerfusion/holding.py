"""The pipeline's step between `prepare` and `denoise`: the given pictures become what the run's streams are held to."""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from layerfusion.decoding import decode_picture, decode_transparency
from layerfusion.errors import LayerFusionError
from layerfusion.given import Given, pad_to
from layerfusion.held import Held
from layerfusion.inputs import Inputs
from layerfusion.method import StreamLayout
from layerfusion.sampling import Sampler, clone

FIRST_PASS_STEPS = 8
"""Enough to know where a subject will stand, and how large."""


class HoldingMixin:
    """`hold` of `LayerFusionPipeline`."""

    scheduler: Any
    vae: Any
    transparent_decoder: Any
    transparent_encoder: Any

    @torch.no_grad()
    def hold(self, sampler: Sampler, inputs: Inputs) -> None:
        """Hold the streams of a prepared run to the given pictures; without any, nothing happens.

        Where a background is given and its subject is generated, a first pass of the foreground alone, of
        `FIRST_PASS_STEPS` steps from the same noise, finds where the subject will be.

        Raises:
            LayerFusionError: the scheduler cannot noise a picture.
        """
        given = inputs.given.repeated(inputs.pairs, inputs.num_images_per_prompt)
        if not given:
            return
        if not hasattr(self.scheduler, "add_noise"):
            raise LayerFusionError(
                f"a {type(self.scheduler).__name__} cannot noise a given picture; choose another scheduler."
            )
        size = (inputs.height, inputs.width)
        found = self._first_pass(sampler) if _needs_first_pass(given) else None
        sampler.held = Held(given, size, _subjects(given, size, found))
        sampler.holds = sampler.held.holds(self.vae, self.transparent_encoder, sampler.noise, sampler.layout.names)

    def _first_pass(self, run: Sampler) -> Tensor:
        """The alpha that the foregrounds of a run will have, nearly: (B, 1, H, W) on the CPU."""
        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(FIRST_PASS_STEPS, device=run.noise.device)
        layout = StreamLayout(run.layout.batch, run.layout.guidance, run.layout.foregrounds, plain=())
        count = len(layout.foregrounds)
        first = Sampler(
            replace(run.joint, config=replace(run.joint.config, blend=False)),
            layout,
            scheduler,
            scheduler.timesteps,
            run.noise[:count],
            run.conditions.rows(lambda rows: rows[: layout.foreground_rows]),
            run.guidance_scale,
            run.guidance_rescale,
            # Its draws must not move the run's own generators on.
            [{k: clone(v) if k == "generator" else v for k, v in kwargs.items()} for kwargs in run.step_kwargs[:count]],
            run.unet_arguments,
            controls=run.controls,
        )
        with first.joint.installed():
            for i, t in first.steps():
                first.step(i, t)
        latents = first.latents[0]
        picture = decode_picture(self.vae, latents)
        return decode_transparency(self.vae, self.transparent_decoder, picture, latents, passes=1)[:, 3:].cpu()


def _needs_first_pass(given: Given) -> bool:
    """Whether there is a background whose subject is generated, and nothing says where it will be."""
    return any(
        g is not None and f is None and p is None and m is None
        for f, g, p, m in zip(given.foreground, given.background, given.blended, given.mask, strict=True)
    )


def _subjects(given: Given, size: tuple[int, int], found: Tensor | None) -> Tensor:
    """Where the subject of every triplet is: its given alpha, the mask, or what a first pass found: (B, 1, *size)."""
    alphas = []
    for b in range(given.count):
        foreground, mask = given.foreground[b], given.mask[b]
        if foreground is not None:
            alphas.append(pad_to(foreground[None, 3:], size))
        elif mask is not None:
            alphas.append(pad_to(mask[None], size))
        else:
            alphas.append(torch.zeros(1, 1, *size) if found is None else found[b : b + 1])
    return torch.cat(alphas)
