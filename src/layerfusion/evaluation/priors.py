"""The structure prior of every self-attention, at one time of a run (Fig. 9 of the paper)."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from layerfusion.method import JointAttention, LayerFusionConfig, StreamLayout, UNetPass, self_attention_layers
from layerfusion.pipeline import FOREGROUND, LayerFusionPipeline
from layerfusion.prompts import first_eos


class Watcher:
    """A `callback_on_step_end` that keeps the foregrounds' latents of the step nearest to a given time.

    Args:
        time: As a fraction of the training timesteps; 1 is pure noise.
        advance: Called after every step.

    Attributes:
        latents: (B, 4, h, w), as they enter that step.
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
            self.latents = tensors["latents"][0].clone()
            self.timestep = timesteps[min(i + 1, len(timesteps) - 1)]
        self.advance()
        return tensors


@torch.no_grad()
def structure_priors(
    pipeline: LayerFusionPipeline, prompt: str, latents: Tensor, timestep: Tensor, config: LayerFusionConfig
) -> dict[str, Tensor]:
    """s' of each self-attention of ε_FG, in the order in which they are computed; one prior pass for each.

    Args:
        pipeline: The model.
        prompt: The foreground prompt.
        latents: (1, 4, h, w), the foreground's latents at `timestep`.
        timestep: One of the scheduler's timesteps.
        config: For the sign of s'.

    Returns:
        The path of the self-attention → (rows, columns) of its token grid, float32 in [0, 1], on the CPU.
    """
    device, tokenizer = pipeline._execution_device, pipeline.tokenizer or pipeline.tokenizer_2
    embeds, _, pooled, _ = pipeline.encode_prompt(prompt, device=device, do_classifier_free_guidance=False)
    size = (latents.shape[-2], latents.shape[-1])
    pixels = tuple(side * pipeline.vae_scale_factor for side in size)
    time_ids = pipeline._get_add_time_ids(
        pixels, (0, 0), pixels, dtype=embeds.dtype, text_encoder_projection_dim=pooled.shape[-1]
    )
    sample = copy.deepcopy(pipeline.scheduler).scale_model_input(latents.to(device), timestep)
    alone = StreamLayout(batch=1, guidance=False, foregrounds=(FOREGROUND,), plain=())
    prior_pass = UNetPass(alone, size, first_eos(tokenizer, [prompt]).to(device), take_structure=True)
    pipeline.foreground()
    sign = config.structure_sign or pipeline.config.structure_sign
    priors = {}
    for layer in self_attention_layers(pipeline.unet):
        joint = JointAttention(pipeline.unet, pipeline.foreground, config, layer, sign)
        with joint.installed():
            joint.take_prior(
                prior_pass,
                sample,
                timestep,
                encoder_hidden_states=embeds,
                added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids.to(device)},
            )
        assert joint.structure is not None
        priors[layer] = joint.structure[0].float().cpu()
    pipeline.maybe_free_model_hooks()
    return priors
