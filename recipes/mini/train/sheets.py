"""Sample sheets: what a stage makes, as one PNG to look at."""

from pathlib import Path

from torch import Tensor

from layerfusion.drawing import Tile, picture_of, sheet
from layerfusion.files import atomic_write


def save_sheet(path: Path, rows: list[Tensor], columns: int | None = None) -> None:
    """Write pictures (B, 3 or 4, H, W) in [0, 1], a row each; RGBA (alpha last) is shown over a checkerboard."""
    height, width = rows[0].shape[2:]
    tiles = [[Tile(picture_of(one.movedim(0, -1).numpy())) for one in row.detach().float().cpu()] for row in rows]
    shown = [row[: columns or min(map(len, tiles))] for row in tiles]
    with atomic_write(path) as temporary:
        sheet(shown, (width, height)).save(temporary)
