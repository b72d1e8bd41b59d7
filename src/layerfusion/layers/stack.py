"""The stack that layers lie in. Knows nothing of diffusion: pixels, places and blend modes only."""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.layers.affine import Affine
from layerfusion.layers.composite import Placed, composite
from layerfusion.layers.effects import cleared
from layerfusion.layers.layer import MAX_NAME, Layer, clean_name
from layerfusion.layers.limits import FARTHEST, check_memory, check_size
from layerfusion.layers.pictures import pixels_of
from layerfusion.layers.provenance import portable
from layerfusion.layers.resample import grid_size

MAX_LAYERS = 1000
MAX_NESTING = 50  # of groups in files
SUBJECT = "subject"  # the group of a triplet's foreground and what goes with it
UNLIT = " (unlit)"  # ends the name of the hidden layer that holds a subject as it was before any scene's light


class Storage(Protocol):
    """What reads and writes stacks; `layers.files` is it, and says so to `LayerStack.keep_in`."""

    def read(self, path: str | os.PathLike[str]) -> "LayerStack": ...
    def write(self, stack: "LayerStack", path: str | os.PathLike[str]) -> Path: ...


class LayerStack:
    """A canvas and its layers, bottom first.

    Layers are found by name or by number (0 is the lowest, -1 the highest). `edited` changes one and takes along what
    belongs to it; assignment replaces one alone:

        stack = LayerStack.open("poster.psd")
        stack = stack.edited("foreground", lambda layer: layer.scaled(0.8).moved(40, -20))
        stack["shadow"] = stack["shadow"].moved(5, 0)
        stack.save("poster.ora")

    Args:
        width, height: canvas size in pixels, each at least 1.
        layers: bottom first.
        provenance: where the pictures come from: the content of `triplet.json`, or another dictionary of JSON's kinds
            of values. Files carry it; paths of this machine in it are cut to their last name.

    Raises:
        LayerFusionError: the canvas is empty or too large, or there are more than MAX_LAYERS layers.
    """

    _storage: Storage

    def __init__(
        self,
        width: int,
        height: int,
        layers: "list[Layer] | None" = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        check_size(width, height, "The canvas")
        self.width, self.height = width, height
        self.layers = list(layers or [])
        self.provenance = portable(provenance)
        if len(self.layers) > MAX_LAYERS:
            raise LayerFusionError(f"{len(self.layers)} layers are too many; the limit is {MAX_LAYERS}.")

    @classmethod
    def keep_in(cls, storage: Storage) -> None:
        """Tell `open` and `save` who reads and writes: this module knows no file, so that files can know it."""
        cls._storage = storage

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "LayerStack":
        """Read a folder of PNGs, a triplet's folder, a .psd, .ora or .html; errors as for `layers.read`."""
        return cls._storage.read(path)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write to the format that the path's ending names; a path without an ending is a folder of PNGs."""
        return self._storage.write(self, path)

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

    def copy(self, layers: list[Layer]) -> "LayerStack":
        """The same canvas and provenance with these layers."""
        return LayerStack(self.width, self.height, layers, self.provenance)

    def edited(self, key: str | int, change: Callable[[Layer], Layer], alone: bool = False) -> "LayerStack":
        """A new stack in which `change` has been made to one layer, and the layers of its group have moved with it.

        Whatever the change does to the layer's placement is done to theirs: a shadow is moved, scaled, turned and
        flipped about the middle of its subject. Pixels, opacity, visibility and blend mode are each layer's own.

        Args:
            alone: leave the rest of the group where it is.
        """
        number = self.index(key)
        before, after = self.layers[number], change(self.layers[number])
        copy = self.copy(self.layers)
        if before.group is not None and not alone:
            step = before.placement.inverse().then(after.placement)
            copy.layers = [other.placed(step) if other.group == before.group else other for other in self.layers]
        copy.layers[number] = after
        return copy

    def baked(self, linear: bool = False) -> "LayerStack":
        """The same picture as PSD and ORA need it: placements worked into the pixels, layers trimmed to what shows."""
        self.check_memory()
        return self.copy([layer.baked(linear).trimmed() for layer in self.layers])

    def composite(self, linear: bool = False) -> Image.Image:
        """The visible layers as one RGBA picture of the canvas's size.

        Args:
            linear: resample and blend in linear light rather than in sRGB, which is what other programs do.
        """
        shown = [layer for layer in self.layers if self._shows(layer)]
        self.check_memory(within=self.size)
        baked = [layer.baked(linear, within=self.size) for layer in shown]
        placed = [Placed(layer.pixels, *layer.offset, layer.opacity, layer.blend) for layer in baked]
        return Image.fromarray(composite(self.size, placed, linear))

    def _shows(self, layer: Layer) -> bool:
        left, top, right, bottom = layer.extent()
        touches = left < self.width and top < self.height and right > 0 and bottom > 0
        return touches and layer.visible and layer.opacity > 0

    def check_memory(self, within: tuple[int, int] = (FARTHEST, FARTHEST)) -> None:
        """Refuse, before working, a stack whose baked layers, at most `within` in size, would not fit in memory."""
        sizes = [(layer.size, grid_size(layer.placement, layer.size, within)) for layer in self.layers]
        check_memory(self.size, sizes, str(self))


class GroupNames:
    """A name of its own for each group that a file holds: two groups that share a name do not belong together."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, name: str) -> str:
        """The name, cleaned, or the name with the first free number."""
        plain = clean_name(name)
        numbered = (clean_name(f"{plain[: MAX_NAME - 8]} {number}") for number in count(2))
        free = next(one for one in chain([plain], numbered) if one not in self._taken)
        self._taken.add(free)
        return free


def stack_from_triplet(
    foreground: Image.Image,
    background: Image.Image,
    blended: Image.Image | None = None,
    *,
    relit: Image.Image | None = None,
    shadow: Image.Image | None = None,
    light: Image.Image | None = None,
    provenance: dict[str, Any] | None = None,
) -> LayerStack:
    """A generated triplet as layers.

    From the bottom: background, shadow (multiply), light (screen), foreground, and, hidden, the foreground before it
    was relit and the blended picture. What is not given is left out. Shadow, light and both foregrounds are one group:
    they move together.

    Args:
        foreground: RGBA, straight alpha.
        background: RGB; the canvas has its size, and the others lie in its top left corner.
        blended: RGB.
        relit: RGBA; the foreground in the light of the scene, shown in its place.
        shadow: RGB or RGBA; the background is multiplied by it, white changes nothing.
        light: RGB or RGBA; screened over the background, black changes nothing.
        provenance: as for LayerStack.
    """
    alone = relit is None and shadow is None and light is None
    group = None if alone else SUBJECT
    layers = [Layer("background", pixels_of(background))]
    if shadow is not None:
        layers.append(cleared(Layer("shadow", pixels_of(shadow), blend="multiply", group=group)))
    if light is not None:
        layers.append(cleared(Layer("light", pixels_of(light), blend="screen", group=group)))
    layers.append(Layer("foreground", pixels_of(foreground if relit is None else relit), group=group))
    if relit is not None:
        layers.append(Layer(f"foreground{UNLIT}", pixels_of(foreground), visible=False, group=group))
    if blended is not None:
        layers.append(Layer("blended", pixels_of(blended), visible=False))
    return LayerStack(*background.size, layers, provenance)


def stack_from_subjects(
    subjects: Sequence[tuple[Image.Image, Image.Image, Image.Image, Image.Image, Sequence[float]]],
    background: Image.Image,
    blended: Image.Image | None = None,
    *,
    provenance: dict[str, Any] | None = None,
) -> LayerStack:
    """A generated triplet of several foregrounds as layers.

    From the bottom: background, then for each subject shadow, light, foreground and, hidden, the foreground before it
    was relit, which are one group; last, hidden, the blended picture. What a nearer subject throws falls on a farther
    one too.

    Args:
        subjects: From the farthest to the nearest: foreground, relit foreground, shadow, light, and the placement of
            the first two, (a, b, c, d, e, f).
        background, blended, provenance: as for `stack_from_triplet`.
    """
    layers = [Layer("background", pixels_of(background))]
    for number, (foreground, relit, shadow, light, placement) in enumerate(subjects, start=1):
        suffix = "" if number == 1 else f" {number}"
        group, place = f"{SUBJECT}{suffix}", Affine(*placement)
        layers += [
            cleared(Layer(f"shadow{suffix}", pixels_of(shadow), blend="multiply", group=group)),
            cleared(Layer(f"light{suffix}", pixels_of(light), blend="screen", group=group)),
            Layer(f"foreground{suffix}", pixels_of(relit), place, group=group),
            Layer(f"foreground{suffix}{UNLIT}", pixels_of(foreground), place, visible=False, group=group),
        ]
    if blended is not None:
        layers.append(Layer("blended", pixels_of(blended), visible=False))
    return LayerStack(*background.size, layers, provenance)
