"""LayerFusionPipeline: check inputs → encode prompts → prepare latents → denoise → decode."""

import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.image_processor import VaeImageProcessor
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin, TextualInversionLoaderMixin
from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES
from diffusers.pipelines.pipeline_utils import StableDiffusionMixin
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import retrieve_timesteps
from diffusers.schedulers import SchedulerMixin
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from layerfusion.decoding import decode_picture, decode_transparency
from layerfusion.errors import LayerFusionError
from layerfusion.method import (
    BACKGROUND,
    BLENDED,
    JointAttention,
    LayerFusionConfig,
    StreamLayout,
    resolve_structure_layer,
)
from layerfusion.offsets import ForegroundOffsets, load_foreground
from layerfusion.output import LayerFusionOutput, StepMaps
from layerfusion.prompts import (
    Encoded,
    Prompt,
    as_list,
    check_prompt,
    first_eos,
    repeat_to,
    stack_conditions,
)
from layerfusion.sampling import Generators, Sampler, initial_latents
from layerfusion.transparency import TransparentDecoder, TransparentEncoder, load_transparent

FOREGROUND = "foreground"
# The deepest level of the transparent decoder halves the picture six times.
SIZE_MULTIPLE = 64

# diffusers downloads a pipeline only if it knows the module of every component.
for component in (ForegroundOffsets, TransparentDecoder, TransparentEncoder):
    LOADABLE_CLASSES[component.__module__] = {"ModelMixin": ["save_pretrained", "from_pretrained"]}

OutputType = Literal["pil", "np", "pt", "latent"]


class LayerFusionPipeline(
    DiffusionPipeline, StableDiffusionMixin, StableDiffusionXLLoraLoaderMixin, TextualInversionLoaderMixin
):
    """From two prompts, a foreground (RGBA), a background (RGB) and a blended picture (RGB), denoised together.

    Args:
        vae, text_encoder, text_encoder_2, tokenizer, tokenizer_2, unet, scheduler: SDXL's parts; the UNet is ε.
        foreground: The foreground offsets, ε_FG − ε (`layerfusion.offsets.load_foreground` reads published files).
        transparent_decoder: Finds alpha and colour of the foreground from its latent. None is allowed where only
            latents are asked for.
        transparent_encoder: Puts a given RGBA picture into a latent; generation from prompts does not need it.
        force_zeros_for_empty_prompt: As SDXL has it: no negative prompt means zero embeddings.
        structure_layer, structure_sign: The self-attention whose map gives the structure prior on this model, and its
            sign; see `LayerFusionConfig`. The defaults are the paper's: the last layer, 1.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->unet->vae->transparent_decoder"
    _optional_components: ClassVar = [
        "tokenizer",
        "tokenizer_2",
        "text_encoder",
        "text_encoder_2",
        "transparent_decoder",
        "transparent_encoder",
    ]
    _callback_tensor_inputs: ClassVar = ["latents"]

    # The prompt encoding, LoRA scale and long-prompt warnings are SDXL's own, unchanged.
    encode_prompt = StableDiffusionXLPipeline.encode_prompt
    prepare_extra_step_kwargs = StableDiffusionXLPipeline.prepare_extra_step_kwargs
    _get_add_time_ids = StableDiffusionXLPipeline._get_add_time_ids

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel | None,
        text_encoder_2: CLIPTextModelWithProjection | None,
        tokenizer: CLIPTokenizer | None,
        tokenizer_2: CLIPTokenizer | None,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        foreground: ForegroundOffsets,
        transparent_decoder: TransparentDecoder | None = None,
        transparent_encoder: TransparentEncoder | None = None,
        force_zeros_for_empty_prompt: bool = True,
        structure_layer: str | None = None,
        structure_sign: int = 1,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            unet=unet,
            scheduler=scheduler,
            foreground=foreground,
            transparent_decoder=transparent_decoder,
            transparent_encoder=transparent_encoder,
        )
        self.register_to_config(
            force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
            structure_layer=structure_layer,
            structure_sign=structure_sign,
        )
        self.vae_scale_factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)
        self.default_sample_size = self.unet.config.sample_size

    @classmethod
    def from_sdxl(
        cls,
        sdxl: StableDiffusionXLPipeline,
        foreground: ForegroundOffsets | str | os.PathLike[str],
        transparent_decoder: TransparentDecoder | str | os.PathLike[str] | None,
        transparent_encoder: TransparentEncoder | str | os.PathLike[str] | None = None,
        **config: Any,
    ) -> "LayerFusionPipeline":
        """A loaded SDXL pipeline, sharing its parts, and LayerDiffuse's weights.

        Args:
            sdxl: Any `StableDiffusionXLPipeline`.
            foreground: The foreground offsets, or a file of them in any published form.
            transparent_decoder, transparent_encoder: LayerDiffuse's transparent VAE, or its files.
            config: `structure_layer`, `structure_sign`.

        Raises:
            LayerFusionError: a file is missing or holds something else.
        """
        if isinstance(foreground, ForegroundOffsets):
            offsets = foreground
        else:
            offsets = load_foreground(os.fspath(foreground), sdxl.unet)
        decoder = _transparent(TransparentDecoder, transparent_decoder)
        encoder = _transparent(TransparentEncoder, transparent_encoder)
        return cls(
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
    ) -> "LayerFusionPipeline":
        """An SDXL checkpoint in one `.safetensors` file; the rest as `from_sdxl` takes it.

        `kwargs` go to `StableDiffusionXLPipeline.from_single_file` (`torch_dtype`, `config`, `local_files_only`, …).
        """
        if not str(pretrained_model_link_or_path).endswith(".safetensors"):
            raise LayerFusionError(f"{pretrained_model_link_or_path} is not a .safetensors file; convert it to one.")
        sdxl = StableDiffusionXLPipeline.from_single_file(str(pretrained_model_link_or_path), **kwargs)
        return cls.from_sdxl(sdxl, foreground, transparent_decoder, transparent_encoder)

    def fuse_foreground(self) -> None:
        """Keep ε_FG's projections as dense weights: faster, for the memory of one more copy of the projections."""
        self.foreground.fuse(self.unet)

    def unfuse_foreground(self) -> None:
        """Undo `fuse_foreground`."""
        self.foreground.unfuse()

    @property
    def guidance_scale(self) -> float:
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self._guidance_scale > 1

    @property
    def num_timesteps(self) -> int:
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        """Set `_interrupt` from `callback_on_step_end` to stop after the current step; what is there is decoded."""
        return self._interrupt

    @torch.no_grad()
    def __call__(
        self,
        foreground_prompt: Prompt | None = None,
        background_prompt: Prompt | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 25,
        timesteps: list[int] | None = None,
        sigmas: list[float] | None = None,
        guidance_scale: float = 7.0,
        guidance_rescale: float = 0.0,
        negative_foreground_prompt: Prompt | None = None,
        negative_background_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators | None = None,
        latents: Tensor | None = None,
        foreground_prompt_embeds: Tensor | None = None,
        pooled_foreground_prompt_embeds: Tensor | None = None,
        negative_foreground_prompt_embeds: Tensor | None = None,
        negative_pooled_foreground_prompt_embeds: Tensor | None = None,
        foreground_eos: list[int] | None = None,
        background_prompt_embeds: Tensor | None = None,
        pooled_background_prompt_embeds: Tensor | None = None,
        negative_background_prompt_embeds: Tensor | None = None,
        negative_pooled_background_prompt_embeds: Tensor | None = None,
        clip_skip: int | None = None,
        original_size: tuple[int, int] | None = None,
        crops_coords_top_left: tuple[int, int] = (0, 0),
        target_size: tuple[int, int] | None = None,
        config: LayerFusionConfig | None = None,
        transparency_passes: int = 8,
        return_premultiplied: bool = False,
        return_maps: bool = False,
        output_type: OutputType = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[..., dict[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> LayerFusionOutput | tuple[Any, ...]:
        """Generate B = prompts x `num_images_per_prompt` triplets.

        What is not listed here is as in `StableDiffusionXLPipeline`.

        Args:
            foreground_prompt, background_prompt: One prompt or a list; a single one goes with every one of the other.
            height, width: In pixels, multiples of 64; the model's own size where None.
            guidance_scale: Classifier-free guidance of every stream; 1 or less turns it off.
            negative_foreground_prompt, negative_background_prompt: What to steer away from.
            generator: One, or a list of B; a list makes each triplet independent of the batch it is in. None draws a
                seed from torch's global generator.
            latents: Initial noise of unit variance: (B, 4, h, w) shared by the streams, or (3, B, 4, h, w) for
                foreground, blended and background.
            foreground_prompt_embeds, …: (prompts, T, C) and pooled (prompts, C'), in place of prompts.
            foreground_eos: With foreground embeddings, the place of the first end-of-text token of each prompt.
            config: The switches of the method; the paper's values where None.
            transparency_passes: 8 (median of four rotations with and without a flip) or 1, which is faster.
            return_premultiplied: Also return the foreground over mid-grey.
            return_maps: Also return the priors and masks of every step and attention.
            callback_on_step_end: Called as callback(pipeline, step, timestep, {"latents": (3, B, 4, h, w)}); latents in
                the dictionary it returns replace them, and setting `pipeline._interrupt` ends the run after this step.

        Returns:
            LayerFusionOutput, or the tuple (foreground, background, blended, composite) without `return_dict`.

        Raises:
            LayerFusionError: an input is missing, contradictory or out of range.
        """
        config = config or LayerFusionConfig()
        height = height or self.default_sample_size * self.vae_scale_factor
        width = width or self.default_sample_size * self.vae_scale_factor

        # 1. Check inputs
        self.check_inputs(
            height, width, num_images_per_prompt, output_type, transparency_passes, callback_on_step_end_tensor_inputs
        )
        foregrounds = check_prompt(
            "foreground", foreground_prompt, foreground_prompt_embeds, pooled_foreground_prompt_embeds
        )
        backgrounds = check_prompt(
            "background", background_prompt, background_prompt_embeds, pooled_background_prompt_embeds
        )
        count = max(foregrounds, backgrounds)
        if not {foregrounds, backgrounds} <= {1, count}:
            raise LayerFusionError(
                f"there are {foregrounds} foreground prompts and {backgrounds} background prompts; "
                "give as many of each, or one."
            )
        if foreground_prompt_embeds is not None and foreground_eos is None:
            raise LayerFusionError(
                "foreground_prompt_embeds come without foreground_eos; give the place of each prompt's first "
                "end-of-text token, which the content confidence is read from."
            )
        self._guidance_scale = guidance_scale
        self._interrupt = False
        device = self._execution_device

        # 2. Encode prompts
        def encode(prompt: Prompt | None, negative_prompt: Prompt | None, *embeds: Tensor | None) -> Encoded:
            names = (
                "prompt_embeds",
                "pooled_prompt_embeds",
                "negative_prompt_embeds",
                "negative_pooled_prompt_embeds",
            )
            encoded = self.encode_prompt(
                prompt=repeat_to(count, as_list(prompt)),
                negative_prompt=negative_prompt,
                device=device,
                num_images_per_prompt=num_images_per_prompt,
                do_classifier_free_guidance=self.do_classifier_free_guidance,
                clip_skip=clip_skip,
                **{name: repeat_to(count, value) for name, value in zip(names, embeds, strict=True)},
            )
            return Encoded(*encoded)

        foreground = encode(
            foreground_prompt,
            negative_foreground_prompt,
            foreground_prompt_embeds,
            pooled_foreground_prompt_embeds,
            negative_foreground_prompt_embeds,
            negative_pooled_foreground_prompt_embeds,
        )
        background = encode(
            background_prompt,
            negative_background_prompt,
            background_prompt_embeds,
            pooled_background_prompt_embeds,
            negative_background_prompt_embeds,
            negative_pooled_background_prompt_embeds,
        )
        if foreground_eos is None:
            tokenizer = self.tokenizer or self.tokenizer_2
            eos = first_eos(tokenizer, self.maybe_convert_prompt(as_list(foreground_prompt), tokenizer))
        else:
            eos = torch.tensor(foreground_eos)
        layout = StreamLayout(count * num_images_per_prompt, self.do_classifier_free_guidance, (FOREGROUND,))
        time_ids = self._get_add_time_ids(
            original_size or (height, width),
            crops_coords_top_left,
            target_size or (height, width),
            dtype=foreground.prompt_embeds.dtype,
            text_encoder_projection_dim=foreground.pooled_prompt_embeds.shape[-1],
        )
        encoded = {FOREGROUND: foreground, BLENDED: background, BACKGROUND: background}

        # 3. Prepare timesteps and latents
        timesteps, num_inference_steps = retrieve_timesteps(
            self.scheduler, num_inference_steps, device, timesteps, sigmas
        )
        self._num_timesteps = len(timesteps)
        size = (height // self.vae_scale_factor, width // self.vae_scale_factor)
        noise, generators = initial_latents(
            layout,
            (self.unet.config.in_channels, *size),
            foreground.prompt_embeds.dtype,
            device,
            generator,
            latents,
            config.share_noise,
        )

        # 4. Denoise
        # Calling the component, rather than reading from it, lets model offloading bring it to the device.
        self.foreground()
        joint = JointAttention(
            self.unet,
            self.foreground,
            config,
            resolve_structure_layer(self.unet, config.structure_layer or self.config.structure_layer),
            config.structure_sign or self.config.structure_sign,
        )
        sampler = Sampler(
            joint,
            layout,
            self.scheduler,
            num_steps=len(timesteps),
            latents=noise * self.scheduler.init_noise_sigma,
            conditions=stack_conditions(layout, encoded, time_ids.to(device)),
            eos=repeat_to(count, eos).repeat_interleave(num_images_per_prompt).to(device),
            guidance_scale=guidance_scale,
            guidance_rescale=guidance_rescale,
            step_kwargs=[self.prepare_extra_step_kwargs(g, eta) for g in generators],
        )
        maps: list[StepMaps] = []
        with joint.installed(), self.progress_bar(total=num_inference_steps) as progress_bar:
            for i, t in enumerate(timesteps):
                step_maps = sampler.step(i, t, with_maps=return_maps)
                if step_maps is not None:
                    maps.append(step_maps)
                if callback_on_step_end is not None:
                    asked = {name: getattr(sampler, name) for name in callback_on_step_end_tensor_inputs}
                    changed = callback_on_step_end(self, i, t, asked)
                    sampler.latents = changed.pop("latents", sampler.latents)
                progress_bar.update()
                if self.interrupt:
                    break

        # 5. Decode
        output = self.decode(layout, sampler.latents, output_type, transparency_passes, return_premultiplied)
        output.maps = maps if return_maps else None
        self.maybe_free_model_hooks()
        if not return_dict:
            return output.foreground, output.background, output.blended, output.composite
        return output

    def check_inputs(
        self,
        height: int,
        width: int,
        num_images_per_prompt: int,
        output_type: str,
        transparency_passes: int,
        callback_on_step_end_tensor_inputs: Sequence[str],
    ) -> None:
        """Raise a LayerFusionError for what is not supported, instead of guessing."""
        check_size(width, height)
        if num_images_per_prompt < 1:
            raise LayerFusionError(f"num_images_per_prompt is {num_images_per_prompt}; give 1 or more.")
        if output_type not in get_args(OutputType):
            raise LayerFusionError(f"output_type is {output_type!r}; choose one of {', '.join(get_args(OutputType))}.")
        if output_type != "latent" and self.transparent_decoder is None:
            raise LayerFusionError(
                'the pipeline has no transparent_decoder to find alpha with; load one, or ask for output_type="latent".'
            )
        if transparency_passes not in (1, 8):
            raise LayerFusionError(f"transparency_passes is {transparency_passes}; give 1 or 8.")
        unknown = sorted(set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs))
        if unknown:
            raise LayerFusionError(
                f"callback_on_step_end_tensor_inputs has {', '.join(unknown)}; "
                f"choose from {', '.join(self._callback_tensor_inputs)}."
            )

    def decode(
        self,
        layout: StreamLayout,
        latents: Tensor,
        output_type: OutputType,
        transparency_passes: int,
        return_premultiplied: bool,
    ) -> LayerFusionOutput:
        """Latents (S, B, 4, h, w) → pictures. One stream at a time, which bounds the memory."""
        streams = dict(zip(layout.names, latents, strict=True))
        if output_type == "latent":
            return LayerFusionOutput(streams[FOREGROUND], streams[BACKGROUND], streams[BLENDED])
        premultiplied = decode_picture(self.vae, streams[FOREGROUND])
        background = decode_picture(self.vae, streams[BACKGROUND])
        blended = decode_picture(self.vae, streams[BLENDED])
        foreground = decode_transparency(
            self.vae, self.transparent_decoder, premultiplied, streams[FOREGROUND], transparency_passes
        )
        rgb, alpha = foreground.split([3, 1], dim=1)
        composite = rgb * alpha + background * (1 - alpha)

        def picture(tensor: Tensor) -> Any:
            return self.image_processor.postprocess(tensor, output_type, do_denormalize=[False] * len(tensor))

        return LayerFusionOutput(
            foreground=picture(foreground),
            background=picture(background),
            blended=picture(blended),
            composite=picture(composite),
            premultiplied=picture(premultiplied) if return_premultiplied else None,
        )


def _transparent(kind: Any, given: Any) -> Any:
    return load_transparent(kind, os.fspath(given)) if isinstance(given, (str, os.PathLike)) else given


def check_size(width: int, height: int) -> None:
    """Raise a LayerFusionError for a size that the transparent decoder cannot halve often enough."""
    if min(width, height) < SIZE_MULTIPLE or width % SIZE_MULTIPLE or height % SIZE_MULTIPLE:
        nearest = (max(SIZE_MULTIPLE, round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE) for side in (width, height))
        raise LayerFusionError(
            f"the size {width}x{height} is not divisible by {SIZE_MULTIPLE}; try {'x'.join(map(str, nearest))}."
        )
