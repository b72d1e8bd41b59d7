"""A stack as one picture for the eye: the composite, and every layer in its place on a checkerboard."""

from dataclasses import replace

from PIL import Image

from layerfusion.drawing import Tile, sheet
from layerfusion.layers.stack import LayerStack

TILE = 256


def contact_sheet(stack: LayerStack) -> Image.Image:
    """The composite, then the layers from the highest down, each at its place; RGB, one row, TILE pixels a picture."""
    tiles = [Tile(stack.composite(), "composite")]
    for layer in reversed(stack.layers):
        alone = LayerStack(*stack.size, [replace(layer, visible=True)])
        tiles.append(Tile(alone.composite(), layer.name if layer.visible else f"{layer.name} (hidden)"))
    scale = TILE / max(stack.size)
    return sheet([tiles], (max(1, round(stack.width * scale)), max(1, round(stack.height * scale))))
