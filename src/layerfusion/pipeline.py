"""LayerFusionPipeline: check inputs → encode prompts → prepare latents → denoise → decode."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, overload

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DiffusionPipeline,
    MultiControlNetModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.image_processor import PipelineImageInput, VaeImageProcessor
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin
from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES
from diffusers.pipelines.pipeline_utils import StableDiffusionMixin
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import retrieve_timesteps
from diffusers.schedulers import SchedulerMixin
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from layerfusion.controls import Control
from layerfusion.decoding import decode_triplets
from layerfusion.defaults import Defaults
from layerfusion.denoising import DenoisingMixin
from layerfusion.encoding import EncodingMixin
from layerfusion.given import Pictures
from layerfusion.held import Held
from layerfusion.holding import HoldingMixin
from layerfusion.inputs import INPUTS, Foregrounds, Inputs, OutputType
from layerfusion.loading import FromSDXLMixin
from layerfusion.memory import MemoryMixin
from layerfusion.method import JointAttention, LayerFusionConfig, resolve_structure_layer
from layerfusion.offsets import ForegroundOffsets
from layerfusion.output import LayerFusionOutput, StepMaps, SubjectBatch
from layerfusion.placing import Places
from layerfusion.prompts import Conditions, Prompt
from layerfusion.sampling import Generators, Sampler, initial_latents
from layerfusion.transparency import TransparentDecoder, TransparentEncoder

# diffusers downloads a pipeline only if it knows the module of every component.
for component in (ForegroundOffsets, TransparentDecoder, TransparentEncoder):
    LOADABLE_CLASSES[component.__module__] = {"ModelMixin": ["save_pretrained", "from_pretrained"]}


class LayerFusionPipeline(
    FromSDXLMixin,
    EncodingMixin,
    MemoryMixin,
    HoldingMixin,
    DenoisingMixin,
    DiffusionPipeline,
    StableDiffusionMixin,
    StableDiffusionXLLoraLoaderMixin,
):
    """From two prompts, a foreground (RGBA), a background (RGB) and a blended picture (RGB), denoised together.

    Args:
        vae, text_encoder, text_encoder_2, tokenizer, tokenizer_2, unet, scheduler: SDXL's parts; the UNet is ε.
        foreground: The foreground offsets, ε_FG − ε (`layerfusion.offsets.load_foreground` reads published files).
        transparent_decoder: Finds alpha and colour of the foreground from its latent; latents alone need none.
        transparent_encoder: Puts a given RGBA picture into a latent; generation from prompts does not need it.
        image_encoder, feature_extractor: See pictures for an IP-Adapter, which `load_ip_adapter` brings along.
        controlnet: A ControlNet for SDXL, or several; they act where a call gives them pictures.
        force_zeros_for_empty_prompt: As SDXL has it: no negative prompt means zero embeddings.
        structure_layer, structure_sign: The self-attention whose map gives the structure prior on this model, and its
            sign; see `LayerFusionConfig`. The defaults are the paper's: the last layer, 1.
        defaults: The model's own settings for what a call leaves out, as `Defaults.to_dict` writes them.
        vocabulary: What the model knows, for a model of few words; see `layerfusion.models.Vocabulary`.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->image_encoder->unet->vae->transparent_decoder"
    _optional_components: ClassVar = [
        "vae",
        "unet",
        "foreground",
        "tokenizer",
        "tokenizer_2",
        "text_encoder",
        "text_encoder_2",
        "transparent_decoder",
        "transparent_encoder",
        "image_encoder",
        "feature_extractor",
        "controlnet",
    ]
    prepare_extra_step_kwargs = StableDiffusionXLPipeline.prepare_extra_step_kwargs

    def __init__(
        self,
        vae: AutoencoderKL | None,
        text_encoder: CLIPTextModel | None,
        text_encoder_2: CLIPTextModelWithProjection | None,
        tokenizer: CLIPTokenizer | None,
        tokenizer_2: CLIPTokenizer | None,
        unet: UNet2DConditionModel | None,
        scheduler: SchedulerMixin,
        foreground: ForegroundOffsets | None = None,
        transparent_decoder: TransparentDecoder | None = None,
        transparent_encoder: TransparentEncoder | None = None,
        image_encoder: CLIPVisionModelWithProjection | None = None,
        feature_extractor: CLIPImageProcessor | None = None,
        controlnet: ControlNetModel | MultiControlNetModel | Sequence[ControlNetModel] | None = None,
        force_zeros_for_empty_prompt: bool = True,
        structure_layer: str | None = None,
        structure_sign: int = 1,
        defaults: dict[str, Any] | None = None,
        vocabulary: dict[str, Any] | None = None,
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
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
            controlnet=MultiControlNetModel(controlnet) if isinstance(controlnet, (list, tuple)) else controlnet,
        )
        self.register_to_config(
            force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
            structure_layer=structure_layer,
            structure_sign=structure_sign,
            defaults=defaults,
            vocabulary=vocabulary,
        )
        self.defaults = Defaults.from_dict(defaults or {})
        self.vae_scale_factor = 8 if vae is None else 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_processor = VaeImageProcessor(vae_scale_factor=self.vae_scale_factor)
        self.default_sample_size = 128 if unet is None else unet.config.sample_size

    @property
    def size_multiple(self) -> int:
        """Both sides of a picture must be multiples of this many pixels: the transparent decoder halves them."""
        return self.vae_scale_factor if self.transparent_decoder is None else self.transparent_decoder.side_multiple

    @overload
    def __call__(self, *args: Any, return_dict: Literal[True] = True, **kwargs: Any) -> LayerFusionOutput: ...

    @overload
    def __call__(self, *args: Any, return_dict: Literal[False], **kwargs: Any) -> tuple[Any, ...]: ...

    @torch.no_grad()  # type: ignore[misc]  # it names the arguments that the overloads leave open
    def __call__(
        self,
        foreground_prompt: Prompt | None = None,
        background_prompt: Prompt | None = None,
        *,
        foregrounds: Foregrounds | None = None,
        foreground_image: Pictures | None = None,
        background_image: Pictures | None = None,
        blended_image: Pictures | None = None,
        mask: Pictures | None = None,
        strength: float | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        timesteps: list[int] | None = None,
        sigmas: list[float] | None = None,
        guidance_scale: float | None = None,
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
        foreground_ip_adapter_image: PipelineImageInput | None = None,
        foreground_ip_adapter_image_embeds: list[Tensor] | None = None,
        background_ip_adapter_image: PipelineImageInput | None = None,
        background_ip_adapter_image_embeds: list[Tensor] | None = None,
        foreground_control: Control | Sequence[Control] | None = None,
        background_control: Control | Sequence[Control] | None = None,
        clip_skip: int | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        original_size: tuple[int, int] | None = None,
        crops_coords_top_left: tuple[int, int] = (0, 0),
        target_size: tuple[int, int] | None = None,
        config: LayerFusionConfig | None = None,
        transparency_passes: int | None = None,
        clean_alpha: bool = True,
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
            foregrounds: In place of a foreground prompt: a list of `Foreground`, each with a stream and a layer of its
                own, for every background prompt, or a list of such lists, one for each.
            foreground_image, background_image, blended_image: Given pictures, which come back as they are: an RGBA
                cut-out, a photo without the subject, a photo with it; see `layerfusion.given.Pictures`.
            mask: White where the subject is in the blended picture, or may be in the background.
            strength: Of a given foreground on a given background: how much of the run their blend is made anew, in
                (0, 1]; 0.7 where None.
            height, width: Multiples of `size_multiple`, in pixels; where None, a given picture's, else the model's own.
            num_inference_steps, guidance_scale: The model's own where None (`defaults`); guidance of every stream, of 1
                or less turns it off.
            negative_foreground_prompt, negative_background_prompt: What to steer away from; the model's own where None,
                nothing where "".
            generator: One, or a list of B; a list makes each triplet independent of the batch it is in. None draws a
                seed from torch's global generator.
            latents: Initial noise of unit variance: (B, 4, h, w) shared by the streams, or (S, B, 4, h, w) for
                the S = 3 streams foreground, blended and background; several foregrounds from the farthest on.
            foreground_prompt_embeds, …: (prompts, T, C) and pooled (prompts, C'), in place of prompts.
            foreground_eos: With foreground embeddings, the place of the first end-of-text token of each prompt.
            foreground_ip_adapter_image, background_ip_adapter_image: For each IP-Adapter that `load_ip_adapter` has put
                on the UNet, a picture, or a list of them, that the stream attends to; embeddings as SDXL takes them.
                Background means background and blended picture. A stream without one is left to its prompt.
            foreground_control, background_control: A picture that the `controlnet` makes the stream follow, or a list
                with one for each of several ControlNets; of several `foregrounds` each has its own.
            cross_attention_kwargs: {"scale": …}, how strongly LoRAs on the UNet and the text encoders act;
                {"ip_adapter_masks": […]}, where pictures for IP-Adapters act, in every stream that is given them.
            config: The switches of the method; the model's own where None. `LayerFusionConfig.paper()` is the paper's.
            transparency_passes: 8 (median of four rotations with and without a flip) or 1, which is faster; the model's
                own where None.
            clean_alpha: Settle the floor and the ceiling of alpha (`layerfusion.transparency.settle_alpha`).
            return_premultiplied: Also return the foreground over mid-grey.
            return_maps: Also return the priors and masks of every step and attention: `maps`, a list of `StepMaps`.
            callback_on_step_end: Called as callback(pipeline, step, timestep, {"latents": (S, B, 4, h, w)}), or one of
                diffusers' callbacks. What it returns under a tensor's name takes its place; `pipeline._guidance_scale`
                may be changed (at 1 or less, guidance ends), and setting `pipeline._interrupt` ends the run.
            callback_on_step_end_tensor_inputs: Of `latents`; `clean_latents`, what the step says that they become;
                `prompt_embeds`, `add_text_embeds` and `add_time_ids`, which are (guidance halves, S, B, …), the
                conditional half last.

        Returns:
            LayerFusionOutput, or the tuple (foreground, background, blended, composite) without `return_dict`.

        Raises:
            LayerFusionError: an input is missing, contradictory or out of range.
        """
        inputs = self.check_inputs(**{name: value for name, value in locals().items() if name in INPUTS})
        sampler = self.prepare(inputs, self.encode(inputs))
        self.denoise(sampler, callback_on_step_end, callback_on_step_end_tensor_inputs)
        how = (output_type, inputs.transparency_passes, clean_alpha, return_premultiplied)
        output = self.decode(sampler.latents, *how, sampler.held, sampler.places, sampler.maps, inputs.config.blend)
        return output if return_dict else (output.foreground, output.background, output.blended, output.composite)

    def check_inputs(self, **given: Any) -> Inputs:
        """The arguments of `__call__`, completed by the model's own defaults.

        Raises:
            LayerFusionError: an input is missing, contradictory or out of range.
        """
        side = self.default_sample_size * self.vae_scale_factor
        distilled = self.unet is not None and self.unet.config.time_cond_proj_dim is not None
        inputs = Inputs.completed(given, self.defaults, (side, side), self.size_multiple, distilled)
        inputs.check(self.size_multiple, [name for name, part in self.components.items() if part is None])
        return inputs

    def prepare(self, inputs: Inputs, conditions: Conditions) -> Sampler:
        """Set the scheduler's timesteps, draw the noise, and lay out the run; nothing is computed yet."""
        device, layout = self._execution_device, inputs.layout
        timesteps, _ = retrieve_timesteps(
            self.scheduler, inputs.num_inference_steps, device, inputs.timesteps, inputs.sigmas
        )
        height, width = (side // self.vae_scale_factor for side in (inputs.height, inputs.width))
        noise, generators = initial_latents(
            layout,
            (self.unet.config.in_channels, height, width),
            conditions.prompt_embeds.dtype,
            device,
            inputs.generator,
            inputs.latents,
            inputs.config.share_noise,
            [[(number, one.seed) for number, one in inputs.each_triplet(stream)] for stream in inputs.subjects],
        )
        # Calling the component, rather than reading from it, lets model offloading bring it to the device.
        self.foreground()
        self.foreground.prepare(self.unet)
        joint = JointAttention(
            self.unet,
            self.foreground,
            inputs.config,
            resolve_structure_layer(self.unet, inputs.config.structure_layer or self.config.structure_layer),
            inputs.config.structure_sign or self.config.structure_sign,
        )
        sampler = Sampler(
            joint,
            layout,
            self.scheduler,
            timesteps=timesteps,
            noise=noise,
            conditions=conditions,
            guidance_scale=inputs.guidance_scale,
            guidance_rescale=inputs.guidance_rescale,
            step_kwargs=[self.prepare_extra_step_kwargs(g, inputs.eta) for g in generators],
            unet_arguments={"cross_attention_kwargs": inputs.cross_attention_kwargs},
            maps=[] if inputs.return_maps else None,
            controls=inputs.controls(self.controlnet, device),
            places=inputs.places,
            rgba_of=self.rgba_of,
            in_scene_of=self.in_scene_of,
        )
        self.hold(sampler, inputs)
        return sampler

    @torch.no_grad()
    def decode(
        self,
        latents: Tensor,
        output_type: OutputType = "pil",
        transparency_passes: int | None = None,
        clean_alpha: bool = True,
        return_premultiplied: bool = False,
        held: Held | None = None,
        places: Places | None = None,
        maps: list[StepMaps] | None = None,
        own_pixels: bool = True,
    ) -> LayerFusionOutput:
        """Latents (S, B, 4, h, w) of the foregrounds, the blended picture and the background → pictures.

        One stream at a time, which bounds the memory. Components that are offloaded are sent away at the end.

        Args:
            latents: `Sampler.latents`, after the last step.
            output_type, transparency_passes, clean_alpha, return_premultiplied: As in the call.
            held, places: The sampler's: given pictures, which come back as given, and where foregrounds stand. Without
                them given pictures are only what the model makes of them, and every foreground fills the frame.
            maps: The sampler's, to come along with the pictures.
            own_pixels: Where a layer is given or placed, show its own pixels in the blended picture, in the light of
                what was painted (`layerfusion.relighting.lay_in`); the call does so where it blends.
        """
        if output_type == "latent":
            self.maybe_free_model_hooks()
            *foregrounds, blended, background = latents
            several = len(foregrounds) > 1
            return LayerFusionOutput(
                torch.stack(foregrounds) if several else foregrounds[0], background, blended, maps=maps
            )

        def finished(tensor: Tensor) -> Any:
            return self.image_processor.postprocess(tensor, output_type, do_denormalize=[False] * len(tensor))

        how = (transparency_passes or self.defaults.transparency_passes, clean_alpha, held, places, own_pixels)
        tensors, subjects = decode_triplets(self.vae, self.transparent_decoder, latents, *how)
        if not return_premultiplied:
            del tensors["premultiplied"]
        self.maybe_free_model_hooks()
        return LayerFusionOutput(
            **{name: finished(tensor) for name, tensor in tensors.items()},
            maps=maps,
            subjects=[SubjectBatch.of(one.pictures, one.placements, finished) for one in subjects] or None,
        )


# `DiffusionPipeline.from_pretrained` looks for a saved pipeline's class in diffusers itself.
diffusers.LayerFusionPipeline = LayerFusionPipeline
