"""Sample sheets: what a stage makes, as one PNG to look at."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from layerfusion.files import atomic_write


def save_sheet(path: Path, rows: list[Tensor], columns: int | None = None) -> None:
    """Write pictures (B, 3 or 4, H, W) in [0, 1], a row each; RGBA (alpha last) is shown over a chequerboard."""
    shown = [_over_board(row.detach().float().cpu()) for row in rows]
    count = columns or min(len(row) for row in shown)
    grid = torch.cat([torch.cat(list(row[:count]), dim=2) for row in shown], dim=1)
    pixels = (grid.clamp(0, 1).movedim(0, -1).numpy() * 255).round().astype(np.uint8)
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary)


def _over_board(pictures: Tensor) -> Tensor:
    if pictures.shape[1] == 3:
        return pictures
    height, width = pictures.shape[2:]
    rows, columns = torch.arange(height)[:, None] // 8, torch.arange(width)[None] // 8
    board = 0.55 + 0.25 * ((rows + columns) % 2).float()
    return pictures[:, :3] * pictures[:, 3:] + board * (1 - pictures[:, 3:])
