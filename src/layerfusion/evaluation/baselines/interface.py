"""What a system that is compared with can do, and how it says what it lacks.

Pictures are (H, W, 3) float32 arrays in [0, 1], alphas and masks (H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from layerfusion.pipeline import LayerFusionPipeline

Task = Literal["generate", "extract", "harmonize", "complete"]


@dataclass(frozen=True)
class Missing:
    """A file that a system lacks on this machine.

    Attributes:
        file: Its name, as it is looked for in the folder that `prepare` was given.
        address: Where it comes from.
        licence: Of the weights.
        size: Roughly, in MB; None where its publisher states none.
        how: What else it takes to run it, a clause.
    """

    file: str
    address: str
    licence: str
    size: float | None = None
    how: str = ""

    def __str__(self) -> str:
        size = "size not stated" if self.size is None else f"about {self.size:g} MB"
        return f"missing: {self.file} ({size}, {self.licence}) from {self.address}" + (f"; {self.how}" * bool(self.how))


@dataclass(frozen=True)
class Scene:
    """What a system may know beside its picture; most know nothing of it.

    Attributes:
        prompt: Of the whole picture (harmonize), of the background (complete) or of the subject (extract).
        seed: Of systems that draw noise.
        background: (H, W, 3), the picture without its subject, for those that extract by difference.
    """

    prompt: str = ""
    seed: int = 0
    background: np.ndarray | None = None


class Extractor(Protocol):
    """Cuts the subject out of a blended picture."""

    def extract(self, picture: np.ndarray, scene: Scene) -> np.ndarray:
        """The subject's alpha (H, W), or all of it, (H, W, 4)."""


class Harmonizer(Protocol):
    """Fits a pasted foreground into its background."""

    def harmonize(self, composite: np.ndarray, mask: np.ndarray, scene: Scene) -> np.ndarray:
        """The picture in which what the mask shows (1 for the pasted part) belongs to the rest."""


class Completer(Protocol):
    """Fills in what a subject hides."""

    def complete(self, picture: np.ndarray, mask: np.ndarray, scene: Scene) -> np.ndarray:
        """The background alone, made anew where the mask is 1."""


class Generator(Protocol):
    """Makes triplets of prompts."""

    def generate(self, pairs: Sequence[tuple[str, str]], seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """`foreground` (N, H, W, 4), `background` and `blended` (N, H, W, 3) of N (foreground, background) prompts."""


@dataclass(frozen=True)
class System:
    """One system of a table.

    Attributes:
        name: As tables name it.
        tasks: What it can do once it is ready.
        licence: Of its code; "" where it is this project's own or a library's.
        source: The paper or repository it is from.
        prepare: (folder of files that the user has, pipeline for those systems that stand on a diffusion model) → an
            object with the methods of its tasks, or what is missing.
    """

    name: str
    tasks: tuple[Task, ...]
    licence: str
    source: str
    prepare: Callable[[Path, LayerFusionPipeline | None], Any | Missing]
