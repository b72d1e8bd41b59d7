"""One foreground of several: what it is, and where it stands in the scene."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

from layerfusion.errors import LayerFusionError, shown

if TYPE_CHECKING:
    from layerfusion.controls import Control
    from layerfusion.given import Picture

Box = tuple[float, float, float, float]
MAX_FOREGROUNDS = 16
MAX_SEED = 2**63 - 1
SMALLEST_SIDE = 0.02  # of a box, as a fraction: less is no place for anything


@dataclass(frozen=True)
class Foreground:
    """A foreground with a stream, masks and a layer of its own.

    Args:
        prompt: What it is.
        image: A given RGBA cut-out, which is kept as it is: a PIL picture, an array (H, W, 4) or a tensor (4, H, W).
        box: Where it stands, (x, y, width, height) as fractions of the scene: the subject is scaled to fit within and
            lies in the middle. None is the whole frame, in which the model chooses its place.
        z: Its height in the stack, the greater the nearer; None is its place in the list, counted from 0.
        flip: Whether it is mirrored left to right.
        negative_prompt: What to steer away from; the call's own where None.
        seed: Of its noise; None takes the triplet's own seed on.
        control: A picture that the pipeline's `controlnet` makes it follow, or one for each of several ControlNets; in
            its own frame, which goes into the box afterwards.

    Raises:
        LayerFusionError: the prompt is empty, the box is none, or z or seed is no number.
    """

    prompt: str
    image: "Picture | None" = None
    box: Box | None = None
    z: float | None = None
    flip: bool = False
    negative_prompt: str | None = None
    seed: int | None = None
    control: "Control | Sequence[Control] | None" = None

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str) or not self.prompt.strip():
            raise LayerFusionError("a foreground's prompt is empty; say what to draw.")
        if self.z is not None and not (isinstance(self.z, Real) and math.isfinite(self.z)):
            raise LayerFusionError(f"the z of {self.prompt!r} is {shown(self.z)}; give a number.")
        if self.seed is not None and not (isinstance(self.seed, int) and 0 <= self.seed <= MAX_SEED):
            raise LayerFusionError(f"the seed of {self.prompt!r} is {shown(self.seed)}; give 0 to {MAX_SEED}.")
        if self.box is not None:
            object.__setattr__(self, "box", box_of(self.box))

    @property
    def is_placed(self) -> bool:
        """Whether it stands elsewhere than it was generated."""
        return self.box is not None or self.flip


def box_of(numbers: Sequence[float]) -> Box:
    """A box within the scene.

    Raises:
        LayerFusionError: it has not four numbers, reaches out of the scene, or has no room.
    """
    if not isinstance(numbers, (tuple, list)) or not all(isinstance(number, Real) for number in numbers):
        raise LayerFusionError(
            f"the box {shown(numbers)} has not four numbers; give x, y, width and height as fractions."
        )
    box = tuple(float(number) for number in numbers)
    told = f"the box {','.join(f'{number:g}' for number in box)}"
    if len(box) != 4:
        raise LayerFusionError(f"{told} has not four numbers; give x, y, width and height as fractions.")
    x, y, width, height = box
    if not (min(width, height) >= SMALLEST_SIDE):
        raise LayerFusionError(
            f"{told} has no room for a subject; give a width and a height of {SMALLEST_SIDE} or more."
        )
    if not (x >= 0 and y >= 0 and x + width <= 1 + 1e-6 and y + height <= 1 + 1e-6):
        raise LayerFusionError(f"{told} reaches out of the scene; its fractions lie within 0 and 1.")
    return x, y, width, height


def farthest_first(foregrounds: Sequence[Foreground]) -> list[tuple[int, Foreground]]:
    """(number in the list, foreground), from the farthest to the nearest."""
    heights = [number if one.z is None else one.z for number, one in enumerate(foregrounds)]
    return [(number, foregrounds[number]) for number in sorted(range(len(foregrounds)), key=heights.__getitem__)]
