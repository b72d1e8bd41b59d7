"""A web page in one file, without network: its reader drags, scales, turns, hides and blends the layers.

The page keeps placements as they were given, and can save itself as it stands; `read` reads either.
"""

import base64
import binascii
import html
import io
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

from layerfusion.errors import LayerFusionError
from layerfusion.files import open_file
from layerfusion.layers.formats import manifest
from layerfusion.layers.layer import Layer
from layerfusion.layers.limits import parse_json
from layerfusion.layers.provenance import facts
from layerfusion.layers.stack import LayerStack

SCRIPTS = ("state.js", "view.js", "controls.js", "files.js")
MARGIN = 2  # clear pixels kept around what shows, for the browser's own resampling to fade into
MAX_BYTES = 1 << 30
DATA, END = b'<script type="application/json" id="stack">', b"</script>"
PNG = "data:image/png;base64,"


def write(stack: LayerStack, path: Path) -> None:
    """Write the page."""
    page = resources.files("layerfusion.layers.formats") / "page"
    content = manifest.describe(stack, [_entry(layer.trimmed(MARGIN)) for layer in stack])
    content["facts"] = facts(stack.provenance)
    names = ", ".join(layer.name for layer in stack if layer.visible)
    parts = {
        "title": html.escape(names or "Layers"),
        "style": (page / "page.css").read_text(encoding="utf-8"),
        "script": "\n".join((page / script).read_text(encoding="utf-8") for script in SCRIPTS),
        # Inside <script> only "<" could end the element early.
        "stack": json.dumps(content, ensure_ascii=False).replace("<", "\\u003c"),
    }
    text = (page / "page.html").read_text(encoding="utf-8")
    path.write_text(re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], text), encoding="utf-8")


def _entry(layer: Layer) -> dict[str, Any]:
    """What the page's script needs of one layer; `box` is that of its subject, for the frame and its handles."""
    png = io.BytesIO()
    layer.image.save(png, "PNG")  # without a profile: sRGB is what browsers take it for, and they need not convert
    return {
        **manifest.describe_layer(layer),
        "src": PNG + base64.b64encode(png.getvalue()).decode("ascii"),
        "size": layer.size,
        "box": layer.box,
        "opaque": bool(layer.pixels[..., 3].min() == 255),
    }


def read(path: Path) -> LayerStack:
    """Read the stack out of a page that `write` made, or that such a page saved.

    Raises:
        LayerFusionError: it is another page, damaged, or too large.
    """
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise LayerFusionError(f"{path} is larger than any page of layers; it is not opened.")
        page = file.read()
    _, found, rest = page.partition(DATA)
    data, closed, _ = rest.partition(END)
    if not found or not closed:
        raise LayerFusionError(f"{path} is a page without layers, or is cut short; give one that layerfusion wrote.")
    described = manifest.check(parse_json(data, str(path), MAX_BYTES), str(path), _has_its_picture)
    pictures = []
    for entry in described["layers"]:
        try:
            png = base64.b64decode(entry["src"].removeprefix(PNG), validate=True)
        except (binascii.Error, ValueError):
            raise LayerFusionError(f"{path} has a picture that is damaged; get or make it again.") from None
        pictures.append((io.BytesIO(png), f"{path}, layer {entry['name'][:40]!r},"))
    return manifest.stack_of(described, pictures, str(path))


def _has_its_picture(entry: dict[str, Any]) -> bool:
    source = entry.get("src")
    return isinstance(source, str) and source.startswith(PNG)
