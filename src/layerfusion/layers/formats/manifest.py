"""A stack as JSON: what the manifest of a folder and the data of a page have in common.

Canvas size, provenance and, bottom first, each layer's name, placement (the six numbers of Affine), opacity,
visibility, blend mode and group, with the picture it shows: the name of a file, or the file itself in base64.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from layerfusion.errors import LayerFusionError
from layerfusion.layers.affine import Affine
from layerfusion.layers.layer import Layer
from layerfusion.layers.limits import check_memory, decode, size_of
from layerfusion.layers.resample import grid_size
from layerfusion.layers.stack import MAX_LAYERS, LayerStack

KIND = "layerfusion-stack"
VERSION = 2  # the first had no groups; it is still read


def describe(stack: LayerStack, layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The manifest of a stack whose layers are described so."""
    return {
        "format": KIND,
        "version": VERSION,
        "width": stack.width,
        "height": stack.height,
        "provenance": stack.provenance,
        "layers": layers,
    }


def describe_layer(layer: Layer) -> dict[str, Any]:
    """Everything about a layer but its picture."""
    return {
        "name": layer.name,
        "placement": layer.placement.as_tuple(),
        "opacity": layer.opacity,
        "visible": layer.visible,
        "blend": layer.blend,
        "group": layer.group,
    }


def check(manifest: Any, what: str, is_picture: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The manifest, if every field is there and of the right type.

    Args:
        what: names it in the sentence.
        is_picture: whether an entry names its picture rightly.
    """
    if not isinstance(manifest, dict) or manifest.get("format") != KIND or manifest.get("version") not in (1, VERSION):
        raise LayerFusionError(f"{what} is not a {KIND} manifest of version 1 or {VERSION}; get or make it again.")
    layers = manifest.get("layers")
    sides = [manifest.get("width"), manifest.get("height")]
    if any(type(side) is not int for side in sides) or not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise LayerFusionError(f"{what} needs a width, a height and at most {MAX_LAYERS} layers; make it again.")
    for number, entry in enumerate(layers):
        if not _is_entry(entry) or not is_picture(entry):
            raise LayerFusionError(f"{what}: layer {number} lacks a field or has one of the wrong type; mend it.")
    return manifest


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    placement, opacity = entry.get("placement"), entry.get("opacity")
    return (
        isinstance(entry.get("name"), str)
        and isinstance(placement, list)
        and len(placement) == 6
        and all(type(number) in (int, float) for number in [*placement, opacity])
        and isinstance(entry.get("visible"), bool)
        and isinstance(entry.get("blend"), str)
        and isinstance(entry.get("group"), str | None)
    )


def stack_of(manifest: dict[str, Any], pictures: Sequence[tuple[Path | IO[bytes], str]], what: str) -> LayerStack:
    """The stack that a checked manifest describes.

    Args:
        pictures: for each layer its PNG, and how to name it in a sentence.
    """
    stack = LayerStack(manifest["width"], manifest["height"], None, manifest.get("provenance"))
    own = [size_of(source, name, ("PNG",)) for source, name in pictures]
    places = [Affine(*entry["placement"]) for entry in manifest["layers"]]
    placed = [grid_size(place, size, stack.size) for place, size in zip(places, own, strict=True)]
    check_memory(stack.size, zip(own, placed, strict=True), what)
    for entry, place, (source, name) in zip(manifest["layers"], places, pictures, strict=True):
        if not isinstance(source, Path):
            source.seek(0)
        pixels = decode(source, name, ("PNG",))
        fields = {key: entry.get(key) for key in ("opacity", "visible", "blend", "group")}
        stack.layers.append(Layer(entry["name"], pixels, place, **fields))
    return stack
