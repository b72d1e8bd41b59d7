"""LayerDiffuse's sequential pipeline (arXiv 2402.17113): foreground, then blended picture, then background.

Each stage is a run of its own. Those after the first see latents of what is there already, concatenated to their noisy
ones; a stage's weights are offsets to the base UNet, with a first convolution that takes 8 or 12 channels.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Generator, Tensor, nn

from layerfusion.decoding import decode_picture, decode_transparency
from layerfusion.defaults import Defaults
from layerfusion.errors import LayerFusionError
from layerfusion.evaluation.baselines.interface import Missing, Scene, System
from layerfusion.pipeline import LayerFusionPipeline
from layerfusion.transparency import settle_alpha

Stage = Literal["fg2ble", "bg2ble", "fgble2bg", "bgble2fg"]
CONDITIONS: dict[Stage, int] = {"fg2ble": 1, "bg2ble": 1, "fgble2bg": 2, "bgble2fg": 2}
"""How many latents each stage sees beside its own, in the order of its name."""
LATENT = 4
HAND_OVER = 0.62
"""Of the steps of fgble2bg, after which the base goes on alone, as users of the published weights have it."""
REPOSITORY = "https://huggingface.co/rootonchair/diffuser_layerdiffuse"


class ConcatenatingConv(nn.Conv2d):
    """A UNet's first convolution that sees `condition` (B, 4 n, h, w) behind each latent of a batch of k·B."""

    condition: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        assert self.condition is not None, "the condition is set before the UNet is called"
        rows = self.condition.repeat(len(x) // len(self.condition), 1, 1, 1)
        return super().forward(torch.cat([x, rows.to(x)], dim=1))


def widen(unet: UNet2DConditionModel, conditions: int) -> ConcatenatingConv:
    """Let a UNet's first convolution see so many latents more; at first it ignores them.

    The configuration keeps its number of channels: it is what pipelines draw noise of.
    """
    former = unet.conv_in
    wide = ConcatenatingConv(
        former.in_channels + LATENT * conditions,
        former.out_channels,
        cast("tuple[int, int]", former.kernel_size),
        padding=cast("tuple[int, int]", former.padding),
    ).to(former.weight.device, former.weight.dtype)
    with torch.no_grad():
        wide.weight.zero_()
        wide.weight[:, : former.in_channels] = former.weight
        if former.bias is not None and wide.bias is not None:
            wide.bias.copy_(former.bias)
    unet.conv_in = wide
    return wide


def staged(unet: UNet2DConditionModel, offsets: Mapping[str, Tensor], stage: Stage) -> UNet2DConditionModel:
    """A copy of the base with a stage's offsets added.

    Args:
        unet: The base.
        offsets: By the UNet's own keys, each of its weight's shape; `conv_in.weight` with the stage's channels.
        stage: Which it is.

    Raises:
        LayerFusionError: the offsets are of another stage or another UNet.
    """
    own = copy.deepcopy(unet)
    widen(own, CONDITIONS[stage])
    weights = own.state_dict()
    if "conv_in.weight" not in offsets:
        raise LayerFusionError(f"the weights for {stage} have no conv_in.weight; take a file of the sequential stages.")
    for key, offset in offsets.items():
        if key not in weights or weights[key].shape != offset.shape:
            has = tuple(weights[key].shape) if key in weights else "no such weight"
            raise LayerFusionError(
                f"the weights for {stage} do not fit this model: {key} is {tuple(offset.shape)}, the model has {has}."
            )
        weights[key] += offset.to(weights[key])
    return own.eval()


class SequentialLayerDiffuse:
    """Foreground → blended picture → background, or background and blended picture → foreground.

    Args:
        pipeline: The base with its foreground weights and both transparency models.
        offsets: Of the stages there are.
        hand_over: Share of the background's steps after which the base goes on alone; 1 for never.
        scheduler: Of the background; the pipeline's own where it is None.
        passes: Of the transparent decoder, 8 or 1.
    """

    def __init__(
        self,
        pipeline: LayerFusionPipeline,
        offsets: Mapping[Stage, Mapping[str, Tensor]],
        hand_over: float = 1.0,
        scheduler: Any = None,
        passes: int = 8,
    ) -> None:
        self.pipeline, self.hand_over = pipeline, hand_over
        self.alone = Alone(pipeline, passes)
        self.stages = {stage: plain(pipeline, staged(pipeline.unet, each, stage)) for stage, each in offsets.items()}
        if scheduler is not None:
            self.stages["fgble2bg"].scheduler = scheduler

    @torch.no_grad()
    def generate(self, pairs: Sequence[tuple[str, str]], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """As `Generator.generate`; every stage of a triplet begins with the noise of its seed."""
        foregrounds, backgrounds = (list(prompts) for prompts in zip(*pairs, strict=True))
        rgba = self.alone.foregrounds(foregrounds, seeds)
        condition = encode(self.pipeline, over_grey(rgba))
        both = [f"{foreground}, {background}" for foreground, background in pairs]
        blended = decode_picture(self.pipeline.vae, self._conditioned("fg2ble", both, seeds, condition))
        condition = torch.cat([condition, encode(self.pipeline, blended)], dim=1)
        latents = self._conditioned("fgble2bg", backgrounds, seeds, condition)
        background = decode_picture(self.pipeline.vae, latents)
        pictures = {"foreground": rgba, "background": background, "blended": blended}
        return {name: picture.movedim(1, -1).cpu().numpy() for name, picture in pictures.items()}

    @torch.no_grad()
    def extract(self, picture: np.ndarray, scene: Scene) -> np.ndarray:
        """The foreground (H, W, 4) of a blended picture whose background and prompt the scene holds."""
        assert scene.background is not None, "this system extracts by the picture's own background"
        both = [encode(self.pipeline, torch.from_numpy(x).movedim(-1, 0)[None]) for x in (scene.background, picture)]
        latents = self._conditioned("bgble2fg", [scene.prompt], [scene.seed], torch.cat(both, dim=1))
        return self.alone.cut(latents)[0].movedim(0, -1).cpu().numpy()

    def _conditioned(self, stage: Stage, prompts: list[str], seeds: Sequence[int], condition: Tensor) -> Tensor:
        pipe = self.stages[stage]
        own = pipe.unet
        own.conv_in.condition = condition

        def hand_over(running: Any, step: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            if stage == "fgble2bg" and step + 1 >= self.hand_over * running.num_timesteps:
                running.unet = self.pipeline.unet
            return tensors

        defaults, factor = self.pipeline.defaults, self.pipeline.vae_scale_factor
        negative = defaults.negative_foreground if stage == "bgble2fg" else defaults.negative_background
        size = (factor * condition.shape[3], factor * condition.shape[2])
        try:
            return run(pipe, replace(defaults, size=size), prompts, seeds, negative, hand_over)
        finally:
            pipe.unet, own.conv_in.condition = own, None


class Alone:
    """The foreground generator and the base, each by itself: what the paper takes for the real distributions."""

    def __init__(self, pipeline: LayerFusionPipeline, passes: int = 8) -> None:
        self.pipeline, self.passes = pipeline, passes
        merged = copy.deepcopy(pipeline.unet)
        pipeline.foreground.merge_into(merged)
        self.foreground, self.base = plain(pipeline, merged), plain(pipeline, pipeline.unet)

    @torch.no_grad()
    def foregrounds(self, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """RGBA (B, 4, H, W) in [0, 1]."""
        defaults = self.pipeline.defaults
        return self.cut(run(self.foreground, defaults, list(prompts), seeds, defaults.negative_foreground))

    @torch.no_grad()
    def pictures(self, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """RGB (B, 3, H, W) in [0, 1]."""
        defaults = self.pipeline.defaults
        latents = run(self.base, defaults, list(prompts), seeds, defaults.negative_background)
        return decode_picture(self.pipeline.vae, latents)

    def cut(self, latents: Tensor) -> Tensor:
        """RGBA (B, 4, H, W) of a foreground's latents."""
        vae, decoder = self.pipeline.vae, self.pipeline.transparent_decoder
        return settle_alpha(decode_transparency(vae, decoder, decode_picture(vae, latents), latents, self.passes))


def run(
    pipe: StableDiffusionXLPipeline,
    settings: Defaults,
    prompts: list[str],
    seeds: Sequence[int],
    negative: str,
    callback: Any = None,
) -> Tensor:
    """Latents (B, 4, h, w) of prompts, each from the noise of its seed."""
    width, height = settings.size or (None, None)
    found = pipe(
        prompts,
        height=height,
        width=width,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        negative_prompt=[negative] * len(prompts) if negative else None,
        generator=[Generator().manual_seed(seed) for seed in seeds],
        output_type="latent",
        callback_on_step_end=callback,
    )
    return cast(Tensor, found.images)


def encode(pipeline: LayerFusionPipeline, picture: Tensor) -> Tensor:
    """RGB (B, 3, H, W) in [0, 1] → latents as the UNet knows them, the mean of the VAE's posterior."""
    vae = pipeline.vae
    posterior = vae.encode((2 * picture - 1).to(vae.device, vae.dtype)).latent_dist
    return cast(Tensor, posterior.mean * vae.config.scaling_factor)


def over_grey(rgba: Tensor) -> Tensor:
    """(B, 4, H, W) → (B, 3, H, W), as ε_FG sees its subjects."""
    return 0.5 + (rgba[:, :3] - 0.5) * rgba[:, 3:]


def plain(pipeline: LayerFusionPipeline, unet: UNet2DConditionModel) -> StableDiffusionXLPipeline:
    """diffusers' own pipeline on the same parts with another UNet."""
    names = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    pipe = StableDiffusionXLPipeline(
        **{name: getattr(pipeline, name) for name in names},
        unet=unet,
        scheduler=copy.deepcopy(pipeline.scheduler),
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def file_of(stage: Stage) -> str:
    """The published file's name."""
    return f"diffuser_layer_xl_{stage}.safetensors"


def _published(stages: tuple[Stage, ...]) -> Any:
    def prepare(folder: Path, pipeline: LayerFusionPipeline | None) -> SequentialLayerDiffuse | Missing:
        for stage in stages:
            if pipeline is None or not (folder / file_of(stage)).exists():
                return Missing(file_of(stage), REPOSITORY, "CreativeML OpenRAIL-M", how="runs on SDXL")
        assert pipeline is not None
        # The authors warn of artefacts of plain DPM++ in the background's stage.
        scheduler = DPMSolverMultistepScheduler.from_config(
            pipeline.scheduler.config, algorithm_type="sde-dpmsolver++", use_karras_sigmas=True
        )
        offsets = {stage: load_file(folder / file_of(stage)) for stage in stages}
        return SequentialLayerDiffuse(pipeline, offsets, HAND_OVER, scheduler if "fgble2bg" in stages else None)

    return prepare


SEQUENTIAL = System(
    "LayerDiffuse, sequential", ("generate",), "Apache-2.0", "arXiv 2402.17113", _published(("fg2ble", "fgble2bg"))
)
EXTRACTION = System(
    "LayerDiffuse, extraction", ("extract",), "Apache-2.0", "arXiv 2402.17113", _published(("bgble2fg",))
)
