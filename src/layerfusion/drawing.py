"""The one contact sheet, and what stands on it: pictures on a checkerboard, maps in false colours or in grey.

Drawn with NumPy and Pillow and its own font, so that sheets look the same everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

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
    label: str = ""
    marked: bool = False


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def picture_of(values: ArrayLike) -> Image.Image:
    """(height, width, 3 or 4) or (height, width), floats in [0, 1] → a picture; what lies outside is clipped."""
    return Image.fromarray((np.clip(values, 0, 1) * 255).round().astype(np.uint8))


def heat_map(values: ArrayLike, size: tuple[int, int]) -> Image.Image:
    """(rows, columns) → a picture in false colours, the smallest and the largest value at the ends of the scale.

    Args:
        values: Floats.
        size: (width, height) of the picture; values are interpolated before they are coloured.
    """
    array = np.asarray(values, dtype=np.float32)
    low, high = array.min(), array.max()
    array = (array - low) / (high - low) if high > low else np.zeros_like(array)
    smooth = np.asarray(Image.fromarray(array).resize(size, Image.Resampling.BICUBIC))
    on_scale = np.clip(smooth, 0, 1)[..., None] * (len(HEAT) - 1)
    below = np.minimum(on_scale.astype(int), len(HEAT) - 2)[..., 0]
    share = on_scale - below[..., None]
    return Image.fromarray((HEAT[below] * (1 - share) + HEAT[below + 1] * share).round().astype(np.uint8))


def grey_map(values: ArrayLike, size: tuple[int, int]) -> Image.Image:
    """(rows, columns) in [0, 1] → a grey picture, black at 0 and white at 1, of this (width, height)."""
    return picture_of(values).resize(size, Image.Resampling.BICUBIC).convert("RGB")


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
    title: str = "",
    subtitle: str = "",
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> Image.Image:
    """Rows of tiles under a title.

    Args:
        rows: The tiles, row by row; rows may be of different lengths.
        tile: (width, height) of every tile in pixels.
        title, subtitle: Over the tiles.
        row_labels: One for each row, to its left.
        column_labels: One for each column, over the first row; lines are broken where a label breaks them.

    What is not given, or empty everywhere, takes no room.
    """
    heading = (34 if title else 0) + (26 if subtitle else 0)
    column_lines = max((label.count("\n") + 1 for label in column_labels), default=0)
    top = MARGIN + heading + (6 if heading else 0) + 18 * column_lines
    indent = max((round(font(16).getlength(label)) + GAP for label in row_labels if label), default=0)
    across = tile[0] + GAP
    down = tile[1] + GAP + (26 if any(each.label for row in rows for each in row) else 0)
    longest = max(font(22).getlength(title), font(15).getlength(subtitle))
    width = 2 * MARGIN + max(indent + max(map(len, rows)) * across - GAP, round(longest))
    canvas = Image.new("RGB", (width, top + len(rows) * down - GAP + MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN - 4), title, INK, font(22))
    draw.text((MARGIN, MARGIN + 28), subtitle, FAINT, font(15))
    lettering = _fitting([line for label in column_labels for line in label.split("\n")], tile[0])
    for column, label in enumerate(column_labels):
        x = MARGIN + indent + column * across + tile[0] / 2
        draw.text((x, top - 6), label, INK, lettering, anchor="md", align="center")
    for number, row in enumerate(rows):
        y = top + number * down
        if number < len(row_labels):
            draw.text((MARGIN, y + tile[1] / 2), row_labels[number], INK, font(16), anchor="lm")
        for column, each in enumerate(row):
            _draw_tile(canvas, draw, each, (MARGIN + indent + column * across, y), tile)
    return canvas


def _draw_tile(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, each: Tile, at: tuple[int, int], size: tuple[int, int]
) -> None:
    canvas.paste(fit(each.picture, size), at)
    (left, top), right, bottom = at, at[0] + size[0] - 1, at[1] + size[1] - 1
    if each.marked:
        draw.rounded_rectangle((left - 3, top - 3, right + 3, bottom + 3), CORNER + 3, outline=INK, width=3)
    else:
        draw.rounded_rectangle((left, top, right, bottom), CORNER, outline=LINE)
    _label(draw, each.label, left, bottom + 7, size[0])


def _label(draw: ImageDraw.ImageDraw, text: str, x: int, y: int, width: int) -> None:
    """A label in one line under a tile: smaller where it is long, shortened where it is longer still."""
    lettering = _fitting([text], width)
    while len(text) > 1 and lettering.getlength(text) > width:
        text = text[:-2] + "…"
    draw.text((x + width / 2, y), text, INK, lettering, anchor="ma")


def _fitting(lines: Sequence[str], width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest lettering in which every line fits, or the smallest there is."""
    sizes = (size for size in (15, 14, 13, 12) if all(font(size).getlength(line) <= width for line in lines))
    return font(next(sizes, 12))
