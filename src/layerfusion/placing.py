"""Where foregrounds stand: each is generated in a frame of its own, and an affine map carries it into the scene.

A model draws its subject in the middle of the frame and at a good size, as it was trained; the map brings it to its
box. It scales both sides alike, shifts, and may mirror, so that rows and columns go separately: it is two small
matrices, whatever is carried: tokens of attention, latents, pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from layerfusion.foregrounds import Box

VISIBLE = 0.1  # alpha from which a pixel is part of the subject's extent
USUAL_EXTENT = (0.15, 0.12, 0.85, 0.9)  # left, top, right, bottom of a subject in its frame, before anything is known
LOOKS = (0.2, 0.65)
"""Parts of the run after which a placed foreground is looked at, so that its box fits what is there: by its mask, then
in pixels. At a half of the run what it becomes is still soft: blended subjects had a wholeness of 0.71 for 0.82."""


def looks(steps: int, blends_from: float = 0.0) -> list[int]:
    """After how many steps of all a placed foreground is looked at: not before one that was blended, and has masks."""
    blended = next((i for i in range(steps) if i / steps >= blends_from), steps - 1) + 1
    return sorted({max(blended, round(part * steps)) for part in LOOKS})


@dataclass(frozen=True)
class Place:
    """The place of one foreground of one triplet.

    Attributes:
        box: (x, y, width, height) as fractions of the scene; None is the whole frame.
        flip: Whether it is mirrored left to right.
        extent: (left, top, right, bottom) of the subject in its own frame, as fractions of it.
    """

    box: Box | None = None
    flip: bool = False
    extent: tuple[float, float, float, float] = USUAL_EXTENT

    def axes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(scale, shift) across and down: from fractions of the own frame to fractions of the scene."""
        if self.box is None:
            return ((-1.0, 1.0) if self.flip else (1.0, 0.0)), (1.0, 0.0)
        x, y, width, height = self.box
        left, top, right, bottom = self.extent
        scale = min(width / (right - left), height / (bottom - top))
        across = -scale if self.flip else scale
        return (
            (across, x + width / 2 - across * (left + right) / 2),
            (scale, y + height / 2 - scale * (top + bottom) / 2),
        )


@dataclass
class Places:
    """The places of all foregrounds of B triplets, in the order of a layout's foregrounds.

    Attributes:
        each: F lists of B places, replaced when an extent is found.
        known: F lists of B: whether the extent is known for good, as a given cut-out's is.
        matrices: Those of `carrying` that were needed; every attention of every step carries by the same few.
    """

    each: list[list[Place]]
    known: list[list[bool]] = field(default_factory=list)
    matrices: dict[tuple, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.known = self.known or [[place.box is None for place in stream] for stream in self.each]

    def __bool__(self) -> bool:
        return any(self.placed(index) for index in range(len(self.each)))

    def placed(self, index: int) -> bool:
        """Whether foreground `index` stands elsewhere than in its own frame, in any triplet."""
        return any(place.box is not None or place.flip for place in self.each[index])

    def to_look(self, done: int, steps: int, blends_from: float = 0.0) -> list[int]:
        """The foregrounds whose alpha is to be looked at when `done` steps of all are taken; see `looks`."""
        if done not in looks(steps, blends_from):
            return []
        return [index for index, known in enumerate(self.known) if not all(known)]

    def found(self, index: int, alpha: Tensor) -> None:
        """Take the extents of foreground `index` from its alpha (B, 1, H, W) where they are not known for good."""
        for triplet, known in enumerate(self.known[index]):
            if not known and (extent := extent_of(alpha[triplet, 0])) is not None:
                place = self.each[index][triplet]
                self.each[index][triplet] = Place(place.box, place.flip, extent)

    def of(self, triplet: int) -> "Places":
        """Those of one triplet alone."""
        return Places([[stream[triplet]] for stream in self.each], [[stream[triplet]] for stream in self.known])

    def fixed(self, index: int, triplet: int, alpha: Tensor) -> None:
        """Take the extent of a given foreground from its alpha (H, W), for good."""
        if not self.known[index][triplet]:
            place = self.each[index][triplet]
            self.each[index][triplet] = Place(place.box, place.flip, extent_of(alpha) or place.extent)
            self.known[index][triplet] = True

    def rgba_to_scene(self, index: int, picture: Tensor) -> Tensor:
        """A straight RGBA picture (B, 4, H, W) of foreground `index`'s frame, in the scene."""
        if not self.placed(index):
            return picture
        rgb, alpha = picture.split([3, 1], dim=1)
        light, alpha = (self.to_scene(index, x) for x in (rgb * alpha, alpha))
        return torch.cat([light / alpha.clamp(min=1e-6), alpha], dim=1).clamp(0, 1)

    def to_scene(self, index: int, picture: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(…, B, C, h, w) of foreground `index`'s frame → the same of the scene, or of `size`; 0 where it is not."""
        return self._carried(index, picture, size, inverse=False)

    def to_frame(self, index: int, picture: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """(…, B, C, h, w) of the scene → the same of foreground `index`'s frame; 0 where that is out of the scene."""
        return self._carried(index, picture, size, inverse=True)

    def _carried(self, index: int, picture: Tensor, size: tuple[int, int] | None, inverse: bool) -> Tensor:
        axes = [place.axes() for place in self.each[index]]
        height, width = size or picture.shape[-2:]
        rows = self._matrix(tuple(down for _, down in axes), height, picture.shape[-2], inverse).to(picture)
        columns = self._matrix(tuple(across for across, _ in axes), width, picture.shape[-1], inverse).to(picture)
        return rows[:, None] @ picture @ columns[:, None].mT

    def _matrix(self, axes: tuple[tuple[float, float], ...], out: int, n: int, inverse: bool) -> Tensor:
        key = axes, out, n, inverse
        if key not in self.matrices:
            self.matrices[key] = carrying(*key)
        return self.matrices[key]


def extent_of(alpha: Tensor) -> tuple[float, float, float, float] | None:
    """(left, top, right, bottom) of what is visible in an alpha (H, W), as fractions; None where nothing is."""
    visible = alpha > VISIBLE
    rows, columns = (visible.any(axis).nonzero()[:, 0] for axis in (1, 0))
    if not len(rows):
        return None
    height, width = alpha.shape
    edges = (columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height)
    left, top, right, bottom = (float(edge) for edge in edges)
    return left, top, right, bottom


def carrying(axes: Sequence[tuple[float, float]], out: int, n: int, inverse: bool = False) -> Tensor:
    """The matrices (B, out, n) that resample n samples to `out` along one side, a map x' = scale · x + shift each.

    Linear interpolation, widened to the spacing of the samples where they are shrunk, so that nothing is skipped. A row
    that lies outside the source is 0.

    Args:
        axes: B pairs of scale and shift, in fractions of the sides.
        out, n: How many samples there are after and before.
        inverse: Carry back: the map is from the result to the source.
    """
    scale, shift = torch.tensor(axes, dtype=torch.float64).T[:, :, None, None]
    target = ((torch.arange(out, dtype=torch.float64) + 0.5) / out)[None, :, None]
    source = target * scale + shift if inverse else (target - shift) / scale
    step = (scale.abs() if inverse else 1 / scale.abs()) * n / out  # how far apart, in samples, two results lie
    distance = (source * n - 0.5 - torch.arange(n, dtype=torch.float64)).abs() / step.clamp(min=1)
    weights = (1 - distance).clamp(min=0)
    inside = (source >= -1e-9) & (source <= 1 + 1e-9)
    return torch.where(inside, weights / weights.sum(-1, keepdim=True).clamp(min=1e-9), 0.0).float()
