"""From any SDXL and LayerDiffuse's files to a pipeline."""

import os
from typing import Any, Self

from diffusers import StableDiffusionXLPipeline

from layerfusion.errors import LayerFusionError
from layerfusion.offsets import ForegroundOffsets, load_foreground
from layerfusion.transparency import TransparentDecoder, TransparentEncoder, load_transparent


class FromSDXLMixin:
    """The constructors of `LayerFusionPipeline` that start from a plain SDXL."""

    @classmethod
    def from_sdxl(
        cls,
        sdxl: StableDiffusionXLPipeline,
        foreground: ForegroundOffsets | str | os.PathLike[str],
        transparent_decoder: TransparentDecoder | str | os.PathLike[str] | None,
        transparent_encoder: TransparentEncoder | str | os.PathLike[str] | None = None,
        **config: Any,
    ) -> Self:
        """A loaded SDXL pipeline, sharing its parts, and LayerDiffuse's weights.

        Args:
            sdxl: Any `StableDiffusionXLPipeline`, also one with a ControlNet.
            foreground: The foreground offsets, or a file of them in any published form.
            transparent_decoder, transparent_encoder: LayerDiffuse's transparent VAE, or its files.
            config: `structure_layer`, `structure_sign`, `defaults`, as the class takes them.

        Raises:
            LayerFusionError: a file is missing or holds something else.
        """
        if isinstance(foreground, ForegroundOffsets):
            offsets = foreground
        else:
            offsets = load_foreground(os.fspath(foreground), sdxl.unet)
        decoder = _transparent(TransparentDecoder, transparent_decoder)
        encoder = _transparent(TransparentEncoder, transparent_encoder)
        return cls(  # type: ignore[call-arg]  # of the pipeline
            sdxl.vae,
            sdxl.text_encoder,
            sdxl.text_encoder_2,
            sdxl.tokenizer,
            sdxl.tokenizer_2,
            sdxl.unet,
            sdxl.scheduler,
            foreground=offsets.to(sdxl.unet.device, sdxl.unet.dtype),
            transparent_decoder=None if decoder is None else decoder.to(sdxl.device),
            transparent_encoder=None if encoder is None else encoder.to(sdxl.device),
            image_encoder=sdxl.image_encoder,
            feature_extractor=sdxl.feature_extractor,
            controlnet=getattr(sdxl, "controlnet", None),
            force_zeros_for_empty_prompt=sdxl.config.force_zeros_for_empty_prompt,
            **config,
        )

    @classmethod
    def from_single_file(
        cls,
        pretrained_model_link_or_path: str | os.PathLike[str],
        foreground: ForegroundOffsets | str | os.PathLike[str],
        transparent_decoder: TransparentDecoder | str | os.PathLike[str] | None,
        transparent_encoder: TransparentEncoder | str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """An SDXL checkpoint in one `.safetensors` file; the rest as `from_sdxl` takes it.

        `kwargs` go to `StableDiffusionXLPipeline.from_single_file` (`torch_dtype`, `config`, `local_files_only`, …).
        """
        if not str(pretrained_model_link_or_path).endswith(".safetensors"):
            raise LayerFusionError(f"{pretrained_model_link_or_path} is not a .safetensors file; convert it to one.")
        sdxl = StableDiffusionXLPipeline.from_single_file(str(pretrained_model_link_or_path), **kwargs)
        return cls.from_sdxl(sdxl, foreground, transparent_decoder, transparent_encoder)


def _transparent(of: Any, given: Any) -> Any:
    return load_transparent(of, os.fspath(given)) if isinstance(given, (str, os.PathLike)) else given
