"""A stack as one picture for the eye: every layer in its place on a checkerboard, and the composite."""

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from layerfusion.layers.stack import LayerStack

TILE, GAP, CAPTION = 256, 16, 28
SQUARE = 12
LIGHT, DARK = 255, 222


def checkerboard(picture: Image.Image, square: int = SQUARE) -> Image.Image:
    """An RGBA picture over light grey squares of `square` pixels, as RGB."""
    y, x = np.mgrid[: picture.height, : picture.width] // square
    board = Image.fromarray(np.where((x + y) % 2 == 0, LIGHT, DARK).astype(np.uint8)).convert("RGBA")
    board.alpha_composite(picture.convert("RGBA"))
    return board.convert("RGB")


def contact_sheet(stack: LayerStack) -> Image.Image:
    """The composite, then the layers from the highest down, each at its place; RGB, one row, TILE pixels a picture."""
    alone = [
        (
            layer.name if layer.visible else f"{layer.name} (hidden)",
            LayerStack(*stack.size, [replace(layer, visible=True)]),
        )
        for layer in reversed(stack.layers)
    ]
    scale = TILE / max(stack.size)
    tile = (max(1, round(stack.width * scale)), max(1, round(stack.height * scale)))
    shown = [("composite", stack), *alone]
    sheet = Image.new("RGB", (GAP + len(shown) * (tile[0] + GAP), tile[1] + 2 * GAP + CAPTION), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for number, (name, one) in enumerate(shown):
        left = GAP + number * (tile[0] + GAP)
        sheet.paste(checkerboard(one.composite().resize(tile, Image.Resampling.LANCZOS)), (left, GAP))
        pen.rectangle((left - 1, GAP - 1, left + tile[0], GAP + tile[1]), outline=(190, 194, 204))
        pen.text((left, GAP + tile[1] + 8), name, fill=(40, 44, 56), font=font)
    return sheet
