"""A triplet of the embedded model beside three pictures of diffusers' SDXL pipeline made with the same parts.

    python -m benchmarks.triplet

Whole calls, from prompts to PIL pictures, in turns in one run: each turn gives one ratio, so that what else the machine
does falls on both sides. Medians of the ratios with 95 % bootstrap intervals, by wall clock and by processor time. The
stock pipeline makes its three pictures in one batch, with the same size, steps and guidance. Kept by machine and
commit in `benchmarks/results/history`; a ratio that has grown by a tenth since the last commit fails the run.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from torch import Generator

from benchmarks.machine import remember
from layerfusion import Foreground, LayerFusionConfig, LayerFusionPipeline
from layerfusion.allocation import keep_freed_memory
from layerfusion.errors import LayerFusionError
from layerfusion.evaluation.measures import bootstrap
from layerfusion.models import load_pipeline

FOREGROUND, BACKGROUND = "a snowman", "a beach at night"
Runs = dict[str, Callable[[], Any]]


def stock_of(pipeline: LayerFusionPipeline) -> StableDiffusionXLPipeline:
    """diffusers' own pipeline on the same parts."""
    parts = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "scheduler")
    stock = StableDiffusionXLPipeline(**{part: getattr(pipeline, part) for part in parts}, add_watermarker=False)
    stock.set_progress_bar_config(disable=True)
    return stock


def generators(count: int) -> list[Generator]:
    return [Generator().manual_seed(7 + index) for index in range(count)]


def triplet(pipeline: LayerFusionPipeline, count: int = 1, **settings: Any) -> Callable[[], Any]:
    """A call that makes `count` triplets at once."""
    return lambda: pipeline(
        FOREGROUND, BACKGROUND, num_images_per_prompt=count, generator=generators(count), **settings
    )


def modes(pipeline: LayerFusionPipeline, few_step: LayerFusionPipeline | None) -> Runs:
    """Three stock pictures, and a triplet in every mode that has a bar."""
    stock, own = stock_of(pipeline), pipeline.defaults
    width, height = own.size or (None, None)
    exact = own.config.exact()
    runs: Runs = {
        "three pictures": lambda: stock(
            [FOREGROUND, BACKGROUND, BACKGROUND],
            width=width,
            height=height,
            num_inference_steps=own.steps,
            guidance_scale=own.guidance_scale,
            generator=generators(3),
        ),
        "exact": triplet(pipeline, config=exact, transparency_passes=8),
        "the paper's": triplet(pipeline, config=LayerFusionConfig.paper(), transparency_passes=8),
        "default": triplet(pipeline),
        "prior passes in the first 30 %": triplet(
            pipeline, config=replace(exact, prior_range=(0, 0.3)), transparency_passes=8
        ),
        "guidance in the first 60 %": triplet(
            pipeline, config=replace(exact, guidance_range=(0, 0.6)), transparency_passes=8
        ),
        "one transparency pass": triplet(pipeline, config=exact, transparency_passes=1),
    }
    if few_step is not None:
        runs |= {"few steps": triplet(few_step)}
    return runs


def growth(pipeline: LayerFusionPipeline) -> Runs:
    """One triplet of the model's own size, more and larger ones, and one with several foregrounds."""
    runs: Runs = {"one triplet": triplet(pipeline)}
    runs |= {f"batch of {count}": triplet(pipeline, count) for count in (2, 4, 8)}
    runs |= {f"{side} pixels": triplet(pipeline, width=side, height=side) for side in (128, 384, 512)}
    runs |= {f"{count} in boxes": boxed(pipeline, count) for count in (1, 2, 3)}
    return runs


def boxed(pipeline: LayerFusionPipeline, count: int) -> Callable[[], Any]:
    """A call that makes one triplet with so many foregrounds, side by side."""
    wide = 1 / count
    each = [Foreground(FOREGROUND, box=(number * wide, 0.3, wide, 0.6)) for number in range(count)]
    return lambda: pipeline(foregrounds=each, background_prompt=BACKGROUND, generator=generators(1))


def measured(runs: Runs, rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds of each, and its ratio to the first: medians over the rounds, with an interval."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            if turn:  # the first warms up
                taken[name].append((time.perf_counter() - wall, time.process_time() - processor))
    seconds = {name: np.array(pairs) for name, pairs in taken.items()}
    first = next(iter(seconds.values()))
    return {name: summary(pairs, pairs / first) for name, pairs in seconds.items()}


def summary(seconds: np.ndarray, ratios: np.ndarray) -> dict[str, Any]:
    """Both (rounds, 2), by wall clock and by processor time."""
    row: dict[str, Any] = {"seconds": round(float(np.median(seconds[:, 0])), 3)}
    for column, name in enumerate(("ratio", "processor ratio")):
        row[name] = _median(ratios[:, column])
    return row


def _median(of: np.ndarray) -> list[float]:
    """With its interval."""
    interval = bootstrap(lambda at: float(np.median(of[at])), len(of))
    return [round(float(value), 3) for value in (np.median(of), *interval)]


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = []
    for name, row in rows.items():
        (wall, *ends), (processor, *_) = row["ratio"], row["processor ratio"]
        lines.append(
            f"{name:30} {row['seconds']:7.2f} s   {wall:.2f} ({ends[0]:.2f} to {ends[1]:.2f})   "
            f"by processor time {processor:.2f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="measured turns, after one that warms up")
    parser.add_argument("--growth", action="store_true", help="batches, sizes and foregrounds instead of modes")
    parser.add_argument("--only", help="names to measure beside the first, separated by semicolons")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    torch.set_grad_enabled(False)
    pipeline = load_pipeline(device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    if options.growth:
        runs = growth(pipeline)
    else:
        few_step = None
        with suppress(LayerFusionError):  # not every model has a few-step form
            few_step = load_pipeline(device="cpu", few_step=True)
            few_step.set_progress_bar_config(disable=True)
        runs = modes(pipeline, few_step)
    if options.only:
        first, wanted = next(iter(runs)), options.only.split(";")
        runs = {name: run for name, run in runs.items() if name in (first, *wanted)}
    rows = measured(runs, options.rounds)
    print(table(rows))
    worse = remember("growth" if options.growth else "triplet", rows)
    for sentence in worse:
        print(sentence)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
