"""Renders the training pictures once; the same seeds give the same pictures on every machine."""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import cast

import numpy as np

from recipes.mini.train.data import KINDS
from recipes.mini.train.settings import Settings
from recipes.mini.world import Kind, Tier, World

CHUNK = 500
_world = cache(World)


def render_pictures(settings: Settings, run: Path, workers: int) -> None:
    """Write `data/<kind>.npy` and `data/<kind>.jsonl` for every kind; a kind that is there already is kept.

    Training takes the seeds from 0 up; whoever measures takes seeds from 10 million up.
    """
    folder = run / "data"
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        for kind in KINDS:
            if (folder / f"{kind}.jsonl").exists():
                continue
            count, channels = settings.pictures[kind], 4 if kind == "foreground" else 3
            shape = (count, settings.size, settings.size, channels)
            array = np.lib.format.open_memmap(folder / f"{kind}.npy", "w+", np.uint8, shape)
            lines: list[str] = []
            chunks = [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
            results = pool.map(_chunk, repeat(settings.size), repeat(settings.tier), repeat(kind), chunks)
            for (start, stop), (pictures, captions) in zip(chunks, results, strict=True):
                array[start:stop] = pictures
                lines += [json.dumps(caption) for caption in captions]
                print(f"{kind}: {stop} of {count}", flush=True)
            array.flush()
            (folder / f"{kind}.jsonl").write_text("\n".join(lines) + "\n")


def _chunk(size: int, tier: Tier, kind: str, span: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    world = _world(size, tier)
    samples = [world.sample(seed, cast(Kind, kind)) for seed in range(*span)]
    pictures = [cast(np.ndarray, sample.foreground) if kind == "foreground" else sample.picture for sample in samples]
    return np.stack(pictures), [sample.caption for sample in samples]
