"""What the commands of the figures share: a model, its triplets one after the other, and how results are put down."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from layerfusion import LayerFusionConfig, LayerFusionOutput, LayerFusionPipeline
from layerfusion.evaluation import paper
from layerfusion.evaluation.measures import bootstrap
from layerfusion.files import atomic_write
from layerfusion.models import load_pipeline, vocabulary_of
from recipes.mini.kept import fingerprint_of
from recipes.paper.kept import Measure, Pictures, heading, keep, write_page

STREAMS = ("foreground", "background", "blended", "composite")


@dataclass(frozen=True)
class Case:
    """A foreground's and a background's prompt, and a seed."""

    prompts: tuple[str, str]
    seed: int


@dataclass(frozen=True)
class Bench:
    """A model, and what a command was asked for.

    Attributes:
        any_words: Whether the model takes any words; the embedded one is given stand-ins for the paper's prompts.
        seeds: Of every prompt; the first is drawn.
        batch: Triplets at once.
        pictures: Where triplets are kept.
        out: The folder of the documentation.
    """

    pipe: LayerFusionPipeline
    model: str
    any_words: bool
    seeds: tuple[int, ...]
    batch: int
    pictures: Pictures
    out: Path

    @classmethod
    def opened(cls, about: str, name: str, seeds: int, arguments: Sequence[str] | None = None) -> Bench:
        """From the command line.

        Args:
            about: The command's own description.
            name: Under which its triplets are kept.
            seeds: How many seeds of every prompt, where the command line does not say.
            arguments: What of the command line is left to read; all of it where None.
        """
        parser = argparse.ArgumentParser(description=about)
        parser.add_argument("--model", default="mini", help="a preset's name, or a model's folder or file")
        parser.add_argument("--seed", type=int, default=7, help="the first; it is the one that is drawn")
        parser.add_argument(
            "--seeds", type=int, default=seeds, help="of every prompt, for the figures beside the sheet"
        )
        parser.add_argument("--batch", type=int, default=4, help="triplets at once")
        parser.add_argument("--work", type=Path, default=Path("build/evidence"), help="where triplets are kept")
        parser.add_argument("--out", type=Path, default=Path("docs"), help="the folder of the documentation")
        args = parser.parse_args(arguments)
        pipe = load_pipeline(args.model)
        pipe.set_progress_bar_config(disable=True)
        any_words = vocabulary_of(args.model) is None
        numbers = tuple(range(args.seed, args.seed + args.seeds))
        pictures = Pictures(args.work / name, fingerprint_of(args.model))
        return cls(pipe, args.model, any_words, numbers, args.batch, pictures, args.out)

    def cases(self, figure: str) -> list[Case]:
        """Every prompt of a figure with every seed, prompt after prompt."""
        return [Case(pair, seed) for pair in paper.figure(figure).pairs(self.any_words) for seed in self.seeds]

    def run(self, cases: Sequence[Case], config: LayerFusionConfig, **more: Any) -> LayerFusionOutput:
        """The triplets of the cases, with the model's own steps, guidance and size; each has its own generator."""
        output = self.pipe(
            [case.prompts[0] for case in cases],
            [case.prompts[1] for case in cases],
            generator=[torch.Generator().manual_seed(case.seed) for case in cases],
            config=config,
            **more,
        )
        assert isinstance(output, LayerFusionOutput)
        return output

    def triplets(self, name: str, cases: Sequence[Case], config: LayerFusionConfig) -> dict[str, np.ndarray]:
        """`STREAMS` of the cases, (N, H, W, C) in [0, 1]; those that are kept are not made again."""

        def make(some: Sequence[Case]) -> dict[str, np.ndarray]:
            output = self.run(some, config, output_type="np")
            return {stream: np.asarray(output[stream]) for stream in STREAMS}

        kept = Pictures(self.pictures.folder, *self.pictures.settings, config)
        return kept.of(name, cases, make, self.batch)

    def put_down(
        self, name: str, title: str, about: str, rows: dict[str, dict[str, Measure]], sheets: dict[str, Image.Image]
    ) -> tuple[dict[str, Any], list[str], list[str]]:
        """Keep the results and the pictures of a figure.

        Returns:
            The results as they are kept, the first lines of the page, and what has fallen since the last run.
        """
        path = self.out / "evidence" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        lost = keep(path, rows, {"model": self.model, "seeds": list(self.seeds)})
        for file, picture in sheets.items():
            at = self.out / "images" / "evidence" / f"{file}.webp"
            at.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(at) as temporary:
                picture.save(temporary, "WEBP", quality=90, method=6)
        result = json.loads(path.read_text(encoding="utf-8"))
        return result, heading(title, f"{about} Model `{self.model}`.", result), lost

    def end(self, name: str, lines: Sequence[str], lost: Sequence[str]) -> None:
        """Write the page, and leave with 1 where something has fallen."""
        write_page(self.out / "evidence" / f"{name}.md", lines)
        print("\n".join(lost))
        sys.exit(1 if lost else 0)


def mean(values: np.ndarray, better: str = "high") -> Measure:
    """The mean of what is known with its bootstrap interval; NaN where nothing is."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {"value": float("nan"), "low": float("nan"), "high": float("nan"), "better": better, "cases": 0}
    low, high = bootstrap(lambda at: float(known[at].mean()), len(known))
    return {"value": float(known.mean()), "low": low, "high": high, "better": better, "cases": len(known)}
