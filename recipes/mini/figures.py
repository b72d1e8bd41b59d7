"""Figures of the report: labelled sheets of pictures, and the scatter of gains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from layerfusion.files import atomic_write
from recipes.mini.world.preview import checkerboard

matplotlib.use("Agg")
from matplotlib import pyplot as plt

GAP, LABEL, INK, PAPER = 6, 18, (40, 44, 52), (255, 255, 255)


def cell(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3 or 4) in [0, 1] as (H, W, 3) uint8; alpha over grey checks."""
    values = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    return checkerboard(values) if values.shape[-1] == 4 else values


def sheet(
    rows: Sequence[Sequence[np.ndarray]],
    path: Path,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    scale: int = 1,
) -> None:
    """Write rows of equal pictures as one JPEG, with names over the columns and before the rows."""
    side = rows[0][0].shape[0] * scale
    font = ImageFont.load_default(size=13)
    left = max((int(font.getlength(label)) + 2 * GAP for label in labels), default=GAP)
    top = LABEL * max((name.count("\n") + 1 for name in columns), default=0) + GAP
    size = (left + max(map(len, rows)) * (side + GAP), top + len(rows) * (side + GAP))
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    for r, row in enumerate(rows):
        y = top + r * (side + GAP)
        if labels:
            draw.text((left - GAP, y + side / 2), labels[r], INK, font, anchor="rm")
        for c, picture in enumerate(row):
            part = Image.fromarray(cell(picture)).resize((side, side), Image.Resampling.LANCZOS)
            image.paste(part, (left + c * (side + GAP), y))
    for c, name in enumerate(columns):
        draw.text((left + c * (side + GAP) + side / 2, top - GAP), name, INK, font, anchor="md", align="center")
    with atomic_write(path) as temporary:
        image.save(temporary, "JPEG", quality=88, subsampling=0, optimize=True)
    print(path)


def gains(panels: Sequence[tuple[str, np.ndarray]], path: Path) -> None:
    """Scatter of measured over true gain, one panel for each (title, points (scenes, 3, 2))."""
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.5), sharey=True, layout="constrained")
    for axis, (title, points) in zip(np.atleast_1d(axes), panels, strict=True):
        for channel, colour in enumerate(("#d1495b", "#3c9d5d", "#3066be")):
            axis.scatter(points[:, channel, 0], points[:, channel, 1], s=18, c=colour, alpha=0.8, linewidths=0)
        axis.plot((0.2, 1.2), (0.2, 1.2), c="#999999", lw=1, ls="--")
        axis.set(title=title, xlabel="true gain of the scene's light", xlim=(0.2, 1.3), ylim=(0, 1.8))
        axis.grid(alpha=0.25)
    np.atleast_1d(axes)[0].set_ylabel("measured in the picture")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)
    print(path)
