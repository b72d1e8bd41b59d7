"""A model in its few-step form: a LoRA distilled for it is fused in, and diffusers' `LCMScheduler` samples.

A saved `LayerFusionPipeline` has that LoRA in its folder, as `few_step/pytorch_lora_weights.safetensors`, the form and
the name that `load_lora_weights` takes; for an SDXL it is the published LCM-LoRA.
"""

from dataclasses import replace
from pathlib import Path

from diffusers import LCMScheduler

from layerfusion.pipeline import LayerFusionPipeline

STEPS = 6


def make_few_step(pipeline: LayerFusionPipeline, lora: Path) -> None:
    """Fuse the LoRA in and take its scheduler; without guidance, which the LoRA has in itself, and `STEPS` by default.

    Args:
        pipeline: Changed for good.
        lora: A file as diffusers' `load_lora_weights` takes it.
    """
    # Not load_lora_weights: it complains that there is nothing for the text encoders.
    state, alphas = pipeline.lora_state_dict(lora.parent, weight_name=lora.name, unet_config=pipeline.unet.config)
    pipeline.load_lora_into_unet(state, alphas, pipeline.unet, _pipeline=pipeline)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
    pipeline.defaults = replace(pipeline.defaults, steps=STEPS, guidance_scale=1.0)
