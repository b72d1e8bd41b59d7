"""PowerPoint, by python-pptx: one slide of the canvas's shape, one picture a layer, lowest first.

Moving, scaling, turning, flipping and hiding stay editable in PowerPoint, and so does the opacity of what is not
turned; only a slanted layer is baked. Groups are groups. PowerPoint has no blend modes: what multiplies is laid over as
dark with alpha, what screens as bright with alpha, which is the same for a grey effect and near it for a coloured one;
overlay is written as normal. A warning says so.
"""

import io
import itertools
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import layerfusion
from layerfusion.errors import LayerFusionError
from layerfusion.layers.effects import cleared
from layerfusion.layers.layer import Layer
from layerfusion.layers.pictures import save_png
from layerfusion.layers.provenance import sentence, xmp_packet
from layerfusion.layers.stack import LayerStack

LONG_SIDE = 12_192_000  # EMU (914,400 an inch): the width of PowerPoint's own wide slide
SHORTEST, LONGEST = 914_400, 51_206_400  # what PowerPoint accepts
MAX_PROPERTY = 255  # characters
MARGIN = 2  # clear pixels kept around what shows, for PowerPoint's own resampling to fade into


def write(stack: LayerStack, path: Path) -> None:
    """Write one slide.

    Raises:
        LayerFusionError: the canvas is too narrow for a slide.
    """
    from pptx import Presentation
    from pptx.util import Emu

    scale = max(LONG_SIDE / max(stack.size), SHORTEST / min(stack.size))  # EMU a pixel
    if scale * max(stack.size) > LONGEST:
        raise LayerFusionError(f"A slide cannot be as narrow as {stack.width}×{stack.height}; use a squarer canvas.")
    presentation = Presentation()
    _describe(presentation, stack)
    presentation.slide_width, presentation.slide_height = (Emu(round(side * scale)) for side in stack.size)
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])  # the blank one
    for group, layers in itertools.groupby(stack, key=lambda layer: layer.group):
        shapes = slide.shapes
        if group is not None:
            frame = shapes.add_group_shape()
            frame.name, shapes = group, frame.shapes
        for layer in layers:
            _add(shapes, _normal(layer).trimmed(MARGIN), scale)
    presentation.save(str(path))


def _describe(presentation: Any, stack: LayerStack) -> None:
    """Say what made the file and from what; python-pptx's template says that its author did, on his printer."""
    from pptx.opc.constants import CONTENT_TYPE, RELATIONSHIP_TYPE
    from pptx.opc.package import Part
    from pptx.opc.packuri import PackURI

    package, part = presentation.part.package, presentation.part
    properties = presentation.core_properties
    properties.author = properties.last_modified_by = f"LayerFusion {layerfusion.__version__}"
    properties.created = properties.modified = datetime.now(UTC).replace(tzinfo=None)
    properties.title = ", ".join(layer.name for layer in stack if layer.visible)[:MAX_PROPERTY]
    properties.comments = sentence(stack.provenance)[:MAX_PROPERTY]
    for owner, relation_type in ((package, RELATIONSHIP_TYPE.THUMBNAIL), (part, RELATIONSHIP_TYPE.PRINTER_SETTINGS)):
        for name in [name for name, relation in owner._rels.items() if relation.reltype == relation_type]:
            owner._rels.pop(name)
    if stack.provenance is not None:
        packet = Part(PackURI("/customXml/item1.xml"), CONTENT_TYPE.XML, package, xmp_packet(stack.provenance))
        part.relate_to(packet, RELATIONSHIP_TYPE.CUSTOM_XML)


def _normal(layer: Layer) -> Layer:
    """The layer as normal mode shows it best, with a warning where it blends otherwise."""
    if layer.blend != "normal":
        how = {"multiply": "dark with alpha", "screen": "bright with alpha"}.get(layer.blend, "normal")
        warnings.warn(f"PowerPoint has no {layer.blend} mode; layer {layer.name!r} is written as {how}.", stacklevel=2)
    if layer.blend not in ("multiply", "screen"):
        return layer
    # Laid over as normal, a cleared layer of colour C and alpha α is wrong by α·C·(1 − b), or −α·(1 − C)·b, on a
    # backdrop b. Half-way to black, or to white, is right for b = 1/2 and wrong by half as much at most elsewhere.
    layer = cleared(layer)
    towards = 0 if layer.blend == "multiply" else 255
    colour = (layer.pixels[..., :3].astype(np.uint16) + towards) // 2
    return replace(layer, pixels=np.dstack([colour.astype(np.uint8), layer.pixels[..., 3]]))


def _add(shapes: Any, layer: Layer, scale: float) -> None:
    from pptx.oxml.ns import qn
    from pptx.util import Emu

    if layer.placement.similarity() is None:
        layer = layer.baked()
    across, down, degrees, mirrored = layer.placement.similarity() or (1.0, 1.0, 0.0, False)
    # A picture's box is given before its turn, which is about its middle.
    width, height = layer.size[0] * across, layer.size[1] * down
    x, y = layer.placement(layer.size[0] / 2, layer.size[1] / 2)
    box = [Emu(round(number * scale)) for number in (x - width / 2, y - height / 2, width, height)]
    image, opacity = layer.image, layer.opacity
    if abs(degrees) > 1e-6 and opacity < 1:
        # LibreOffice (7.4) draws a picture that is both turned and faded with a light fringe: fade its pixels instead.
        image.putalpha(image.getchannel("A").point([round(value * opacity) for value in range(256)]))
        opacity = 1.0
    png = io.BytesIO()
    save_png(image, png)
    picture = shapes.add_picture(png, *box)
    picture.name = layer.name
    picture.rotation = degrees
    element = picture._element
    if mirrored:
        element.spPr.find(qn("a:xfrm")).set("flipH", "1")
    about = element.find(f"{qn('p:nvPicPr')}/{qn('p:cNvPr')}")
    about.set("descr", layer.name)
    if not layer.visible:
        about.set("hidden", "1")
    if opacity < 1:
        blip = element.find(f"{qn('p:blipFill')}/{qn('a:blip')}")
        faded = blip.makeelement(qn("a:alphaModFix"), {"amt": str(round(opacity * 100_000))})
        blip.append(faded)
