"""From prompts to what every row of the batch is conditioned on."""

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.loaders import TextualInversionLoaderMixin

from layerfusion.inputs import Inputs
from layerfusion.method import BACKGROUND, BLENDED, FOREGROUND
from layerfusion.prompts import Conditions, Encoded, as_list, first_eos, repeat_to, stack_conditions


class EncodingMixin(TextualInversionLoaderMixin):
    """The part of `LayerFusionPipeline` that encodes."""

    # The prompt encoding, LoRA scale and long-prompt warnings are SDXL's own, unchanged.
    encode_prompt = StableDiffusionXLPipeline.encode_prompt
    _get_add_time_ids = StableDiffusionXLPipeline._get_add_time_ids

    @torch.no_grad()
    def encode(self, inputs: Inputs) -> Conditions:
        """Prompts → what every row of the batch is conditioned on, on the pipeline's device."""
        device, layout = self._execution_device, inputs.layout
        foreground, background = (
            Encoded(
                *self.encode_prompt(
                    **prompts.repeated(inputs.pairs),
                    device=device,
                    num_images_per_prompt=inputs.num_images_per_prompt,
                    do_classifier_free_guidance=inputs.guidance,
                    clip_skip=inputs.clip_skip,
                    lora_scale=(inputs.cross_attention_kwargs or {}).get("scale"),
                )
            )
            for prompts in (inputs.foreground, inputs.background)
        )
        if inputs.foreground.eos is None:
            tokenizer = self.tokenizer or self.tokenizer_2
            eos = first_eos(tokenizer, self.maybe_convert_prompt(as_list(inputs.foreground.prompt), tokenizer))
        else:
            eos = torch.tensor(inputs.foreground.eos)
        time_ids = self._get_add_time_ids(
            inputs.original_size or (inputs.height, inputs.width),
            inputs.crops_coords_top_left,
            inputs.target_size or (inputs.height, inputs.width),
            dtype=foreground.prompt_embeds.dtype,
            text_encoder_projection_dim=foreground.pooled_prompt_embeds.shape[-1],
        )
        return stack_conditions(
            layout,
            {FOREGROUND: foreground, BLENDED: background, BACKGROUND: background},
            time_ids.to(device),
            repeat_to(inputs.pairs, eos).repeat_interleave(inputs.num_images_per_prompt).to(device),
        )
