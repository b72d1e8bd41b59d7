"""The pictures that a call is given in place of prompts alone: read, checked, and brought to one size."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from layerfusion.errors import LayerFusionError
from layerfusion.layers.pictures import pixels_of

Picture = PIL.Image.Image | np.ndarray | Tensor
Pictures = Picture | Sequence[Picture | None]
"""Given pictures: a PIL picture, an array (H, W, C) or a tensor (C, H, W), uint8 or floats in [0, 1], with 4 channels
for a foreground (straight alpha), 3 for a background or a blended picture, 1 for a mask; or a list of them, one for
each pair of prompts, with None for a pair that has none."""

CHANNELS = {"foreground": 4, "background": 3, "blended": 3, "mask": 1}
MODES = {4: "RGBA", 3: "RGB", 1: "L"}
FILLED = 0.8  # of a side of its own frame, how much the subject of a cut-out takes


@dataclass(frozen=True)
class Given:
    """What is given of N pairs of prompts; a list holds None where a pair has no such picture.

    Attributes:
        foreground: RGBA cut-outs, straight alpha, (4, H, W), float32 in [0, 1], as all of them.
        background: Photos without the subject, (3, H, W).
        blended: Photos with the subject, (3, H, W).
        mask: Where the subject is in a blended picture, or may be in a background: (1, H, W), 1 for the subject.
        strength: For a foreground and a background that are both given, how much of the run the blended picture is
            made anew, in (0, 1]; None takes `STRENGTH`.
        nearer: With several foregrounds, the cut-outs of those after the first, a list like `foreground` for each.
    """

    foreground: list[Tensor | None]
    background: list[Tensor | None]
    blended: list[Tensor | None]
    mask: list[Tensor | None]
    strength: float | None = None
    nearer: list[list[Tensor | None]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        foreground: Pictures | None,
        background: Pictures | None,
        blended: Pictures | None,
        mask: Pictures | None,
        strength: float | None,
    ) -> "Given":
        """From the arguments of a call: one picture, or one for each pair; a single one goes with every pair.

        Raises:
            LayerFusionError: something is no picture, or there are unequal numbers of them.
        """
        given = {"foreground": foreground, "background": background, "blended": blended, "mask": mask}
        lists = {name: _tensors(pictures, name) for name, pictures in given.items()}
        count = max(map(len, lists.values()))
        for name, pictures in lists.items():
            if len(pictures) not in (0, 1, count):
                raise LayerFusionError(
                    f"there are {len(pictures)} of the {name} for {count} pairs; give as many, or one."
                )
        each: dict[str, Any] = {name: _repeated(pictures, count) for name, pictures in lists.items()}
        return cls(**each, strength=strength)

    @property
    def count(self) -> int:
        """How many pairs it is for; 0 where nothing is given."""
        return len(self.foreground)

    @property
    def cutouts(self) -> list[list[Tensor | None]]:
        """The cut-outs of each foreground stream, from the farthest on."""
        return [self.foreground, *self.nearer]

    def with_cutouts(self, cutouts: list[list[Tensor | None]]) -> "Given":
        """The same with a cut-out, or None, for each foreground stream and pair; a single pair goes with every one."""
        count = max(self.count, len(cutouts[0]))
        lists: dict[str, Any] = {name: _repeated(getattr(self, name), count) for name in CHANNELS}
        streams = [_repeated(stream, count) for stream in cutouts]
        return replace(self, **lists | {"foreground": streams[0]}, nearer=streams[1:])

    def all_cut(self, index: int) -> bool:
        """Whether every foreground of one pair is given."""
        return all(stream[index] is not None for stream in self.cutouts)

    def __bool__(self) -> bool:
        others = (getattr(self, name) for name in CHANNELS if name != "foreground")
        return any(picture is not None for pictures in (*others, *self.cutouts) for picture in pictures)

    @cached_property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of every picture; None where nothing is given."""
        lists = [*(getattr(self, name) for name in CHANNELS), *self.nearer]
        found = [(p.shape[-2], p.shape[-1]) for pictures in lists for p in pictures if p is not None]
        return found[0] if found else None

    def repeated(self, pairs: int, images: int) -> "Given":
        """For a batch of pairs x images triplets, pair after pair."""

        def repeated(pictures: list[Tensor | None]) -> list[Tensor | None]:
            return [each for each in _repeated(pictures, pairs) for _ in range(images)]

        lists: dict[str, Any] = {name: repeated(getattr(self, name)) for name in CHANNELS}
        return replace(self, **lists, nearer=[repeated(stream) for stream in self.nearer])

    def check(self, has_encoder: bool, has_decoder: bool) -> None:
        """Raise a LayerFusionError for what is contradictory.

        Args:
            has_encoder: Whether a cut-out can be encoded.
            has_decoder: Whether the first pass can find where the subject will be.
        """
        lists = [*((name, getattr(self, name)) for name in CHANNELS), *(("foreground", s) for s in self.nearer)]
        for name, pictures in lists:
            for picture in pictures:
                if picture is not None and tuple(picture.shape[-2:]) != self.size:
                    wanted, found = (f"{s[1]}x{s[0]}" for s in (self.size or (0, 0), picture.shape[-2:]))
                    raise LayerFusionError(f"the {name} is {found}, another picture {wanted}; make them alike.")
        if self.strength is not None and not 0 < self.strength <= 1:
            raise LayerFusionError(f"strength is {self.strength}; give a number above 0, up to 1.")
        both = False
        for b, (g, p, m) in enumerate(zip(self.background, self.blended, self.mask, strict=True)):
            f = self.foreground[b] if self.all_cut(b) else None
            both |= f is not None and g is not None and p is None
            if f is not None and g is not None and p is not None:
                raise LayerFusionError("foreground, background and blended picture are all given; leave one out.")
            if m is not None and (f is not None or (g is None and p is None)):
                raise LayerFusionError(
                    "the mask says where the subject is in a background or a blended picture; give one of them, "
                    "and no foreground, whose alpha says it already."
                )
            cut = any(stream[b] is not None for stream in self.cutouts)
            if (cut or m is not None or p is not None) and not has_encoder:
                raise LayerFusionError(
                    "the pipeline has no transparent_encoder to put a cut-out into a latent with; load one."
                )
            if g is not None and f is None and p is None and m is None and not has_decoder:
                raise LayerFusionError(
                    "the pipeline has no transparent_decoder to find the subject with; load one, or give a mask."
                )
        if self.strength is not None and not both:
            raise LayerFusionError("strength acts on the blend of a given foreground and background; give both.")


def cutout_of(image: Picture) -> Tensor:
    """A cut-out as (4, H, W), float32 in [0, 1]; errors as for `Given.of`."""
    return _tensor(image, "foreground")


def framed(cutout: Tensor, size: tuple[int, int]) -> Tensor:
    """A cut-out (4, h, w) in a frame of `size`, as a model would draw it: its subject in the middle, with room around.

    One that has this size stays as it is.
    """
    if tuple(cutout.shape[-2:]) == size:
        return cutout
    visible = cutout[3] > 0
    rows, columns = (visible.any(axis).nonzero()[:, 0] for axis in (1, 0))
    result = torch.zeros(4, *size)
    if not len(rows):
        return result
    rgb, alpha = cutout[None, :, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].split([3, 1], dim=1)
    scale = min(FILLED * room / side for room, side in zip(size, alpha.shape[-2:], strict=True))
    height, width = (max(1, round(scale * side)) for side in alpha.shape[-2:])
    light, alpha = (F.interpolate(x, (height, width), mode="bilinear", antialias=True) for x in (rgb * alpha, alpha))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    inside = torch.cat([light / alpha.clamp(min=1e-6), alpha], dim=1)[0].clamp(0, 1)
    result[:, top : top + height, left : left + width] = inside
    return result


def pad_to(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) → (B, C, *size): the last row and column repeated below and to the right."""
    height, width = size
    return F.pad(picture, (0, width - picture.shape[-1], 0, height - picture.shape[-2]), mode="replicate")


def from_rgba(pixels: np.ndarray, name: str, called: str) -> np.ndarray:
    """Pixels (H, W, 4), uint8, as the given picture `name` has them; of a mask what is transparent is black.

    Raises:
        LayerFusionError: a picture that must be opaque is not; it is `called` so.
    """
    if name in ("background", "blended") and pixels[..., 3].min() < 255:
        raise LayerFusionError(f"{called} is transparent in places; flatten it, or give it as a foreground.")
    if name == "mask":
        pixels = (pixels * (pixels[..., 3:] / 255)).round().astype(np.uint8)[..., :3]
    return np.asarray(PIL.Image.fromarray(pixels).convert(MODES[CHANNELS[name]]))


def _tensors(pictures: Pictures | None, name: str) -> list[Tensor | None]:
    if pictures is None:
        return []
    several = isinstance(pictures, (list, tuple)) or getattr(pictures, "ndim", 3) == 4
    each: list[Any] = list(cast("Sequence[Any]", pictures)) if several else [pictures]
    return [None if picture is None else _tensor(picture, name) for picture in each]


def _tensor(picture: Any, name: str) -> Tensor:
    """One picture as (C, H, W) float32 in [0, 1]."""
    channels = CHANNELS[name]
    if isinstance(picture, PIL.Image.Image):
        if channels == 4 and not picture.has_transparency_data:
            raise LayerFusionError("the foreground has no transparency; cut its subject out first.")
        picture = from_rgba(pixels_of(picture), name, f"the {name}")
    if isinstance(picture, np.ndarray):
        picture = torch.tensor(picture if picture.ndim == 3 else picture[..., None]).movedim(-1, 0)
    if not isinstance(picture, Tensor) or picture.ndim != 3 or picture.shape[0] != channels:
        raise LayerFusionError(
            f"the {name} is no picture of {channels} channels; give a PIL picture, an array (H, W, {channels}) or a "
            f"tensor ({channels}, H, W)."
        )
    picture = picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()
    if not (picture.isfinite().all() and picture.min() >= 0 and picture.max() <= 1):
        raise LayerFusionError(f"the {name} has values outside 0 to 1; scale it, or give bytes.")
    return picture.cpu()


def _repeated(values: list[Tensor | None], count: int) -> list[Tensor | None]:
    values = values or [None]
    return values * count if len(values) == 1 else values
