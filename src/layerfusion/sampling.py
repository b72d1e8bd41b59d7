"""Lockstep denoising: from one draw of noise to the latents of every stream, one joint step at a time."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import rescale_noise_cfg
from diffusers.schedulers import SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from torch import Generator, Tensor

from layerfusion.controls import Controls, unet_arguments
from layerfusion.errors import LayerFusionError
from layerfusion.held import Held, Holds
from layerfusion.method import BLENDED, JointAttention, Observer, StreamLayout, UNetPass
from layerfusion.method.clean import clean_from_prediction, tells_the_clean
from layerfusion.method.detail import SceneSubject, subject_mask, transfer_detail, trim_mask
from layerfusion.output import StepMaps
from layerfusion.placing import Places, looks
from layerfusion.prompts import Conditions

CONDITIONS = ("prompt_embeds", "add_text_embeds", "add_time_ids")
"""Those of the conditions that a callback may see and change."""


@dataclass
class Sampler:
    """The state of one run.

    Every stream steps a scheduler of its own, so that any scheduler of diffusers does, stateful or not.

    Attributes:
        joint: The attention of all streams, installed on the UNet while steps are taken.
        layout: The order of the batch's rows.
        scheduler: Its timesteps are set; each stream gets a copy.
        timesteps: From noise to picture; n of `LayerFusionConfig.blend_range` is how many they are.
        noise: (S, B, 4, h, w) of unit variance, where every stream starts.
        conditions: What the UNet is conditioned on.
        guidance_scale, guidance_rescale: Classifier-free guidance, where the layout has it; a UNet that was distilled
            for guidance (`time_cond_proj_dim`, LCM) is told the scale instead.
        step_kwargs: For each stream, what its scheduler's step takes besides (generator, eta).
        unet_arguments: What every call of the UNet takes besides (cross_attention_kwargs).
        maps: Collects the priors and masks of every step; None collects nothing.
        held: The pictures that the run is given, if any.
        holds: What their streams are held to.
        controls: What steers the streams (ControlNet), if anything does.
        places: Where the foregrounds stand in the scene; None where each fills it.
        rgba_of: Finds the picture (B, 4, H, W) of clean foreground latents (B, 4, h, w), to fit one to its box.
        in_scene_of: Encodes such pictures, laid in the scene, of (B,) known triplets.
        in_scene: By number, the foregrounds of which it is known how they stand in the scene.
        latents: (S, B, 4, h, w), replaced by each step.
        predicted: Of the last step, the latents as the UNet took them, its guided output, and the timestep.
    """

    joint: JointAttention
    layout: StreamLayout
    scheduler: SchedulerMixin
    timesteps: Tensor
    noise: Tensor
    conditions: Conditions
    guidance_scale: float
    guidance_rescale: float
    step_kwargs: list[dict[str, Any]]
    unet_arguments: dict[str, Any] = field(default_factory=dict)
    maps: list[StepMaps] | None = None
    held: Held | None = None
    holds: Holds | None = None
    controls: Controls | None = None
    places: Places | None = None
    rgba_of: Callable[[Tensor], Tensor] | None = None
    in_scene_of: Callable[[Tensor, Tensor], SceneSubject] | None = None
    in_scene: dict[int, SceneSubject] = field(default_factory=dict)
    latents: Tensor = field(init=False)
    schedulers: list[SchedulerMixin] = field(init=False)
    predicted: tuple[Tensor, Tensor, Tensor] | None = field(init=False, default=None)
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.names = self.layout.names  # of all streams, also while a step leaves one out
        self.latents = self.noise * self.scheduler.init_noise_sigma
        self.schedulers = [copy.deepcopy(self.scheduler) for _ in self.names]

    def steps(self) -> list[tuple[int, Tensor]]:
        """Every step that must be taken: its number from 0, and its timestep."""
        n = len(self.timesteps)
        first = self.holds.first_step(n, self.scheduler.order) if self.holds else 0
        for scheduler in self.schedulers:
            if first and hasattr(scheduler, "set_begin_index"):
                scheduler.set_begin_index(first)
        return [(i, self.timesteps[i]) for i in range(first, n)]

    def step(self, i: int, t: Tensor) -> None:
        """Denoise every stream from timestep `t`, the `i`-th from 0."""
        self._hold(i)
        # Where all of every stream is held there is nothing to predict.
        if self.holds is None or not bool(self.holds.whole.all()):
            with self._rows_at(i) as alike:
                self._denoise(i, t, alike)
        # A callback, and the last step's result, show what is held as it is held.
        self._hold(i + 1)

    def _hold(self, i: int) -> None:
        """Set what is held as the `i`-th step takes it; after the last, clean."""
        n = len(self.timesteps)
        if self.holds and i < n:
            self.latents = self.holds.at(self.latents, self.schedulers, self.timesteps[i], i / n)
        elif self.holds:
            self.latents = self.holds.finished(self.latents)

    def _denoise(self, i: int, t: Tensor, alike: dict[str, Tensor]) -> None:
        """`step`, with the rows that this step takes."""
        inputs = [s.scale_model_input(x, t) for s, x in zip(self.schedulers, self.latents, strict=True)]
        # Both guidance halves see the same input: (S, B, …) → (rows, …).
        layout, names = self.layout, self.names
        rows = torch.cat([inputs[names.index(name)] for name in layout.names for _ in range(layout.halves_of(name))])
        config = self.joint.config
        meets = BLENDED in layout.names
        following = min(i + 1, len(self.timesteps) - 1)  # the last step is as the one before it: no graph of its own
        joint_pass = UNetPass(
            self.layout,
            size=(rows.shape[-2], rows.shape[-1]),
            eos=self.conditions.eos,
            blend=config.blends_at(i, len(self.timesteps)) and meets,
            take_structure=config.blend and meets and not config.passes_at(following, len(self.timesteps)),
            observer=None if self.maps is None else Observer(),
            pictured=self.conditions.pictured,
            hidden=self.holds.hidden if self.holds else None,
            places=self.places,
            alike=alike,
        )
        residuals = self._residuals(i, rows, t)
        joint_pass.structure = self._structure(joint_pass, i, rows, t, residuals)
        prediction = self.joint.predict(joint_pass, rows, t, **self.arguments(self.conditions, residuals))
        noise = torch.stack([self._guide(prediction, name) for name in names])
        if config.details_at(i, len(self.timesteps)) and joint_pass.soft_masks:
            noise = self._transfer_detail(noise, torch.stack(inputs), t, joint_pass)
        if self.places is not None:
            for index in self.places.to_look(i + 1, len(self.timesteps), config.blend_range[0]):
                a, b = clean_from_prediction(self.scheduler, t)
                self._look(self.places, index, a * inputs[index] + b * noise[index], joint_pass, i + 1)
        self.predicted = torch.stack(inputs), noise, t
        self.latents = torch.stack(
            [
                scheduler.step(stream_noise, t, x, **kwargs, return_dict=False)[0].to(x.dtype)
                for scheduler, stream_noise, x, kwargs in zip(
                    self.schedulers, noise, self.latents, self.step_kwargs, strict=True
                )
            ]
        )
        if self.maps is not None:
            self.maps.append(StepMaps.of(float(t), joint_pass))

    @property
    def clean_latents(self) -> Tensor:
        """What the last step says that the latents become, (S, B, 4, h, w), float32; pictures of it show no noise.

        Before the first step, and with a scheduler that does not tell (`tells_the_clean`), the latents themselves.
        """
        if self.predicted is None or not tells_the_clean(self.scheduler):
            return self.latents
        x, out, t = self.predicted
        a, b = clean_from_prediction(self.scheduler, t)
        clean = a * x.float() + b * out.float()
        return self.holds.finished(clean) if self.holds else clean

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor]:
        """What a callback may see and change: `latents`, and the conditions with the guidance halves foremost.

        So `prompt_embeds[-1:]` is the conditional half, whatever the batch: (G, S, B, …).
        """
        return {
            name: self.layout.split(getattr(self.conditions, name)).transpose(0, 1)
            if name in CONDITIONS
            else getattr(self, name)
            for name in names
        }

    def finish(self) -> None:
        """Put what is held in its place, clean."""
        if self.holds:
            self.latents = self.holds.finished(self.latents)

    def follow(self, changed: dict[str, Tensor], guidance_scale: float) -> None:
        """Go on as a callback has decided.

        Args:
            changed: Of `tensors`, those to go on with.
            guidance_scale: From the next step on; at 1 or less only the conditional halves go on.

        Raises:
            LayerFusionError: guidance is on where there is no unconditional half, or no more.
        """
        self.latents, self.guidance_scale = changed.get("latents", self.latents), guidance_scale
        guided = guidance_scale > 1 and not self.joint.unet.config.time_cond_proj_dim
        halves = {name: changed[name] for name in CONDITIONS if name in changed}
        if self.layout.guidance and not guided:
            self._drop_guidance()
            halves = {name: value[-1:] for name, value in halves.items()}
        if guided != self.layout.guidance or any(len(value) != self.layout.halves for value in halves.values()):
            raise LayerFusionError(
                "guidance needs an unconditional half; begin the run with a guidance_scale above 1, and let callbacks "
                "leave both halves."
            )
        rows: dict[str, Any] = {name: value.transpose(0, 1).flatten(0, 2) for name, value in halves.items()}
        self.conditions = replace(self.conditions, **rows)

    @contextmanager
    def _rows_at(self, i: int) -> Iterator[dict[str, Tensor]]:
        """Only the rows that a step needs; afterwards all are there again. Yields `alike` of `UNetPass`.

        A step without guidance needs no unconditional half. Nor does a stream that is held: its prediction is not
        needed, and whatever attends to it sees its conditional half. One that nothing attends to is left out.
        """
        everything = self.layout, self.conditions
        if self.layout.guidance and not self.joint.config.guides_at(i, len(self.timesteps)):
            self._drop_guidance()
        alike: dict[str, Tensor] = {}
        if self.holds and bool(self.holds.whole.any()):
            held = dict(zip(self.names, self.holds.whole, strict=True))
            always = {name for name, triplets in held.items() if triplets.all()}
            if self.layout.guidance:
                alike = {name: triplets for name, triplets in held.items() if triplets.any() and name not in always}
            config = self.joint.config
            switches = config.blend, config.update_foreground, config.share_attention
            seen = self.layout.attended(set(self.names) - always, *switches)
            layout, rows = self.layout.taken(seen, always)

            def take(every: Tensor) -> Tensor:
                taken = every[rows]
                for name, triplets in alike.items():
                    halves = layout.stream(taken, name)
                    halves[:, triplets] = halves[-1:, triplets]
                return taken

            self.layout, self.conditions = layout, self.conditions.rows(take)
        yield alike
        self.layout, self.conditions = everything

    def _drop_guidance(self) -> None:
        whole, self.layout = self.layout, replace(self.layout, guidance=False)
        self.conditions = self.conditions.rows(lambda rows: whole.split(rows)[:, -1].flatten(0, 1))

    def _residuals(self, i: int, rows: Tensor, t: Tensor) -> list[Tensor]:
        """What ControlNets add to the UNet's features, for every row; nothing where nothing is controlled."""
        if self.controls is None:
            return []
        return self.controls.residuals(self.layout, rows, t, self.conditions, i, len(self.timesteps))

    def _structure(
        self, joint_pass: UNetPass, i: int, rows: Tensor, t: Tensor, residuals: list[Tensor]
    ) -> Tensor | None:
        """s' for step `i`, (F·B, h, w): from a prior pass of the conditional foregrounds alone, or the step before."""
        config, layout = self.joint.config, self.layout
        if not joint_pass.blend or config.mask == "cross":
            return None
        if self.joint.structure is None or config.passes_at(i, len(self.timesteps)):
            alone = self.conditions.rows(layout.conditional_foregrounds)
            prior_pass = UNetPass(
                layout.prior_pass(), joint_pass.size, alone.eos, take_structure=True, pictured=alone.pictured
            )
            of_alone = [layout.conditional_foregrounds(residual) for residual in residuals]
            arguments = self.arguments(alone, of_alone)
            self.joint.take_prior(prior_pass, layout.conditional_foregrounds(rows), t, **arguments)
        return self.joint.structure

    def arguments(self, conditions: Conditions, residuals: list[Tensor]) -> dict[str, Any]:
        """What a call of the UNet takes, for the rows of `conditions` and `residuals`."""
        arguments = conditions.unet_arguments() | self.unet_arguments | unet_arguments(residuals)
        if dimension := self.joint.unet.config.time_cond_proj_dim:
            scales = torch.full((len(conditions.prompt_embeds),), self.guidance_scale - 1)
            embedded = StableDiffusionXLPipeline.get_guidance_scale_embedding(None, scales, dimension)
            arguments["timestep_cond"] = embedded.to(conditions.prompt_embeds)
        return arguments

    def _transfer_detail(self, noise: Tensor, x: Tensor, t: Tensor, joint_pass: UNetPass) -> Tensor:
        """The streams' predictions (S, B, 4, h, w), the blended one's with the foregrounds' detail.

        x: (S, B, 4, h, w), the latents as the UNet took them.
        """
        names, config = self.names, self.joint.config
        a, b = clean_from_prediction(self.scheduler, t)
        masks = subject_mask(joint_pass.soft_masks, joint_pass.size)
        clean = a * x.float() + b * noise.float()
        blended = clean[names.index(BLENDED)]
        clean = self.holds.finished(clean) if self.holds else clean
        for index, mask in enumerate(masks[:, :, None]):
            foreground = clean[index]
            mask = trim_mask(mask, foreground)
            if self.places is not None and self.places.placed(index):
                foreground, mask = (self.places.to_scene(index, x) for x in (foreground, mask))
            if index in self.in_scene:
                foreground, mask = self.in_scene[index].over(foreground, mask)
            blended = transfer_detail(foreground, blended, mask, config.detail, config.light)
        noise = noise.clone()
        noise[names.index(BLENDED)] += ((blended - clean[names.index(BLENDED)]) / b).to(noise.dtype)
        return noise

    def _look(self, places: Places, index: int, clean: Tensor, joint_pass: UNetPass, done: int) -> None:
        """Take a placed foreground's extent from its mask; once, before its detail is transferred, from its pixels."""
        assert self.rgba_of is not None and self.in_scene_of is not None
        n, config = len(self.timesteps), self.joint.config
        if done == looks(n, config.blend_range[0])[-1] and any(config.details_at(i, n) for i in range(done, n)):
            frame = self.rgba_of(clean)
            places.found(index, frame[:, 3:])
            generated = torch.tensor([not known for known in places.known[index]], device=frame.device)
            found = self.in_scene_of(places.rgba_to_scene(index, frame), generated)
            self.in_scene[index] = found.renewed(self.in_scene.get(index))
        elif joint_pass.soft_masks:
            mask = subject_mask(joint_pass.soft_masks, joint_pass.size)[index, :, None]
            places.found(index, (trim_mask(mask, clean.float()) > 0.5).float())

    def _guide(self, prediction: Tensor, name: str) -> Tensor:
        """Classifier-free guidance of one stream: the rows' predictions → (B, 4, h, w); 0 where it has no rows."""
        if name not in self.layout.names:
            return torch.zeros_like(self.latents[0])
        halves = self.layout.stream(prediction, name)
        if len(halves) == 1:
            return halves[0]
        unconditional, conditional = halves
        guided = unconditional + self.guidance_scale * (conditional - unconditional)
        return rescale_noise_cfg(guided, conditional, self.guidance_rescale) if self.guidance_rescale > 0 else guided


Generators = Generator | list[Generator]


def initial_latents(
    layout: StreamLayout,
    shape: tuple[int, int, int],
    dtype: torch.dtype,
    device: torch.device,
    generator: Generators | None,
    latents: Tensor | None,
    share_noise: bool,
    foregrounds: Sequence[Sequence[tuple[int, int | None]]] = (),
) -> tuple[Tensor, list[Generators]]:
    """Noise of unit variance, (S, B, *shape), and for each stream the generator of its later draws.

    With `share_noise` every stream sees the same initial noise, and in schedulers that add noise the same noise at each
    step: each stream is then what it would be in a run of its own with that seed.

    Args:
        layout: The order of the batch's rows.
        shape: (channels, h, w) of one latent.
        generator: One, or one for each triplet; None draws a seed from torch's global generator.
        latents: Noise to use, (B, *shape) or (S, B, *shape), in place of a draw.
        share_noise: See `LayerFusionConfig`.
        foregrounds: For each foreground stream and triplet, the foreground's number among several and its own seed. The
            first shares the scene's noise; every further one, and one with a seed, has its own, or two foxes would be
            one fox twice.

    Raises:
        LayerFusionError: there are not as many generators as triplets, or the latents have another shape.
    """
    one, streams = (layout.batch, *shape), len(layout.names)
    if generator is None:
        generator = Generator().manual_seed(int(torch.randint(2**62, ())))
    if isinstance(generator, list) and len(generator) != layout.batch:
        raise LayerFusionError(f"there are {len(generator)} generators for {layout.batch} triplets; give as many.")
    if latents is None:
        draws = 1 if share_noise else streams
        latents = torch.stack([randn_tensor(one, generator, device, dtype) for _ in range(draws)])
    elif latents.shape not in (one, (streams, *one)):
        raise LayerFusionError(
            f"latents have the shape {tuple(latents.shape)}; give {one}, or {(streams, *one)} for "
            f"{', '.join(layout.names)}."
        )
    latents = latents.to(device, dtype).reshape(-1, *one).expand(streams, *one)
    further = [randn_tensor(one, generator, device, dtype) for _ in foregrounds[1:]] if share_noise else []
    if further or any(seed is not None for stream in foregrounds for _, seed in stream):
        latents = latents.clone()
    for stream, triplets in enumerate(foregrounds):
        for triplet, (number, seed) in enumerate(triplets):
            if seed is not None:
                latents[stream, triplet] = randn_tensor(shape, Generator().manual_seed(seed), device, dtype)
            elif number and further:
                latents[stream, triplet] = further[number - 1][triplet]
    # The first stream draws from the caller's own generator, so that it ends up where a single run would leave it.
    others = [clone(generator) if share_noise else generator for _ in layout.names[1:]]
    return latents, [generator, *others]


def clone(generator: Generators) -> Generators:
    """A generator, or a list of them, that will draw what this one will draw."""
    if isinstance(generator, list):
        return [one for g in generator if isinstance(one := clone(g), Generator)]
    return Generator(generator.device).set_state(generator.get_state())


def check_tensor_names(asked: Iterable[str], known: Iterable[str]) -> None:
    """Raise a LayerFusionError for what no callback can be shown."""
    unknown = sorted(set(asked) - set(known))
    if unknown:
        raise LayerFusionError(
            f"callback_on_step_end_tensor_inputs has {', '.join(unknown)}; choose from {', '.join(known)}."
        )
