"""Layers and the stack they lie in. Knows nothing of diffusion: pixels, places and blend modes only."""

import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.layers.affine import Affine
from layerfusion.layers.composite import BLENDS, Blend, Placed, composite
from layerfusion.layers.limits import check_memory, check_size
from layerfusion.layers.resample import bake, grid_bounds

MAX_NAME = 255  # characters of a layer's name in Photoshop
MAX_LAYERS = 1000


def pixels_of(picture: "Image.Image | np.ndarray") -> np.ndarray:
    """A PIL picture of any mode, or uint8 (h, w, 3 or 4), as uint8 (h, w, 4) with straight alpha."""
    if isinstance(picture, Image.Image):
        return np.array(picture.convert("RGBA"))
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4) or 0 in picture.shape:
        raise LayerFusionError(
            f"A layer's pixels are uint8 (height, width, 4), not {picture.dtype} {picture.shape}; convert them first."
        )
    if picture.shape[2] == 3:
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        return np.concatenate([picture, opaque], axis=-1)
    return np.ascontiguousarray(picture)


def clean_name(name: str) -> str:
    """A name that every format can hold: control characters and halves of characters dropped, at most MAX_NAME long."""
    kept = "".join(c for c in name if unicodedata.category(c) not in ("Cc", "Cs") and c not in "\ufffe\uffff")
    # Photoshop counts UTF-16 units, two for a character beyond the first 65,536.
    encoded = kept.encode("utf-16-le")[: 2 * MAX_NAME]
    return encoded.decode("utf-16-le", errors="ignore").strip() or "layer"


@dataclass(frozen=True, eq=False)
class Layer:
    """One picture, where it lies, and how it mixes with what is below. Methods return a changed copy.

    Args:
        name: shown in the layer panel of every program; any script, at most 255 UTF-16 units, no control characters.
        pixels: uint8 (height, width, 4) straight alpha, or a PIL picture, or uint8 (height, width, 3).
        placement: from the layer's pixels to the canvas; kept as given, never baked into the pixels.
        opacity: in [0, 1].
        visible: hidden layers are kept in files and left out of the composite.
        blend: "normal", "multiply", "screen" or "overlay".

    Raises:
        LayerFusionError: one of these does not hold.
    """

    name: str
    pixels: np.ndarray = field(repr=False)
    placement: Affine = Affine()  # noqa: RUF009 (immutable)
    opacity: float = 1.0
    visible: bool = True
    blend: Blend = "normal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", pixels_of(self.pixels))
        if clean_name(self.name) != self.name:
            raise LayerFusionError(
                f"{self.name[:40]!a} cannot be a layer's name; use 1 to {MAX_NAME} printable characters."
            )
        if not 0 <= self.opacity <= 1:
            raise LayerFusionError(f"Opacity {self.opacity} is outside 0 to 1; give a number in that range.")
        if self.blend not in BLENDS:
            raise LayerFusionError(f"Blend mode {self.blend!r} is not known; use one of {', '.join(BLENDS)}.")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of its own pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def image(self) -> Image.Image:
        """Its own pixels as a PIL picture, RGBA, without placement, opacity or blend mode."""
        return Image.fromarray(self.pixels)

    @property
    def centre(self) -> tuple[float, float]:
        """Canvas position of the middle of its visible pixels: what scaling, turning and flipping keep in place."""
        columns, rows = (np.flatnonzero(self.pixels[..., 3].any(axis)) for axis in (0, 1))
        if len(columns) == 0:
            return self.placement(self.size[0] / 2, self.size[1] / 2)
        return self.placement((columns[0] + columns[-1] + 1) / 2, (rows[0] + rows[-1] + 1) / 2)

    def placed(self, change: Affine) -> "Layer":
        """The layer with a further map, in canvas coordinates, after its placement."""
        return replace(self, placement=self.placement.then(change))

    def moved(self, x: float, y: float) -> "Layer":
        """Moved by (x, y) canvas pixels, right and down."""
        return self.placed(Affine.translation(x, y))

    def scaled(self, x: float, y: float | None = None, about: tuple[float, float] | None = None) -> "Layer":
        """Scaled by x across and y down (the same if left out), about a canvas point or its own centre."""
        return self.placed(Affine.scaling(x, x if y is None else y).about(*(about or self.centre)))

    def rotated(self, degrees: float, about: tuple[float, float] | None = None) -> "Layer":
        """Turned clockwise about a canvas point or its own centre."""
        return self.placed(Affine.rotation(degrees).about(*(about or self.centre)))

    def flipped(self, vertical: bool = False) -> "Layer":
        """Mirrored left to right, or upside down, about its own centre."""
        mirror = Affine.scaling(1, -1) if vertical else Affine.scaling(-1, 1)
        return self.placed(mirror.about(*self.centre))

    def bounds(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the canvas pixels it touches."""
        return grid_bounds(self.placement, self.size)

    def baked(self, linear: bool = False, within: tuple[int, int] | None = None) -> "Layer":
        """The layer with its placement worked into the pixels; only a whole-pixel offset is left.

        Args:
            linear: resample in linear light.
            within: (width, height) of a canvas that it touches and outside which it is not needed.
        """
        pixels, left, top = bake(self.pixels, self.placement, linear, within)
        return replace(self, pixels=pixels, placement=Affine.translation(left, top))

    @property
    def offset(self) -> tuple[int, int]:
        """(left, top) of a baked layer's first pixel."""
        return int(self.placement.c), int(self.placement.f)


class LayerStack:
    """A canvas and its layers, bottom first.

    Layers are found by name or by number (0 is the lowest, -1 the highest) and replaced by assignment:

        stack = LayerStack.open("poster.psd")
        stack["foreground"] = stack["foreground"].scaled(0.8).moved(40, -20)
        stack.save("poster.ora")

    Args:
        width, height: canvas size in pixels, each at least 1.
        layers: bottom first.

    Raises:
        LayerFusionError: the canvas is empty or too large.
    """

    def __init__(self, width: int, height: int, layers: "list[Layer] | None" = None) -> None:
        check_size(width, height, "The canvas")
        self.width, self.height = width, height
        self.layers = list(layers or [])
        if len(self.layers) > MAX_LAYERS:
            raise LayerFusionError(f"{len(self.layers)} layers are too many; the limit is {MAX_LAYERS}.")

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "LayerStack":
        """Read a folder of PNGs, a triplet's folder, a .psd or an .ora."""
        from layerfusion.layers.files import read

        return read(path)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write to the kind of file that the path's ending names; a path without an ending is a folder of PNGs."""
        from layerfusion.layers.files import write

        return write(self, path)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the canvas."""
        return self.width, self.height

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __repr__(self) -> str:
        return f"LayerStack({self.width}×{self.height}: {', '.join(layer.name for layer in self.layers) or 'empty'})"

    def index(self, key: str | int) -> int:
        """The number of the layer with this name or number.

        Raises:
            LayerFusionError: there is none, or several share the name.
        """
        if isinstance(key, int):
            if -len(self.layers) <= key < len(self.layers):
                return key % len(self.layers)
            raise LayerFusionError(f"There is no layer {key}; the layers are numbered 0 to {len(self.layers) - 1}.")
        found = [number for number, layer in enumerate(self.layers) if layer.name == key]
        if len(found) == 1:
            return found[0]
        names = ", ".join(layer.name for layer in self.layers)
        if found:
            raise LayerFusionError(f"{len(found)} layers are named {key!r}; use the number {found[0]} or {found[1]}.")
        raise LayerFusionError(f"There is no layer {key!r}; the layers are: {names or 'none'}.")

    def __getitem__(self, key: str | int) -> Layer:
        return self.layers[self.index(key)]

    def __setitem__(self, key: str | int, layer: Layer) -> None:
        self.layers[self.index(key)] = layer

    def edited(self, key: str | int, change: Callable[[Layer], Layer]) -> "LayerStack":
        """A new stack in which one layer is replaced by what `change` makes of it."""
        copy = LayerStack(self.width, self.height, self.layers)
        copy[key] = change(self[key])
        return copy

    def baked(self, linear: bool = False) -> "LayerStack":
        """The same picture with every placement worked into the pixels, as PSD and ORA need it."""
        self.check_memory()
        return LayerStack(self.width, self.height, [layer.baked(linear) for layer in self.layers])

    def composite(self, linear: bool = False) -> Image.Image:
        """The visible layers as one RGBA picture of the canvas's size.

        Args:
            linear: resample and blend in linear light rather than in sRGB, which is what other programs do.
        """
        shown = [layer for layer in self.layers if self._shows(layer)]
        check_memory([layer.size for layer in shown] + [self.size] * (len(shown) + 1), str(self))
        baked = [layer.baked(linear, within=self.size) for layer in shown]
        placed = [Placed(layer.pixels, *layer.offset, layer.opacity, layer.blend) for layer in baked]
        return Image.fromarray(composite(self.size, placed, linear))

    def _shows(self, layer: Layer) -> bool:
        left, top, right, bottom = layer.bounds()
        touches = left < self.width and top < self.height and right > 0 and bottom > 0
        return touches and layer.visible and layer.opacity > 0

    def check_memory(self) -> None:
        """Refuse, before working, a stack whose baked layers would not fit in memory."""
        edges = [layer.bounds() for layer in self.layers]
        sizes = [(right - left, bottom - top) for left, top, right, bottom in edges]
        check_memory([self.size, *sizes], str(self))


def stack_from_triplet(
    foreground: Image.Image, background: Image.Image, blended: Image.Image | None = None
) -> LayerStack:
    """A generated triplet as layers: foreground over background, and the blended picture hidden on top for reference.

    The canvas has the background's size; the others lie in its top left corner.
    """
    layers = [Layer("background", pixels_of(background)), Layer("foreground", pixels_of(foreground))]
    if blended is not None:
        layers.append(Layer("blended", pixels_of(blended), visible=False))
    return LayerStack(*background.size, layers)
