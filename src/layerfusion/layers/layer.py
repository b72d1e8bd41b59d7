"""One layer: its pixels, where they lie, and how they mix with what is below. Knows nothing of diffusion."""

import unicodedata
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.layers.affine import Affine
from layerfusion.layers.composite import BLENDS, Blend
from layerfusion.layers.limits import FARTHEST
from layerfusion.layers.pictures import pixels_of
from layerfusion.layers.resample import bake, grid_bounds

MAX_NAME = 255  # characters of a layer's name in Photoshop
# What is fainter than this, of 255, is no part of the subject: decoders leave a veil over what should be clear. It
# still shows and is still kept; it only has no say in where the subject ends and where its middle is.
SUBJECT_ALPHA = 8


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
        placement: from the layer's pixels to the canvas, at most FARTHEST pixels from its corner; kept as given, never
            baked into the pixels.
        opacity: in [0, 1].
        visible: hidden layers are kept in files and left out of the composite.
        blend: "normal", "multiply", "screen" or "overlay".
        group: layers of one group belong together, as a subject and its shadow: `LayerStack.edited` moves them as one,
            and PSD and ORA hold them in a folder of this name. Named by the same rules as a layer.

    Raises:
        LayerFusionError: one of these does not hold.
    """

    name: str
    pixels: np.ndarray = field(repr=False)
    placement: Affine = Affine()  # noqa: RUF009 (immutable)
    opacity: float = 1.0
    visible: bool = True
    blend: Blend = "normal"
    group: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", pixels_of(self.pixels))
        for name, what in ((self.name, "a layer's name"), (self.group, "a group's name")):
            if name is not None and clean_name(name) != name:
                raise LayerFusionError(f"{name[:40]!a} cannot be {what}; use 1 to {MAX_NAME} printable characters.")
        farthest = max(map(abs, self.placement.bounds(*self.size)))
        if farthest > FARTHEST:
            raise LayerFusionError(
                f"Layer {self.name[:40]!r} would reach {farthest:.4g} pixels from the canvas's corner; "
                f"the limit is {FARTHEST}, so move it closer or make it smaller."
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
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the subject in the layer's own pixels: alpha of at least SUBJECT_ALPHA.

        Of all that shows, where nothing reaches it; of the whole picture, where nothing shows.
        """
        return self._box(SUBJECT_ALPHA) or self._box(1) or (0, 0, *self.size)

    def _box(self, least: int) -> tuple[int, int, int, int] | None:
        opaque = self.pixels[..., 3] >= least
        columns, rows = (np.flatnonzero(opaque.any(axis)) for axis in (0, 1))
        if len(columns) == 0:
            return None
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    @property
    def centre(self) -> tuple[float, float]:
        """Canvas position of the middle of the subject's box: what scaling, turning and flipping keep in place."""
        left, top, right, bottom = self.box
        return self.placement((left + right) / 2, (top + bottom) / 2)

    def with_pixels(self, pixels: "np.ndarray | Image.Image") -> "Layer":
        """With other pixels of any size, scaled to cover the rectangle of the old ones and centred on it."""
        new = pixels_of(pixels)
        (height, width), (old_width, old_height) = new.shape[:2], self.size
        scale = max(old_width / width, old_height / height)
        centring = Affine.translation((old_width - width * scale) / 2, (old_height - height * scale) / 2)
        return replace(self, pixels=new, placement=Affine.scaling(scale, scale).then(centring).then(self.placement))

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
        """(left, top, right, bottom) of the canvas pixels that the subject's box touches."""
        left, top, right, bottom = self.box
        return grid_bounds(Affine.translation(left, top).then(self.placement), (right - left, bottom - top))

    def extent(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the canvas pixels that its own pixels touch, clear ones included."""
        return grid_bounds(self.placement, self.size)

    def trimmed(self, margin: int = 0) -> "Layer":
        """The same picture without the rows and columns at its border in which nothing shows, but for `margin` of them.

        One that shows nothing keeps a single pixel.
        """
        left, top, right, bottom = self._box(1) or (0, 0, 1, 1)
        left, top = max(0, left - margin), max(0, top - margin)
        pixels = self.pixels[top : bottom + margin, left : right + margin]
        if pixels.shape == self.pixels.shape:
            return self
        return replace(self, pixels=pixels, placement=Affine.translation(left, top).then(self.placement))

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
