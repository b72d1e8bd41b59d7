"""PowerPoint, by python-pptx: one slide of the canvas's shape, one picture a layer, lowest first.

Moving, scaling, turning, flipping and hiding stay editable in PowerPoint, and so does the opacity of what is not
turned; only a slanted layer is baked. PowerPoint has no blend modes: a layer that is not normal is written as normal,
with a warning.
"""

import io
import warnings
from pathlib import Path
from typing import Any

from layerfusion.errors import LayerFusionError
from layerfusion.layers.stack import Layer, LayerStack

LONG_SIDE = 12_192_000  # EMU (914,400 an inch): the width of PowerPoint's own wide slide
SHORTEST, LONGEST = 914_400, 51_206_400  # what PowerPoint accepts


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
    presentation.slide_width, presentation.slide_height = (Emu(round(side * scale)) for side in stack.size)
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])  # the blank one
    for layer in stack:
        if layer.blend != "normal":
            warnings.warn(
                f"PowerPoint has no {layer.blend} mode; layer {layer.name!r} is written as normal.", stacklevel=2
            )
        _add(slide, layer, scale)
    presentation.save(str(path))


def _add(slide: Any, layer: Layer, scale: float) -> None:
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
    image.save(png, "PNG")
    picture = slide.shapes.add_picture(png, *box)
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
