"""Rendered pictures on disk: arrays that map into memory, captions beside them."""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layerfusion.errors import LayerFusionError

KINDS = ("composite", "background", "foreground")
SHARES = {"composite": 0.45, "background": 0.25, "foreground": 0.3}
"""Of a batch of pictures."""


class Pictures:
    """Pictures of one kind: `<kind>.npy`, (N, size, size, 3 or 4) uint8, and `<kind>.jsonl` with a caption a line."""

    def __init__(self, folder: Path, kind: str) -> None:
        path = folder / f"{kind}.npy"
        if not path.exists():
            raise LayerFusionError(f"{path} is missing; run `python -m recipes.mini.train render` first.")
        self.kind = kind
        self.array: NDArray[np.uint8] = np.load(path, mmap_mode="r")
        self.captions = read_captions(folder, kind)

    def __len__(self) -> int:
        return len(self.array)

    def take(self, indices: NDArray[np.int64]) -> Tensor:
        """(B, C, size, size) float in [0, 1]; RGBA pictures keep their alpha as last channel."""
        return torch.from_numpy(self.array[indices]).movedim(-1, 1).float() / 255


def read_captions(folder: Path, kind: str) -> list[str]:
    """The caption of every picture of a kind."""
    return [json.loads(line) for line in (folder / f"{kind}.jsonl").read_text().splitlines()]


def over_grey(rgba: Tensor) -> Tensor:
    """RGBA (B, 4, H, W), alpha last, over mid-grey: (B, 3, H, W). To the VAE this is (2 RGB - 1) * alpha."""
    return 0.5 + (rgba[:, :3] - 0.5) * rgba[:, 3:]


def choose(pictures: dict[str, Pictures], batch: int, generator: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    """Indices of a batch over all kinds, by kind."""
    counts = generator.multinomial(batch, list(SHARES.values()))
    return {
        kind: np.sort(generator.integers(len(pictures[kind]), size=count))
        for kind, count in zip(SHARES, counts, strict=True)
    }


def mixture(pictures: dict[str, Pictures], chosen: dict[str, NDArray[np.int64]]) -> Tensor:
    """The chosen pictures, objects on grey, as RGB (B, 3, size, size) in [0, 1]."""
    parts = {kind: pictures[kind].take(indices) for kind, indices in chosen.items()}
    return torch.cat([over_grey(part) if kind == "foreground" else part for kind, part in parts.items()])
