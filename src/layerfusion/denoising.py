"""The pipeline's `denoise`, and what diffusers and its callbacks read and set of a run while it goes on."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from diffusers import UNet2DConditionModel
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback

from layerfusion.sampling import CONDITIONS, Sampler, check_tensor_names


class DenoisingMixin:
    """`denoise` of `LayerFusionPipeline`."""

    _callback_tensor_inputs: ClassVar = ["latents", "clean_latents", *CONDITIONS]
    unet: UNet2DConditionModel
    progress_bar: Callable[..., Any]
    _guidance_scale: float
    _num_timesteps: int
    _interrupt: bool

    @property
    def guidance_scale(self) -> float:
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self._guidance_scale > 1 and not self.unet.config.time_cond_proj_dim

    @property
    def num_timesteps(self) -> int:
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        """Set `_interrupt` from `callback_on_step_end` to stop after the current step; what is there is decoded."""
        return self._interrupt

    @torch.no_grad()
    def denoise(
        self,
        sampler: Sampler,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> None:
        """Take every step of a prepared run, until its latents are clean or a callback interrupts it.

        Raises:
            LayerFusionError: the callback asks for a tensor that is not there, or takes guidance where there is none.
        """
        if isinstance(callback_on_step_end, (PipelineCallback, MultiPipelineCallbacks)):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs
        check_tensor_names(callback_on_step_end_tensor_inputs, self._callback_tensor_inputs)
        steps = sampler.steps()
        self._guidance_scale, self._num_timesteps, self._interrupt = sampler.guidance_scale, len(steps), False
        with sampler.joint.installed(), self.progress_bar(total=len(steps)) as progress_bar:
            for i, t in steps:
                sampler.step(i, t)
                if callback_on_step_end is not None:
                    changed = callback_on_step_end(self, i, t, sampler.tensors(callback_on_step_end_tensor_inputs))
                    sampler.follow(changed, self._guidance_scale)
                progress_bar.update()
                if self.interrupt:
                    break
        sampler.finish()
