"""Sheets of labelled tiles, drawn with Pillow and its own font, so that they look the same everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

PAPER = (255, 255, 255)
INK = (32, 36, 44)
FAINT = (118, 124, 136)
LINE = (226, 229, 235)
MARGIN, GAP, CORNER = 24, 14, 6
# Anchors of a map from dark violet over red to pale yellow: even in lightness, so that it reads in grey as well.
HEAT = np.array(
    [
        (13, 8, 35),
        (66, 16, 104),
        (124, 30, 109),
        (183, 50, 85),
        (231, 91, 49),
        (250, 155, 44),
        (246, 216, 110),
        (252, 252, 220),
    ],
    dtype=np.float32,
)


@dataclass(frozen=True)
class Tile:
    """A picture with a label under it; one that is `marked` stands in a frame."""

    picture: Image.Image
    label: str
    marked: bool = False


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def heat_map(values: Tensor, size: tuple[int, int]) -> Image.Image:
    """(rows, columns) → a picture in false colours, the smallest and the largest value at the ends of the scale.

    Args:
        values: float, on the CPU.
        size: (width, height) of the picture; values are interpolated before they are coloured.
    """
    array = values.numpy().astype(np.float32)
    low, high = array.min(), array.max()
    array = (array - low) / (high - low) if high > low else np.zeros_like(array)
    smooth = np.asarray(Image.fromarray(array).resize(size, Image.Resampling.BICUBIC))
    place = np.clip(smooth, 0, 1)[..., None] * (len(HEAT) - 1)
    below = np.minimum(place.astype(int), len(HEAT) - 2)[..., 0]
    share = place - below[..., None]
    return Image.fromarray((HEAT[below] * (1 - share) + HEAT[below + 1] * share).round().astype(np.uint8))


def grey_map(values: Tensor, size: tuple[int, int]) -> Image.Image:
    """(rows, columns) in [0, 1] → a grey picture, black at 0 and white at 1, of this (width, height)."""
    grey = Image.fromarray((values.clamp(0, 1).numpy() * 255).round().astype(np.uint8))
    return grey.resize(size, Image.Resampling.BICUBIC).convert("RGB")


def on_checkerboard(picture: Image.Image, square: int = 12) -> Image.Image:
    """An RGBA picture over a checkerboard; any other as RGB."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    across, down = np.arange(picture.width) // square, np.arange(picture.height) // square
    light = (across[None, :] + down[:, None]) % 2 == 0
    board = Image.fromarray(np.where(light[..., None], np.uint8(255), np.uint8(214)).repeat(3, axis=2))
    board.paste(picture, mask=picture.getchannel("A"))
    return board


def fit(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture at the size of its tile, with round corners."""
    corners = Image.new("L", (size[0] * 4, size[1] * 4), 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, size[0] * 4 - 1, size[1] * 4 - 1), CORNER * 4, fill=255)
    rounded = Image.new("RGB", size, PAPER)
    resized = on_checkerboard(picture.resize(size, Image.Resampling.LANCZOS))
    rounded.paste(resized, mask=corners.resize(size, Image.Resampling.LANCZOS))
    return rounded


def sheet(
    rows: Sequence[Sequence[Tile]],
    tile: tuple[int, int],
    title: str,
    subtitle: str = "",
    row_labels: Sequence[str] = (),
) -> Image.Image:
    """Rows of tiles under a title.

    Args:
        rows: The tiles, row by row; rows may be of different lengths.
        tile: (width, height) of every tile in pixels.
        title, subtitle: Over the tiles.
        row_labels: One for each row, to its left; empty strings take no place of their own.
    """
    label_height, indent = 26, 104 if any(row_labels) else 0
    top = MARGIN + 30 + (26 if subtitle else 0) + 10
    width = max(
        MARGIN * 2 + indent + max(len(row) for row in rows) * (tile[0] + GAP) - GAP,
        MARGIN * 2 + round(max(font(22).getlength(title), font(15).getlength(subtitle))),
    )
    height = top + len(rows) * (tile[1] + label_height + GAP) - GAP + MARGIN
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN - 4), title, INK, font(22))
    draw.text((MARGIN, MARGIN + 28), subtitle, FAINT, font(15))
    for number, row in enumerate(rows):
        y = top + number * (tile[1] + label_height + GAP)
        if number < len(row_labels):
            draw.text((MARGIN, y + tile[1] / 2), row_labels[number], INK, font(16), anchor="lm")
        for column, each in enumerate(row):
            x = MARGIN + indent + column * (tile[0] + GAP)
            canvas.paste(fit(each.picture, tile), (x, y))
            right, bottom = x + tile[0] - 1, y + tile[1] - 1
            if each.marked:
                draw.rounded_rectangle((x - 3, y - 3, right + 3, bottom + 3), CORNER + 3, outline=INK, width=3)
            else:
                draw.rounded_rectangle((x, y, right, bottom), CORNER, outline=LINE)
            _label(draw, each.label, x, bottom + 7, tile[0])
    return canvas


def _label(draw: ImageDraw.ImageDraw, text: str, x: int, y: int, width: int) -> None:
    """A label in one line under a tile: smaller where it is long, shortened where it is longer still."""
    size = next((size for size in (15, 14, 13, 12) if font(size).getlength(text) <= width), 12)
    while len(text) > 1 and font(size).getlength(text) > width:
        text = text[:-2] + "…"
    draw.text((x + width / 2, y), text, INK, font(size), anchor="ma")
