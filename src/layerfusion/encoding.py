"""From prompts to what every row of the batch is conditioned on."""

from dataclasses import replace
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.loaders import IPAdapterMixin, TextualInversionLoaderMixin
from torch import Tensor

from layerfusion.errors import LayerFusionError
from layerfusion.inputs import Inputs
from layerfusion.method import BACKGROUND, BLENDED, FOREGROUND
from layerfusion.prompts import Conditions, Encoded, as_list, first_eos, repeat_to, stack_conditions, stack_pictures


class EncodingMixin(TextualInversionLoaderMixin, IPAdapterMixin):
    """The part of `LayerFusionPipeline` that encodes."""

    # The prompt encoding, LoRA scale and long-prompt warnings are SDXL's own, unchanged.
    encode_prompt = StableDiffusionXLPipeline.encode_prompt
    _get_add_time_ids = StableDiffusionXLPipeline._get_add_time_ids
    encode_image = StableDiffusionXLPipeline.encode_image
    prepare_ip_adapter_image_embeds = StableDiffusionXLPipeline.prepare_ip_adapter_image_embeds

    @torch.no_grad()
    def encode(self, inputs: Inputs) -> Conditions:
        """Prompts, and pictures for IP-Adapters → what the rows of the batch are conditioned on, on the device."""
        device, layout = self._execution_device, inputs.layout
        *foregrounds, background = (
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
            for prompts in (*inputs.foreground, inputs.background)
        )
        ends = []
        for prompts in inputs.foreground:
            if prompts.eos is None:
                tokenizer = self.tokenizer or self.tokenizer_2
                eos = first_eos(tokenizer, self.maybe_convert_prompt(as_list(prompts.prompt), tokenizer))
            else:
                eos = torch.tensor(prompts.eos)
            ends.append(repeat_to(inputs.pairs, eos).repeat_interleave(inputs.num_images_per_prompt))
        time_ids = self._get_add_time_ids(
            inputs.original_size or (inputs.height, inputs.width),
            inputs.crops_coords_top_left,
            inputs.target_size or (inputs.height, inputs.width),
            dtype=background.prompt_embeds.dtype,
            text_encoder_projection_dim=background.pooled_prompt_embeds.shape[-1],
        )
        conditions = stack_conditions(
            layout,
            dict(zip(layout.foregrounds, foregrounds, strict=True)) | {BLENDED: background, BACKGROUND: background},
            time_ids.to(device),
            torch.cat(ends).to(device),
        )
        return replace(conditions, **self._encode_pictures(inputs))

    def _encode_pictures(self, inputs: Inputs) -> dict[str, Any]:
        """`image_embeds` and `pictured` of the conditions; nothing where no stream is given pictures.

        Raises:
            LayerFusionError: pictures without an IP-Adapter, an IP-Adapter without pictures, or not one for each.
        """
        given = {
            FOREGROUND: (inputs.foreground_ip_adapter_image, inputs.foreground_ip_adapter_image_embeds),
            BACKGROUND: (inputs.background_ip_adapter_image, inputs.background_ip_adapter_image_embeds),
        }
        given = {name: both for name, both in given.items() if any(one is not None for one in both)}
        masks = (inputs.cross_attention_kwargs or {}).get("ip_adapter_masks")
        has_adapters = self.unet.config.encoder_hid_dim_type == "ip_image_proj"
        if bool(given) != has_adapters:
            raise LayerFusionError(
                "the UNet carries an IP-Adapter; give foreground_ip_adapter_image or background_ip_adapter_image, or "
                "take it off with unload_ip_adapter()."
                if has_adapters
                else "a picture for an IP-Adapter is given and none is there; load one with load_ip_adapter()."
            )
        if not given and masks is not None:
            raise LayerFusionError(
                "ip_adapter_masks are given and no picture for an IP-Adapter; give one, or no masks."
            )
        if not given:
            return {}
        layout, count = inputs.layout, len(self.unet.encoder_hid_proj.image_projection_layers)
        encoded: dict[str, list[Tensor]] = {}
        for name, (pictures, embeds) in given.items():
            listed = pictures if isinstance(pictures, list) else [pictures]
            if len(listed if embeds is None else embeds) != count:
                raise LayerFusionError(f"there are {count} IP-Adapters; give a {name} picture, or a list, for each.")
            encoded[name] = self.prepare_ip_adapter_image_embeds(
                listed, embeds, self._execution_device, layout.batch, layout.guidance
            )
        shapes = [tuple(mask.shape[:2]) for mask in masks or []]
        wanted = [(1, embeds.shape[1]) for embeds in next(iter(encoded.values()))]
        if masks is not None and shapes != wanted:
            raise LayerFusionError(
                f"ip_adapter_masks begin with the shapes {shapes}; give a mask (1, pictures, height, width) for each "
                f"IP-Adapter, which begin with {wanted}."
            )
        of_streams = dict.fromkeys(layout.foregrounds, encoded.get(FOREGROUND)) | {
            name: encoded.get(BACKGROUND) for name in layout.plain
        }
        return stack_pictures(layout, of_streams, self.unet.dtype)
