"""Blend again after any edit: a stack's layers are given, its blended picture and what follows from it are made anew.

The background and the subjects' own pixels stay as they are, to the bit, and where they are: `LayerStack` keeps both
apart. New are the blended picture, each subject's light (its relit pixels), its shadow and its glow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample

from layerfusion.errors import LayerFusionError
from layerfusion.foregrounds import Foreground
from layerfusion.layers import Layer, LayerStack
from layerfusion.layers.composite import Blend
from layerfusion.layers.effects import cleared
from layerfusion.layers.stack import UNLIT
from layerfusion.output import LayerFusionOutput
from layerfusion.pipeline import LayerFusionPipeline
from layerfusion.relighting import RelitSubject, linear_of_srgb, relight_several, srgb_of_linear

BLENDED = "blended"


@dataclass(frozen=True)
class StackSubject:
    """A subject of a stack.

    Attributes:
        shown: Its layer as it is seen, relit.
        unlit: Its own pixels, before any scene's light; the same layer where there is no other.
        group: What it and its effects are called.
    """

    shown: Layer
    unlit: Layer
    group: str


def subjects_of(stack: LayerStack) -> tuple[LayerStack, list[StackSubject]]:
    """What lies below every subject, and the subjects that are shown, from the farthest to the nearest.

    The lowest visible layer is the background. A subject is a visible layer of normal blend mode above it; its own
    pixels are in the hidden layer of its group that has its name and "(unlit)" after it, if there is one; of a subject
    that is alone in its group, in the one that ends so.

    Raises:
        LayerFusionError: there is no background or no subject.
    """
    shown = [layer for layer in stack if layer.visible and layer.blend == "normal" and layer.name != BLENDED]
    if len(shown) < 2:
        raise LayerFusionError("the stack has no subject on a background; show one layer of each to blend them again.")
    background, *rest = shown
    subjects, taken = [], {layer.group for layer in rest}
    for number, layer in enumerate(rest, start=1):
        own = _unlit_of(layer, stack, alone=[one.group for one in rest].count(layer.group) == 1)
        free = next(name for n in range(number, number + 1000) if (name := f"subject {n}") not in taken)
        taken.add(free)
        # It lies where the shown one does, also if that was moved alone.
        unlit = layer if own is None else replace(own, placement=layer.placement, opacity=layer.opacity)
        subjects.append(StackSubject(layer, unlit, layer.group or free))
    return LayerStack(*stack.size, [background]), subjects


def _unlit_of(layer: Layer, stack: LayerStack, alone: bool) -> Layer | None:
    """A subject's own pixels: by its name, or, where it was renamed and is alone in its group, by the group."""
    if layer.group is None:
        return None
    unlit = [one for one in stack if one.group == layer.group and one.name.endswith(UNLIT)]
    named = [one for one in unlit if one.name == f"{layer.name}{UNLIT}"]
    return next(iter(named or (unlit if alone else [])), None)


@torch.no_grad()
def reblend(
    pipe: LayerFusionPipeline,
    stack: LayerStack,
    foreground_prompts: Sequence[str],
    background_prompt: str,
    **options: Any,
) -> LayerStack:
    """The stack with its subjects blended into its background again.

    Args:
        pipe: A pipeline with a transparent encoder.
        stack: As it was edited: layers moved, scaled, turned, flipped, exchanged, hidden or laid in another order.
        foreground_prompts: What each shown subject is, from the farthest to the nearest.
        background_prompt: What the scene is.
        options: Of the pipeline's call: `strength`, `generator`, `config`, `num_inference_steps`, …

    Returns:
        A new stack; the background's and the subjects' own pixels and placements are those of the old one.

    Raises:
        LayerFusionError: there is no background or no subject, there are not as many prompts as subjects, or as for
            the pipeline's call.
    """
    below, subjects = subjects_of(stack)
    if len(foreground_prompts) != len(subjects):
        raise LayerFusionError(
            f"the stack shows {len(subjects)} subjects and there are {len(foreground_prompts)} foreground prompts; say "
            "what each is, from the farthest to the nearest."
        )
    background = below.composite().convert("RGB")
    cutouts = [_alone(stack, subject.unlit) for subject in subjects]
    foregrounds = [Foreground(prompt, cutout) for prompt, cutout in zip(foreground_prompts, cutouts, strict=True)]
    output = pipe(
        foregrounds=foregrounds,
        background_prompt=background_prompt,
        background_image=background,
        **options,
        output_type="pil",
    )
    assert isinstance(output, LayerFusionOutput)
    blended = output.blended[0]
    planes = (_tensor(np.asarray(picture)) for picture in (background, blended))
    _, relit = relight_several([_tensor(np.asarray(cutout)) for cutout in cutouts], *planes)
    layers = [below[0]]
    for number, (subject, light) in enumerate(zip(subjects, relit, strict=True), start=1):
        layers += _layers_of(subject, light, "" if number == 1 else f" {number}")
    kept = {id(subject.shown) for subject in subjects} | {id(below[0])}
    rest = [layer for layer in stack if not (id(layer) in kept or _is_made_anew(layer, subjects))]
    # A subject that was hidden throws nothing.
    layers += [replace(layer, visible=layer.visible and layer.group is None) for layer in rest]
    layers += [Layer(BLENDED, np.asarray(blended), visible=False)]
    return stack.copy(layers)


def _is_made_anew(layer: Layer, subjects: list[StackSubject]) -> bool:
    """Whether a layer follows from blending: an effect or the unlit pixels of a subject, or the blended picture."""
    if layer.name == BLENDED:
        return True
    groups = {subject.shown.group for subject in subjects} - {None}
    return layer.group in groups and (layer.blend in ("multiply", "screen") or layer.name.endswith(UNLIT))


def _layers_of(subject: StackSubject, relit: RelitSubject, suffix: str) -> list[Layer]:
    """Shadow, light, the subject in that light and, hidden, its own pixels: one group."""
    unlit, shown, group = subject.unlit, subject.shown, subject.group
    name = shown.name.removesuffix(UNLIT)
    effects: list[tuple[str, Tensor, Blend]] = [
        ("shadow", relit.shadow, "multiply"),
        ("light", relit.light, "screen"),
    ]
    return [
        *(
            cleared(Layer(f"{effect}{suffix}", _pixels(tensor), blend=blend, group=group))
            for effect, tensor, blend in effects
        ),
        replace(shown, pixels=_lit(unlit, relit.gain), placement=unlit.placement, group=group),
        replace(unlit, name=f"{name}{UNLIT}", opacity=1.0, visible=False, group=group),
    ]


def _lit(layer: Layer, gain: Tensor) -> np.ndarray:
    """A layer's pixels under a gain (1, 3, H, W) of the canvas, each where it lies."""
    width, height = layer.size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    a, b, c, d, e, f = layer.placement.as_tuple()
    canvas_height, canvas_width = gain.shape[-2:]
    across, down = (a * x + b * y + c) / canvas_width, (d * x + e * y + f) / canvas_height
    grid = torch.from_numpy(np.stack([2 * across - 1, 2 * down - 1], -1)).float()[None]
    there = grid_sample(gain, grid, padding_mode="border", align_corners=False)
    rgb, alpha = _tensor(layer.pixels).split([3, 1], dim=1)
    lit = srgb_of_linear(linear_of_srgb(rgb) * there).clamp(0, 1)
    return _pixels(torch.cat([lit, alpha], dim=1))


def _alone(stack: LayerStack, layer: Layer) -> Image.Image:
    """One layer in its place on an empty canvas."""
    return LayerStack(*stack.size, [replace(layer, visible=True, blend="normal")]).composite()


def _tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(pixels)).movedim(-1, 0)[None].float() / 255


def _pixels(tensor: Tensor) -> np.ndarray:
    return (tensor[0].movedim(0, -1) * 255).round().to(torch.uint8).cpu().numpy()
