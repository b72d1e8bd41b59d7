"""The priors of every attention of ε_FG, at one time of a run or of noised pictures (Fig. 9 of the paper)."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from layerfusion.method import (
    FOREGROUND,
    AttentionPriors,
    JointAttention,
    LayerFusionConfig,
    StreamLayout,
    UNetPass,
    self_attention_layers,
)
from layerfusion.pipeline import LayerFusionPipeline
from layerfusion.prompts import first_eos


class LatentsNear:
    """A `callback_on_step_end` that keeps the foregrounds' latents of the step nearest to a given time.

    Args:
        time: As a fraction of the training timesteps; 1 is pure noise.
        advance: Called after every step.

    Attributes:
        latents: (B, 4, h, w), as the UNet takes them in that step.
        timestep: Of that step.
    """

    latents: Tensor
    timestep: Tensor

    def __init__(self, time: float, advance: Callable[[], Any]) -> None:
        self.time = time
        self.advance = advance

    def __call__(self, pipeline: LayerFusionPipeline, i: int, t: Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
        timesteps = pipeline.scheduler.timesteps
        wanted = self.time * pipeline.scheduler.config.num_train_timesteps
        nearest = int((timesteps.float() - wanted).abs().argmin())
        # What leaves a step enters the next; what entered the first was never seen here.
        if i == max(nearest - 1, 0):
            self.timestep = timesteps[min(i + 1, len(timesteps) - 1)]
            # Some schedulers count calls; the run's own must not notice this one.
            scheduler = copy.deepcopy(pipeline.scheduler)
            self.latents = scheduler.scale_model_input(tensors["latents"][0].clone(), self.timestep)
        self.advance()
        return tensors


@torch.no_grad()
def observe_priors(
    pipeline: LayerFusionPipeline, prompts: list[str], latents: Tensor, timestep: Tensor
) -> list[AttentionPriors]:
    """s of each self-attention and c of each attention of ε_FG, in one pass of it.

    Args:
        pipeline: The model.
        prompts: B foreground prompts.
        latents: (B, 4, h, w), the foregrounds' noisy latents as the UNet takes them at `timestep`.
        timestep: Of the scheduler's.

    Returns:
        One entry for each attention, in the order in which they are computed, of (B, rows, columns) on the CPU.
    """
    device, tokenizer = pipeline._execution_device, pipeline.tokenizer or pipeline.tokenizer_2
    embeds, _, pooled, _ = pipeline.encode_prompt(prompts, device=device, do_classifier_free_guidance=False)
    size = (latents.shape[-2], latents.shape[-1])
    pixels = tuple(side * pipeline.vae_scale_factor for side in size)
    time_ids = pipeline._get_add_time_ids(
        pixels, (0, 0), pixels, dtype=embeds.dtype, text_encoder_projection_dim=pooled.shape[-1]
    )
    alone = StreamLayout(len(prompts), guidance=False, foregrounds=(FOREGROUND,), plain=())
    prior_pass = UNetPass(alone, size, first_eos(tokenizer, prompts).to(device))
    pipeline.foreground()
    joint = JointAttention(
        pipeline.unet, pipeline.foreground, LayerFusionConfig(), self_attention_layers(pipeline.unet)[-1], 1
    )
    with joint.installed():
        priors = joint.observe_priors(
            prior_pass,
            latents.to(device, pipeline.unet.dtype),
            timestep,
            encoder_hidden_states=embeds,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids.to(device).repeat(len(prompts), 1)},
        )
    pipeline.maybe_free_model_hooks()
    return priors
