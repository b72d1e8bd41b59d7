"""What a call of the pipeline is given, in one typed value that its steps hand on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from numbers import Integral
from typing import Any, Literal, get_args

import torch
from diffusers.image_processor import PipelineImageInput
from torch import Generator, Tensor

from layerfusion.controls import Control, Controls, joined
from layerfusion.defaults import Defaults, check_size
from layerfusion.errors import LayerFusionError, shown
from layerfusion.foregrounds import MAX_FOREGROUNDS, Foreground, farthest_first
from layerfusion.given import Given, Pictures, cutout_of, framed
from layerfusion.method import LayerFusionConfig, StreamLayout, foreground_names
from layerfusion.placing import Place, Places
from layerfusion.prompts import Prompt, Prompts, as_list, repeat_to
from layerfusion.sampling import Generators

Foregrounds = Sequence[Foreground] | Sequence[Sequence[Foreground]]
OutputType = Literal["pil", "np", "pt", "latent"]


@dataclass(frozen=True)
class Inputs:
    """The arguments of `LayerFusionPipeline.__call__` that decide the pictures, under the same names and complete.

    Beside them, `distilled`: the UNet is told the guidance scale (LCM), rather than run with and without its prompt.
    """

    height: int
    width: int
    num_inference_steps: int
    guidance_scale: float
    config: LayerFusionConfig
    distilled: bool
    foreground_prompt: Prompt | None = None
    background_prompt: Prompt | None = None
    foregrounds: Foregrounds | None = None
    foreground_image: Pictures | None = None
    background_image: Pictures | None = None
    blended_image: Pictures | None = None
    mask: Pictures | None = None
    strength: float | None = None
    timesteps: list[int] | None = None
    sigmas: list[float] | None = None
    guidance_rescale: float = 0.0
    negative_foreground_prompt: Prompt | None = None
    negative_background_prompt: Prompt | None = None
    num_images_per_prompt: int = 1
    eta: float = 0.0
    generator: Generators | None = None
    latents: Tensor | None = None
    foreground_prompt_embeds: Tensor | None = None
    pooled_foreground_prompt_embeds: Tensor | None = None
    negative_foreground_prompt_embeds: Tensor | None = None
    negative_pooled_foreground_prompt_embeds: Tensor | None = None
    foreground_eos: list[int] | None = None
    background_prompt_embeds: Tensor | None = None
    pooled_background_prompt_embeds: Tensor | None = None
    negative_background_prompt_embeds: Tensor | None = None
    negative_pooled_background_prompt_embeds: Tensor | None = None
    foreground_ip_adapter_image: PipelineImageInput | None = None
    foreground_ip_adapter_image_embeds: list[Tensor] | None = None
    background_ip_adapter_image: PipelineImageInput | None = None
    background_ip_adapter_image_embeds: list[Tensor] | None = None
    foreground_control: Control | Sequence[Control] | None = None
    background_control: Control | Sequence[Control] | None = None
    clip_skip: int | None = None
    cross_attention_kwargs: dict[str, Any] | None = None
    original_size: tuple[int, int] | None = None
    crops_coords_top_left: tuple[int, int] = (0, 0)
    target_size: tuple[int, int] | None = None
    output_type: OutputType = "pil"
    transparency_passes: int = 8
    clean_alpha: bool = True
    return_premultiplied: bool = False
    return_maps: bool = False

    @classmethod
    def completed(
        cls,
        given: dict[str, Any],
        defaults: Defaults,
        size: tuple[int, int],
        size_multiple: int,
        distilled: bool = False,
    ) -> "Inputs":
        """The arguments given, with a model's own values where there are none.

        Args:
            given: By name; None is as good as not given.
            defaults: The model's.
            size: (width, height) where the defaults name none.
            size_multiple: A given picture decides the size, rounded up to a multiple of it.
            distilled: See the class.

        Raises:
            LayerFusionError: a given picture cannot be read.
        """
        width, height = defaults.size or size
        if (of_pictures := _size_of(given)) is not None:
            height, width = (-(-side // size_multiple) * size_multiple for side in of_pictures)
        own: dict[str, Any] = {
            "width": width,
            "height": height,
            "num_inference_steps": defaults.steps,
            "guidance_scale": defaults.guidance_scale,
            "transparency_passes": defaults.transparency_passes,
            "config": defaults.config,
            "distilled": distilled,
            "negative_foreground_prompt": defaults.negative_foreground,
            "negative_background_prompt": defaults.negative_background,
        }
        for stream in ("foreground", "background"):
            if given.get(f"negative_{stream}_prompt_embeds") is not None:
                del own[f"negative_{stream}_prompt"]
        return cls(**own | {name: value for name, value in given.items() if value is not None})

    @cached_property
    def given(self) -> Given:
        """The given pictures, of as many pairs as there are lists of them; a placed cut-out in a frame of the run's."""
        given = _given({name: getattr(self, name) for name in GIVEN})
        if not self.subjects:
            return given
        size = _size_of({name: getattr(self, name) for name in (*GIVEN, "foregrounds")}) or (self.height, self.width)

        def cutout(one: Foreground) -> Tensor | None:
            if one.image is None:
                return None
            return framed(cutout_of(one.image), size) if one.is_placed else cutout_of(one.image)

        return given.with_cutouts([[cutout(one) for _, one in stream] for stream in self.subjects])

    @cached_property
    def subjects(self) -> list[list[tuple[int, Foreground]]]:
        """For each foreground stream, from the farthest to the nearest, and each pair: its number in its list, and it.

        Empty where a `foreground_prompt` says what the only foreground is.
        """
        lists = [farthest_first(each) for each in lists_of(self.foregrounds)] if self.foregrounds else []
        return [list(stream) for stream in zip(*lists, strict=True)]

    @property
    def foreground(self) -> list[Prompts]:
        """What ε_FG is asked to draw, in each foreground stream."""
        if not self.subjects:
            return [self._prompts("foreground", self.foreground_eos)]
        of_all = as_list(self.negative_foreground_prompt) or [""]
        prompts = []
        for stream in self.subjects:
            own = [one.negative_prompt for _, one in stream]
            pairs = max(len(own), len(of_all))
            each = zip(repeat_to(pairs, own), repeat_to(pairs, of_all), strict=False)
            negative = [theirs if mine is None else mine for mine, theirs in each]
            prompts.append(
                Prompts("foreground", [one.prompt for _, one in stream], negative if any(negative) else None)
            )
        return prompts

    def each_triplet(self, stream: list[Any]) -> list[Any]:
        """What holds of each pair, or of all, as it holds of each triplet of the batch."""
        pairs = stream * self.pairs if len(stream) == 1 else stream
        return [each for each in pairs for _ in range(self.num_images_per_prompt)]

    @property
    def places(self) -> Places | None:
        """Where the foregrounds stand; None where each fills the scene."""
        if not any(one.is_placed for stream in self.subjects for _, one in stream):
            return None
        streams = (self.each_triplet(stream) for stream in self.subjects)
        return Places([[Place(one.box, one.flip) for _, one in stream] for stream in streams])

    @property
    def background(self) -> Prompts:
        """What ε is asked to draw, in the background and in the blended picture."""
        return self._prompts("background", None)

    def _prompts(self, name: str, eos: list[int] | None) -> Prompts:
        return Prompts(
            name,
            getattr(self, f"{name}_prompt"),
            # No negative prompt is not the same as an empty one: SDXL takes zeros for it.
            getattr(self, f"negative_{name}_prompt") or None,
            getattr(self, f"{name}_prompt_embeds"),
            getattr(self, f"pooled_{name}_prompt_embeds"),
            getattr(self, f"negative_{name}_prompt_embeds"),
            getattr(self, f"negative_pooled_{name}_prompt_embeds"),
            eos,
        )

    @property
    def controlled(self) -> dict[str, Control | Sequence[Control]]:
        """By stream, what a ControlNet makes it follow; of several foregrounds each its own.

        Raises:
            LayerFusionError: there is a list of foregrounds for each pair, and their controls do not go together.
        """
        own: list[Control | Sequence[Control] | None] = [self.foreground_control]
        if self.subjects:
            own = [joined([one.control for _, one in stream]) for stream in self.subjects]
        of_streams = dict(zip(self.layout.foregrounds, own, strict=True))
        of_streams |= dict.fromkeys(self.layout.plain, self.background_control)
        return {name: control for name, control in of_streams.items() if control is not None}

    def controls(self, model: Any, device: torch.device) -> Controls | None:
        """What steers the streams by a ControlNet `model`, if anything does; errors as for `Controls.of`."""
        counts = (self.pairs, self.num_images_per_prompt)
        size = (self.height, self.width)
        return Controls.of(model, self.controlled, size, counts, device) if self.controlled else None

    @property
    def pairs(self) -> int:
        """How many pairs of prompts there are."""
        return max(*(prompts.count for prompts in self.foreground), self.background.count, self.given.count)

    @property
    def guidance(self) -> bool:
        """Whether guidance takes an unconditional half of every stream."""
        return self.guidance_scale > 1 and not self.distilled

    @property
    def layout(self) -> StreamLayout:
        """The order of the batch's rows."""
        names = foreground_names(len(self.foreground))
        return StreamLayout(self.pairs * self.num_images_per_prompt, self.guidance, names)

    def check(self, size_multiple: int, absent: Collection[str]) -> None:
        """Raise a LayerFusionError for what is missing, contradictory or out of range.

        Args:
            size_multiple: Both sides must be multiples of it, in pixels.
            absent: The components that the pipeline was built without.
        """
        self._check_types()
        self._check_foregrounds()
        self._check_components(absent)
        check_size(self.width, self.height, size_multiple)
        self.given.check("transparent_encoder" not in absent, "transparent_decoder" not in absent)
        if self.given.size is not None:
            height, width = (-(-side // size_multiple) * size_multiple for side in self.given.size)
            if (width, height) != (self.width, self.height):
                raise LayerFusionError(
                    f"the given pictures are {self.given.size[1]}x{self.given.size[0]} and the size asked for is "
                    f"{self.width}x{self.height}; leave out the size, or resize the pictures."
                )
        for prompts in (*self.foreground, self.background):
            prompts.check()
        counts = (self.foreground[0].count, self.background.count)
        if not set(counts) <= {1, self.pairs} or self.given.count not in (0, 1, self.pairs):
            pictures = f" and {self.given.count} given pictures" if self.given.count > 1 else ""
            raise LayerFusionError(
                f"there are {counts[0]} foreground prompts and {counts[1]} background prompts{pictures}; "
                "give as many of each, or one."
            )
        for prompts in (*self.foreground, self.background):
            if (negatives := len(as_list(prompts.negative_prompt) or [""])) not in (1, self.pairs):
                raise LayerFusionError(
                    f"there are {negatives} negative {prompts.name} prompts for {self.pairs} pairs; give one or all."
                )
        self.foreground[0].check_eos()
        if self.num_images_per_prompt < 1:
            raise LayerFusionError(f"num_images_per_prompt is {self.num_images_per_prompt}; give 1 or more.")
        if self.num_inference_steps < 1:
            raise LayerFusionError(f"num_inference_steps is {self.num_inference_steps}; give 1 or more.")
        if not 0 <= self.guidance_scale < float("inf"):
            raise LayerFusionError(f"guidance_scale is {self.guidance_scale}; give 0 or more (1 is off).")
        if self.output_type not in get_args(OutputType):
            options = ", ".join(get_args(OutputType))
            raise LayerFusionError(f"output_type is {self.output_type!r}; choose one of {options}.")
        unknown = set(self.cross_attention_kwargs or {}) - {"scale", "ip_adapter_masks"}
        if unknown:
            raise LayerFusionError(
                f"cross_attention_kwargs has {', '.join(sorted(unknown))}; give only scale (of LoRAs) "
                "and ip_adapter_masks."
            )
        if self.transparency_passes not in (1, 8):
            raise LayerFusionError(f"transparency_passes is {self.transparency_passes}; give 1 or 8.")

    def _check_types(self) -> None:
        """Raise a LayerFusionError for what is no whole number, no configuration, or no control."""
        for name in ("height", "width", "num_inference_steps", "num_images_per_prompt"):
            if not isinstance(value := getattr(self, name), Integral):
                raise LayerFusionError(f"{name} is {shown(value)}; give a whole number.")
        if not isinstance(self.config, LayerFusionConfig):
            raise LayerFusionError(
                f"the config is a {type(self.config).__name__}; give a LayerFusionConfig (from_dict makes one)."
            )
        for name in ("foreground_control", "background_control"):
            controls = getattr(self, name)
            for one in controls if isinstance(controls, (list, tuple)) else [controls]:
                if not isinstance(one, Control | None):
                    raise LayerFusionError(f"{name} is a {type(one).__name__}; give a Control, or a list of them.")
        generators = self.generator if isinstance(self.generator, list) else [self.generator]
        if not all(isinstance(one, Generator | None) for one in generators):
            raise LayerFusionError("the generator is none; give a torch.Generator, or a list of them.")

    def _check_foregrounds(self) -> None:
        """Raise a LayerFusionError for a list of foregrounds that is none, or beside what it takes the place of."""
        if self.foregrounds is None:
            return
        each = lists_of(self.foregrounds)
        if len({len(foregrounds) for foregrounds in each}) > 1 or not 1 <= len(each[0]) <= MAX_FOREGROUNDS:
            raise LayerFusionError(f"give 1 to {MAX_FOREGROUNDS} foregrounds, and as many for each pair.")
        if self.foreground_control is not None:
            raise LayerFusionError("foreground_control is beside foregrounds; give each of them its own control.")
        single = ("foreground_prompt", "foreground_prompt_embeds", "foreground_image", "blended_image", "mask")
        beside = [name for name in single if getattr(self, name) is not None]
        if beside:
            raise LayerFusionError(f"foregrounds are given beside {beside[0]}; give one of them.")

    def _check_components(self, absent: Collection[str]) -> None:
        """Raise a LayerFusionError where a component that this run needs is absent."""
        own = [one.control for stream in self.subjects for _, one in stream]
        controlled = any(x is not None for x in (self.foreground_control, self.background_control, *own))
        prompted = any(x is not None for x in (self.foreground_prompt, self.foregrounds, self.background_prompt))
        needed = {
            "give it to from_pretrained": ["unet", "foreground", *(["controlnet"] if controlled else [])],
            "give it, or embeddings in place of prompts": ["tokenizer_2", "text_encoder_2"] if prompted else [],
            'give it, or ask for output_type="latent"': (
                ["vae", "transparent_decoder"] if self.output_type != "latent" else []
            ),
        }
        for remedy, names in needed.items():
            for name in names:
                if name in absent:
                    raise LayerFusionError(f"the pipeline has no {name}; {remedy}.")


def lists_of(foregrounds: Foregrounds) -> list[list[Foreground]]:
    """The list of foregrounds of each pair; a single list goes with every pair.

    Raises:
        LayerFusionError: it is neither a list of foregrounds nor one of such lists.
    """
    lists = isinstance(foregrounds, (list, tuple)) and all(isinstance(one, (list, tuple)) for one in foregrounds)
    each: Any = foregrounds if lists and foregrounds else [foregrounds]
    if not all(isinstance(one, (list, tuple)) and all(isinstance(x, Foreground) for x in one) for one in each):
        raise LayerFusionError("foregrounds are none; give a list of Foreground, or one list for each pair.")
    return [list(one) for one in each]


GIVEN = ("foreground_image", "background_image", "blended_image", "mask", "strength")


def _given(arguments: dict[str, Any]) -> Given:
    return Given.of(*(arguments.get(name) for name in GIVEN))


def _size_of(arguments: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) of what a call is given: of its pictures, or of a foreground's cut-out that fills the frame."""
    if (size := _given(arguments).size) is not None or arguments.get("foregrounds") is None:
        return size
    each = [one for foregrounds in lists_of(arguments["foregrounds"]) for one in foregrounds]
    filling = [one.image for one in each if one.image is not None and not one.is_placed]
    if not filling:
        return None
    height, width = cutout_of(filling[0]).shape[-2:]
    return height, width


INPUTS = tuple(field.name for field in fields(Inputs) if field.name != "distilled")
"""Which arguments of a call are inputs."""
