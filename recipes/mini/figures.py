"""Figures of the report: labelled sheets of pictures, and the scatter of gains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from layerfusion import drawing
from layerfusion.files import atomic_write

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def sheet(
    rows: Sequence[Sequence[np.ndarray]],
    path: Path,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    scale: int = 1,
) -> None:
    """Write rows of equal pictures (H, W, 3 or 4) in [0, 1] as one JPEG, with names over columns and before rows."""
    side = rows[0][0].shape[0] * scale
    tiles = [[drawing.Tile(drawing.picture_of(picture)) for picture in row] for row in rows]
    image = drawing.sheet(tiles, (side, side), row_labels=labels, column_labels=columns)
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
