"""A folder of PNGs with a manifest: the only kind that keeps placements as they were given.

`stack.json` holds the canvas size, the provenance and, bottom first, each layer's file, name, placement (the six
numbers of Affine), opacity, visibility, blend mode and group. `composite.png` is for the eye and is not read back.
"""

import json
import re
from pathlib import Path
from typing import Any

from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.files import PREFIX, atomic_folder
from layerfusion.layers.affine import Affine
from layerfusion.layers.layer import Layer
from layerfusion.layers.limits import MAX_TEXT_BYTES, check_memory, decode, parse_json, size_of
from layerfusion.layers.pictures import save_png
from layerfusion.layers.provenance import png_texts
from layerfusion.layers.stack import MAX_LAYERS, LayerStack, stack_from_triplet

MANIFEST, RECORD = "stack.json", "triplet.json"
KIND = "layerfusion-stack"
VERSION = 2  # the first had no groups; it is still read


def write(stack: LayerStack, path: Path, overwrite: bool = True) -> None:
    """Write the folder beside its final place, then let them change places."""
    check_replaceable(path)
    with atomic_folder(path, overwrite) as fresh:
        _fill(stack, fresh)


def _fill(stack: LayerStack, folder: Path) -> None:
    entries = []
    for number, layer in enumerate(stack):
        slug = re.sub(r"[^a-z0-9]+", "-", layer.name.lower()).strip("-")[:40] or "layer"
        file = f"{number:02d}-{slug}.png"
        save_png(layer.image, folder / file)
        entries.append(
            {
                "file": file,
                "name": layer.name,
                "placement": layer.placement.as_tuple(),
                "opacity": layer.opacity,
                "visible": layer.visible,
                "blend": layer.blend,
                "group": layer.group,
            }
        )
    save_png(stack.composite(), folder / "composite.png", png_texts(stack.provenance))
    manifest = {
        "format": KIND,
        "version": VERSION,
        "width": stack.width,
        "height": stack.height,
        "provenance": stack.provenance,
        "layers": entries,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def check_replaceable(path: Path) -> None:
    """Refuse to write over a folder that holds anything but an earlier stack.

    Raises:
        LayerFusionError: `path` is a file, or a folder with files that the stack's manifest does not name.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise LayerFusionError(f"{path} is a file, and a folder of PNGs would take its place; choose another name.")
    present = {entry.name for entry in path.iterdir() if not entry.name.startswith(PREFIX)}
    if MANIFEST in present:
        present -= {MANIFEST, "composite.png", *(entry["file"] for entry in _manifest(path)["layers"])}
    if present:
        raise LayerFusionError(f"{path} holds other files ({sorted(present)[0]}); choose another folder.")


def read(path: Path) -> LayerStack:
    """Read a stack's folder, or the folder of a generated triplet."""
    if (path / MANIFEST).exists():
        return _read_stack(path)
    if (path / "foreground.png").exists() and (path / "background.png").exists():
        return _read_triplet(path)
    raise LayerFusionError(f"{path} holds neither {MANIFEST} nor a triplet; give a folder that layerfusion wrote.")


def _read_stack(path: Path) -> LayerStack:
    manifest = _manifest(path)
    stack = LayerStack(manifest["width"], manifest["height"], None, manifest.get("provenance"))
    files = [path / entry["file"] for entry in manifest["layers"]]
    check_memory([stack.size, *(size_of(file, str(file), ("PNG",)) for file in files)], str(path))
    for entry, file in zip(manifest["layers"], files, strict=True):
        pixels = decode(file, str(file), ("PNG",))
        placement, group = Affine(*entry["placement"]), entry.get("group")
        stack.layers.append(
            Layer(entry["name"], pixels, placement, entry["opacity"], entry["visible"], entry["blend"], group)
        )
    return stack


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest, checked: every field is there, of the right type, and files are plain names in this folder."""
    file = path / MANIFEST
    try:
        if file.stat().st_size > MAX_TEXT_BYTES:
            raise LayerFusionError(f"{file} is far larger than any stack needs; it is not opened.")
        manifest = parse_json(file.read_bytes(), str(file))
    except OSError as error:
        raise LayerFusionError(f"{file} cannot be read ({error.strerror}); get or make it again.") from None
    if not isinstance(manifest, dict) or manifest.get("format") != KIND or manifest.get("version") not in (1, VERSION):
        raise LayerFusionError(f"{file} is not a {KIND} manifest of version 1 or {VERSION}; get or make it again.")
    layers = manifest.get("layers")
    sides = [manifest.get("width"), manifest.get("height")]
    if any(type(side) is not int for side in sides) or not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise LayerFusionError(f"{file} needs a width, a height and at most {MAX_LAYERS} layers; make it again.")
    for number, entry in enumerate(layers):
        if not _is_entry(entry):
            raise LayerFusionError(f"{file}: layer {number} lacks a field or has one of the wrong type; mend it.")
    return manifest


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    placement, opacity = entry.get("placement"), entry.get("opacity")
    file, name = entry.get("file"), entry.get("name")
    return (
        isinstance(file, str)
        and file == Path(file).name
        and "\\" not in file
        and "\0" not in file
        and isinstance(name, str)
        and isinstance(placement, list)
        and len(placement) == 6
        and all(type(number) in (int, float) for number in [*placement, opacity])
        and isinstance(entry.get("visible"), bool)
        and isinstance(entry.get("blend"), str)
        and isinstance(entry.get("group"), str | None)
    )


def _read_triplet(path: Path) -> LayerStack:
    def picture(name: str) -> Image.Image | None:
        file = path / f"{name}.png"
        return Image.fromarray(decode(file, str(file), ("PNG",))) if file.exists() else None

    foreground, background = picture("foreground"), picture("background")
    assert foreground is not None and background is not None  # read has looked
    return stack_from_triplet(
        foreground,
        background,
        picture("blended"),
        relit=picture("relit"),
        shadow=picture("shadow"),
        light=picture("light"),
        provenance=_record(path / RECORD),
    )


def _record(file: Path) -> dict[str, Any] | None:
    """What a triplet's folder says of how it was made; None where it says nothing readable."""
    try:
        record = parse_json(file.read_bytes(), str(file))
    except (OSError, LayerFusionError):
        return None
    return record if isinstance(record, dict) else None
