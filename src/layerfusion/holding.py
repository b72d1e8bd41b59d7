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
from layerfusion.latents import encode_in_scene
from layerfusion.method import StreamLayout
from layerfusion.method.detail import SceneSubject
from layerfusion.placing import Places
from layerfusion.sampling import Sampler, clone
from layerfusion.seen import seen_subject
from layerfusion.transparency import settle_alpha

FIRST_PASS_STEPS = 8
"""Enough to know where a subject will stand, and how large."""


class HoldingMixin:
    """`hold` of `LayerFusionPipeline`."""

    scheduler: Any
    unet: Any
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
        places = sampler.places
        if places is not None:
            for index, stream in enumerate(given.cutouts):
                for triplet, cutout in enumerate(stream):
                    if cutout is not None:
                        places.fixed(index, triplet, pad_to(cutout[None], size)[0, 3])
        given = self._with_masks(sampler, given, size)
        found = self._first_pass(sampler) if _needs_first_pass(given) else None
        sampler.held = Held(given, size, _subjects(given, size, found, places), places)
        sampler.holds = sampler.held.holds(self.vae, self.transparent_encoder, sampler.noise, sampler.layout.names)
        if inputs.config.detail:
            sampler.in_scene = sampler.held.in_scene(self.vae, sampler.noise.device)

    def _with_masks(self, run: Sampler, given: Given, size: tuple[int, int]) -> Given:
        """The given pictures, with a mask from the model's own priors for each blended picture that has none."""
        bare = [
            p is not None and m is None and not given.all_cut(b)
            for b, (p, m) in enumerate(zip(given.blended, given.mask, strict=True))
        ]
        if not any(bare):
            return given
        grey = torch.full((3, *size), 0.5)
        pictures = [grey if picture is None else pad_to(picture[None], size)[0] for picture in given.blended]
        height, width = given.size or size
        seen = seen_subject(run, self.vae, self.scheduler, torch.stack(pictures))[..., :height, :width]
        masks = [one if needed else mask for one, needed, mask in zip(seen, bare, given.mask, strict=True)]
        return replace(given, mask=masks)

    def rgba_of(self, latents: Tensor) -> Tensor:
        """Clean foreground latents (B, 4, h, w) as straight RGBA (B, 4, 8h, 8w), in one pass."""
        latents = latents.to(self.unet.dtype)
        picture = decode_picture(self.vae, latents)
        return settle_alpha(decode_transparency(self.vae, self.transparent_decoder, picture, latents, passes=1))

    def in_scene_of(self, scene: Tensor, known: Tensor) -> SceneSubject:
        """`encode_in_scene` of straight RGBA pictures (B, 4, 8h, 8w)."""
        return encode_in_scene(self.vae, scene, known)

    def _first_pass(self, run: Sampler) -> list[Tensor]:
        """The alphas that the foregrounds of a run will have, nearly, in their own frames: (B, 1, H, W) on the CPU."""
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
        return [self.rgba_of(latents)[:, 3:].cpu() for latents in first.latents]


def _needs_first_pass(given: Given) -> bool:
    """Whether there is a background of which a subject is generated, and nothing says where it will be."""
    return any(
        g is not None and not given.all_cut(b) and p is None and m is None
        for b, (g, p, m) in enumerate(zip(given.background, given.blended, given.mask, strict=True))
    )


def _subjects(given: Given, size: tuple[int, int], found: list[Tensor] | None, places: Places | None) -> Tensor:
    """Where the subjects of every triplet are, (B, 1, *size): given alphas, the mask, or what a first pass found."""
    streams = []
    for index, cutouts in enumerate(given.cutouts):
        alphas = []
        for b, cutout in enumerate(cutouts):
            mask = given.mask[b]
            if cutout is not None:
                alphas.append(pad_to(cutout[None, 3:], size))
            elif mask is not None:
                alphas.append(pad_to(mask[None], size))
            else:
                alphas.append(torch.zeros(1, 1, *size) if found is None else found[index][b : b + 1])
        alpha = torch.cat(alphas)
        if places is not None:
            places.found(index, alpha)
            alpha = places.to_scene(index, alpha)
        streams.append(alpha)
    return torch.stack(streams).amax(0)
