"""A folder of PNGs with a manifest: with the page the only format that keeps placements as they were given.

`stack.json` is the manifest, in which each layer names its file. `composite.png` is for the eye and is not read back.
"""

import json
import re
import stat
from pathlib import Path
from typing import Any

from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.files import PREFIX, look
from layerfusion.layers.formats import manifest
from layerfusion.layers.limits import decode, read_json
from layerfusion.layers.pictures import save_png
from layerfusion.layers.provenance import png_texts
from layerfusion.layers.stack import LayerStack, stack_from_triplet

MANIFEST, RECORD = "stack.json", "triplet.json"
SUBJECTS = "layers"  # a folder in a triplet's, where it has several foregrounds


def write(stack: LayerStack, folder: Path) -> None:
    """Fill an empty folder."""
    entries = []
    for number, layer in enumerate(stack):
        slug = re.sub(r"[^a-z0-9]+", "-", layer.name.lower()).strip("-")[:40] or "layer"
        file = f"{number:02d}-{slug}.png"
        save_png(layer.image, folder / file)
        entries.append({"file": file, **manifest.describe_layer(layer)})
    save_png(stack.composite(), folder / "composite.png", png_texts(stack.provenance))
    text = json.dumps(manifest.describe(stack, entries), ensure_ascii=False, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def check_replaceable(path: Path) -> None:
    """Refuse to write over a folder that holds anything but an earlier stack.

    Raises:
        LayerFusionError: `path` is a file, or a folder with files that the stack's manifest does not name.
    """
    found = look(path)
    if found is None:
        return
    if not stat.S_ISDIR(found.st_mode):
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
    if (path / SUBJECTS / MANIFEST).exists():
        return _read_stack(path / SUBJECTS)
    if (path / "foreground.png").exists() and (path / "background.png").exists():
        return _read_triplet(path)
    raise LayerFusionError(f"{path} holds neither {MANIFEST} nor a triplet; give a folder that layerfusion wrote.")


def _read_stack(path: Path) -> LayerStack:
    described = _manifest(path)
    files = [path / entry["file"] for entry in described["layers"]]
    return manifest.stack_of(described, [(file, str(file)) for file in files], str(path))


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    return manifest.check(read_json(file), str(file), _names_its_file)


def _names_its_file(entry: dict[str, Any]) -> bool:
    """Whether a picture is named by a plain name in this folder."""
    file = entry.get("file")
    return isinstance(file, str) and file == Path(file).name and "\\" not in file and "\0" not in file


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
        record = read_json(file)
    except LayerFusionError:
        return None
    return record if isinstance(record, dict) else None
