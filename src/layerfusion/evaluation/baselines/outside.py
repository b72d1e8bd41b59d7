"""Systems whose code is not this project's to copy: each runs in an environment of its own, by a command.

The user's folder of weights has a folder for each, with the published file and a `command.txt` of one line, such as

    /opt/pct-net/bin/python run.py --image {picture} --mask {mask} --weights PCTNet_ViT.pth --out {result}

which reads PNGs and writes the PNG `{result}`. It is run there once for each picture; extract is given `{picture}`,
harmonize `{picture}` and `{mask}`, generate `{prompt}` and `{seed}`.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from layerfusion.drawing import picture_of
from layerfusion.errors import LayerFusionError, told
from layerfusion.evaluation.baselines.interface import Missing, Scene, System, Task
from layerfusion.pipeline import LayerFusionPipeline

COMMAND = "command.txt"
MINUTES = 10  # for one picture


@dataclass(frozen=True)
class Outside:
    """A system's command, and the folder that it is run in."""

    name: str
    folder: Path

    def extract(self, picture: np.ndarray, scene: Scene) -> np.ndarray:
        return _array(self._run("L", picture=picture_of(picture)))

    def harmonize(self, composite: np.ndarray, mask: np.ndarray, scene: Scene) -> np.ndarray:
        return _array(self._run("RGB", picture=picture_of(composite), mask=_grey(mask)))

    def generate(self, pairs: Sequence[tuple[str, str]], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """Foregrounds alone: none of these systems makes the other layers."""
        each = zip(pairs, seeds, strict=True)
        return {"foreground": np.stack([_array(self._run("RGBA", prompt=f, seed=str(seed))) for (f, _), seed in each])}

    def _run(self, mode: str, **given: Image.Image | str) -> Image.Image:
        """What the command makes of pictures and words.

        Raises:
            LayerFusionError: it fails, takes too long, or writes no picture.
        """
        line = (self.folder / COMMAND).read_text(encoding="utf-8").strip()
        with tempfile.TemporaryDirectory() as temporary:
            values = {"result": str(Path(temporary) / "result.png")}
            for name, value in given.items():
                values[name] = value if isinstance(value, str) else str(Path(temporary) / f"{name}.png")
                if not isinstance(value, str):
                    value.save(values[name])
            command = [_filled(word, values) for word in shlex.split(line)]
            try:
                done = subprocess.run(
                    command, cwd=self.folder, capture_output=True, text=True, timeout=60 * MINUTES, check=False
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise LayerFusionError(
                    f"{self.name} did not run: {told(error)}; check {self.folder / COMMAND}."
                ) from error
            if done.returncode or not Path(values["result"]).exists():
                last = (done.stderr.strip().splitlines() or ["it wrote no picture"])[-1]
                raise LayerFusionError(f"{self.name} failed: {last}; check {self.folder / COMMAND}.")
            with Image.open(values["result"]) as picture:
                return picture.convert(mode)


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _grey(mask: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * mask).round().astype(np.uint8), "L")


def _array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, np.float32) / 255


def _outside(name: str, tasks: tuple[Task, ...], licence: str, source: str, weights: Missing) -> System:
    """A system whose folder is its name in small letters."""

    def prepare(folder: Path, pipeline: LayerFusionPipeline | None) -> Any | Missing:
        own = folder / name.lower().replace(" ", "-")
        missing = [each for each in (weights.file, COMMAND) if not (own / each).exists()]
        return (
            Missing(weights.file, weights.address, weights.licence, weights.size, HOW)
            if missing
            else Outside(name, own)
        )

    return System(name, tasks, licence, source, prepare)


HOW = "its own code runs it, by a command.txt beside it"
MATTING_ANYTHING = _outside(
    "Matting Anything",
    ("extract",),
    "MIT",
    "Li et al. 2024",
    Missing("mam_vitb.pth", "https://github.com/SHI-Labs/Matting-Anything", "MIT"),
)
HARMONIZER = _outside(
    "Harmonizer",
    ("harmonize",),
    "CC BY-NC-SA 4.0",
    "Ke et al. 2022",
    Missing("harmonizer.pth", "https://github.com/ZHKKKe/Harmonizer", "CC BY-NC-SA 4.0", 20),
)
INR = _outside(
    "INR-Harmonization",
    ("harmonize",),
    "Apache-2.0",
    "Chen et al. 2023",
    Missing("Resolution_RAW_iHarmony4.pth", "https://github.com/WindVChen/INR-Harmonization", "Apache-2.0"),
)
PCT_NET = _outside(
    "PCT-Net",
    ("harmonize",),
    "MPL-2.0",
    "Guerreiro et al. 2023",
    Missing("PCTNet_ViT.pth", "https://github.com/rakutentech/PCT-Net-Image-Harmonization", "MPL-2.0"),
)
ALFIE = _outside(
    "Alfie",
    ("generate",),
    "none stated",
    "Quattrini et al. 2024",
    Missing("PixArt-Sigma-XL-2-1024-MS", "https://github.com/aimagelab/Alfie", "OpenRAIL++ (PixArt-Σ)"),
)
