"""A web page in one file, without network: drag, scale, turn, hide and blend the layers, save the result as PNG."""

import base64
import html
import io
import json
import re
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from layerfusion.layers.layer import Layer
from layerfusion.layers.provenance import facts
from layerfusion.layers.stack import LayerStack


def write(stack: LayerStack, path: Path) -> None:
    """Write the page; it shows the stack as it is and is edited in the reader's browser only."""
    page = resources.files("layerfusion.layers.formats") / "page"
    layers = [_entry(layer) for layer in stack]
    content = {
        "width": stack.width,
        "height": stack.height,
        "provenance": stack.provenance,
        "facts": facts(stack.provenance),
        "layers": layers,
    }
    data = json.dumps(content, ensure_ascii=False)
    names = ", ".join(layer.name for layer in stack if layer.visible)
    parts = {
        "title": html.escape(names or "Layers"),
        "style": (page / "page.css").read_text(encoding="utf-8"),
        "script": (page / "page.js").read_text(encoding="utf-8"),
        # Inside <script> only "<" could end the element early.
        "stack": data.replace("<", "\\u003c"),
    }
    text = (page / "page.html").read_text(encoding="utf-8")
    path.write_text(re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], text), encoding="utf-8")


def _entry(layer: Layer) -> dict[str, object]:
    """What the page's script needs of one layer; `box` is (left, top, right, bottom) of its visible pixels."""
    png = io.BytesIO()
    layer.image.save(png, "PNG")
    alpha = Image.fromarray(np.ascontiguousarray(layer.pixels[..., 3]))
    return {
        "name": layer.name,
        "src": "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii"),
        "size": layer.size,
        "box": alpha.getbbox() or (0, 0, *layer.size),
        "placement": layer.placement.as_tuple(),
        "opacity": layer.opacity,
        "visible": layer.visible,
        "blend": layer.blend,
        "opaque": alpha.getextrema() == (255, 255),
    }
