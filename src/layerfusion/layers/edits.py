"""One edit of one layer, in all that it may say: what `layerfusion edit` does to a stack."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from layerfusion.layers.affine import Affine
from layerfusion.layers.layer import Layer
from layerfusion.layers.stack import UNLIT, LayerStack


def edited(
    stack: LayerStack,
    layer: str,
    *,
    reset: bool = False,
    pixels: np.ndarray | None = None,
    also_unlit: bool = False,
    flip: bool = False,
    flip_vertical: bool = False,
    scale: Sequence[float] = (1.0,),
    rotate: float = 0.0,
    move: Sequence[float] = (0.0, 0.0),
    alone: bool = False,
    **looks: Any,
) -> LayerStack:
    """A new stack in which one layer is put back, has new pixels, is flipped, scaled, turned and moved, in this order.

    Args:
        stack: Is left as it is.
        layer: Its name; or its number, 0 is the lowest.
        reset: Whether it first goes back to its own size at the top left.
        pixels: uint8 (height, width, 4), fitted into the place of the old ones, so that nothing else moves.
        also_unlit: Whether they are those of the subject before any scene's light too, from which it is blended again.
        flip, flip_vertical: Mirrored left to right, upside down.
        scale: A factor, or one across and one down, about its middle.
        rotate: Degrees clockwise about its middle.
        move: Pixels right and down.
        alone: Whether the rest of its group, such as its shadow, stays where it is.
        looks: `opacity`, `blend`, `visible` and `name` of the layer, those that change; None is no change.

    Raises:
        LayerFusionError: there is no such layer, or a value is out of range.
    """
    named = any(one.name == layer for one in stack)
    number = stack.index(int(layer) if layer.isdecimal() and len(layer) < 10 and not named else layer)
    if reset:
        stack = stack.edited(number, lambda one: replace(one, placement=Affine()), alone)
    if pixels is not None:
        stack, unlit = stack.copy(stack.layers), f"{stack[number].name}{UNLIT}"
        stack[number] = stack[number].with_pixels(pixels)
        if also_unlit and any(one.name == unlit for one in stack):
            stack[unlit] = stack[unlit].with_pixels(pixels)

    def change(one: Layer) -> Layer:
        one = one.flipped() if flip else one
        one = one.flipped(vertical=True) if flip_vertical else one
        return one.scaled(scale[0], scale[-1]).rotated(rotate).moved(move[0], move[1])

    stack = stack.edited(number, change, alone)
    stack[number] = replace(stack[number], **{name: value for name, value in looks.items() if value is not None})
    return stack
