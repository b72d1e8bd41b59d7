"""Given pictures, measured on the embedded model: `python -m recipes.mini.given`.

Each task of `docs/given.md` on fresh renders, beside the naive way on the same cases: the base model alone, denoising
within a mask (`base alone`), which for a stack of layers starts from their composite (SDEdit). What was generated is
kept, so that a run may be left and resumed. Writes `given.json` and a sheet for each task.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from benchmarks.machine import conditions
from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.drawing import Tile, sheet
from layerfusion.evaluation.measures import (
    background_kept,
    beyond,
    bootstrap,
    colour_gain,
    darkening,
    fit,
    interior,
    overlap,
    wholeness,
)
from layerfusion.files import atomic_write
from layerfusion.models import load_pipeline
from layerfusion.relighting import relight
from recipes.mini.checks import true_gain
from recipes.mini.kept import digest, fingerprint_of
from recipes.mini.layered import laid_over, psnr_inside, reinhard
from recipes.mini.page import commit
from recipes.mini.probes import NOTHING, Probe
from recipes.mini.report import ready_probe
from recipes.mini.triplets import INDEPENDENT, Case, Triplets, pixels
from recipes.mini.world import World

SEEDS = 92_000_000
KEPT = ("foreground", "background", "blended", "composite")
SHADED = 0.08  # darkening that is a shadow, in a tenth of the pixels below the subject


@dataclass(frozen=True)
class Scenes:
    """N rendered composites whose layers are known, in [0, 1], and what they show."""

    cases: tuple[Case, ...]
    foreground: np.ndarray
    background: np.ndarray
    picture: np.ndarray


@dataclass(frozen=True)
class Bench:
    """What every task is measured with."""

    pipe: LayerFusionPipeline
    world: World
    probe: Probe
    scenes: Scenes
    config: LayerFusionConfig | None
    batch: int
    passes: int
    work: Path

    def run(self, alone: bool = False, **pictures: np.ndarray | float) -> Triplets:
        """The pipeline on every case with these pictures; `alone`, the base model by itself, asked for both at once."""
        parts = []
        for start in range(0, len(self.scenes.cases), self.batch):
            cases = self.scenes.cases[start : start + self.batch]
            kept = self.work / f"{digest((cases, self.config, self.passes, alone, sorted(pictures)))}.safetensors"
            if kept.exists():
                parts.append([np.float32(load_file(kept)[name]) / 255 for name in KEPT])
                continue
            prompts = [case.prompts(self.world) for case in cases]
            places = [f"{f} in {b}" if alone else b for f, b in prompts]
            given: dict[str, Any] = {
                k: v if isinstance(v, float) else list(v[start : start + self.batch]) for k, v in pictures.items()
            }
            out = self.pipe(
                [f for f, _ in prompts],
                places,
                **given,
                generator=[torch.Generator().manual_seed(case.seed) for case in cases],
                config=INDEPENDENT if alone else self.config,
                transparency_passes=self.passes,
                output_type="np",
            )
            found = {name: pixels(np.asarray(getattr(out, name))) for name in KEPT}
            with atomic_write(kept) as temporary:
                save_file(found, temporary)
            parts.append([np.float32(found[name]) / 255 for name in KEPT])
        return Triplets(self.scenes.cases, *(np.concatenate(column) for column in zip(*parts, strict=True)))

    def named(self, pictures: np.ndarray, what: int) -> np.ndarray:
        """Whether the probe names the object (0) or the scene (1) of each picture as asked."""
        asked = [(case.obj, case.scene)[what] for case in self.scenes.cases]
        return np.array([float(n[what] == a) for n, a in zip(self.probe.name(pictures), asked, strict=True)])


def photo(bench: Bench) -> dict[str, Any]:
    """A new subject for a photo."""
    scenes = bench.scenes
    ours = bench.run(background_image=scenes.background)
    unlit = bench.run().foreground if bench.config == INDEPENDENT else _unlit(bench)
    alpha = ours.foreground[..., 3]
    places = np.stack([cv2.dilate(a, np.ones((9, 9))) for a in (alpha > 0.5).astype(np.float32)])[..., None]
    naive = bench.run(alone=True, background_image=scenes.background, mask=places)
    layered = _layered(ours)
    result: dict[str, Any] = {"background identical": _identical(ours.background, scenes.background)}
    for name, pictures in (("ours", ours.blended), ("ours, layered", layered), ("base alone", naive.blended)):
        result[name] = {
            "PSNR outside the reach": _mean(
                [background_kept(*x) for x in zip(pictures, scenes.background, alpha, strict=True)]
            ),
            "subject named": _mean(bench.named(pictures, 0)),
            "slope": _slope(bench, pictures, unlit, alpha),
            "shadow": _mean([_shaded(*x) for x in zip(pictures, scenes.background, alpha, strict=True)]),
            "wholeness": _mean(
                [wholeness(p, f[..., :3], f[..., 3]) for p, f in zip(pictures, ours.foreground, strict=True)]
            ),
        }
    return result | {"sheet": [scenes.background, ours.foreground, ours.blended, layered, naive.blended]}


def cutout(bench: Bench) -> dict[str, Any]:
    """A new place for a cut-out."""
    scenes = bench.scenes
    given = scenes.foreground
    ours = bench.run(foreground_image=given)
    naive = bench.run(alone=True, foreground_image=given)
    layered = _layered(ours)
    result: dict[str, Any] = {"foreground identical": _identical(ours.foreground, given)}
    for name, pictures in (("ours", ours.blended), ("ours, layered", layered), ("base alone", naive.blended)):
        result[name] = {
            "subject named": _mean(bench.named(pictures, 0)),
            "wholeness": _mean([wholeness(p, f[..., :3], f[..., 3]) for p, f in zip(pictures, given, strict=True)]),
            "scene named": _mean(bench.named(pictures, 1)),
            "slope": _slope(bench, pictures, given, given[..., 3]),
        }
    return result | {"sheet": [given, ours.background, ours.blended, layered, naive.blended]}


def reblend(bench: Bench, strength: float | None = None) -> dict[str, Any]:
    """The blend of a naive composite whose truth is known."""
    scenes = bench.scenes
    stack: dict[str, Any] = {"foreground_image": scenes.foreground, "background_image": scenes.background}
    stack |= {} if strength is None else {"strength": strength}
    ours, naive = bench.run(**stack), bench.run(alone=True, **stack)
    rgb, alpha = scenes.foreground[..., :3], scenes.foreground[..., 3]
    toned = np.stack(
        [laid_over(b, reinhard(f, b), f[..., 3]) for f, b in zip(scenes.foreground, scenes.background, strict=True)]
    )
    pasted = np.stack([laid_over(*x) for x in zip(scenes.background, rgb, alpha, strict=True)])
    paste = np.array([psnr_inside(*x) for x in zip(pasted, scenes.picture, alpha, strict=True)])
    layered = _layered(ours)
    rows = (("ours", ours.blended), ("ours, layered", layered), ("SDEdit", naive.blended), ("Reinhard", toned))
    result: dict[str, Any] = {"naive paste": {"PSNR of the subject": _mean(paste)}}
    for name, pictures in rows:
        inside = np.array([psnr_inside(*x) for x in zip(pictures, scenes.picture, alpha, strict=True)])
        result[name] = {
            "PSNR of the subject": _mean(inside),
            "over the paste": _mean(inside - paste),
            "PSNR outside the reach": _mean(
                [background_kept(*x) for x in zip(pictures, scenes.background, alpha, strict=True)]
            ),
            "wholeness": _mean(
                [wholeness(p, f[..., :3], f[..., 3]) for p, f in zip(pictures, scenes.foreground, strict=True)]
            ),
        }
    return result | {"sheet": [scenes.picture, pasted, ours.blended, layered, naive.blended, toned]}


def layers(bench: Bench) -> dict[str, Any]:
    """The layers of a picture, with a rough mask: the true one grown and its outline lost."""
    scenes = bench.scenes
    alpha = scenes.foreground[..., 3]
    masks = np.stack([_rough(a) for a in alpha])[..., None]
    ours, bare = bench.run(blended_image=scenes.picture, mask=masks), bench.run(blended_image=scenes.picture)
    holes = (np.stack([cv2.dilate(m[..., 0], np.ones((9, 9))) for m in masks]) > 0.5).astype(np.uint8)
    painted = np.stack(
        [
            cv2.inpaint((255 * p).round().astype(np.uint8), h, 3, cv2.INPAINT_TELEA).astype(np.float32) / 255
            for p, h in zip(scenes.picture, holes, strict=True)
        ]
    )
    result: dict[str, Any] = {
        "picture identical": _identical(ours.blended, scenes.picture),
        "subject named": _mean(bench.named(ours.on_grey, 0)),
        "subject named without a mask": _mean(bench.named(bare.on_grey, 0)),
    }
    alphas = {"ours": ours.foreground[..., 3], "ours, no mask": bare.foreground[..., 3], "the mask": masks[..., 0]}
    for name, found in alphas.items():
        result[name] = {
            "alpha error": _mean(np.abs(found - alpha).mean((1, 2))),
            "IoU": _mean([overlap(*x) for x in zip(found, alpha, strict=True)]),
        }
    for name, pictures in (("ours", ours.background), ("ours, no mask", bare.background), ("OpenCV", painted)):
        result[name] = result.get(name, {}) | {
            "PSNR of the hidden background": _mean(
                [psnr_inside(*x) for x in zip(pictures, scenes.background, alpha, strict=True)]
            ),
            "object found": _mean([float(n != NOTHING) for n, _ in bench.probe.name(pictures)]),
        }
    rows = [scenes.picture, ours.foreground, ours.background, bare.foreground, painted, scenes.background]
    return result | {"sheet": rows}


def _rough(alpha: np.ndarray) -> np.ndarray:
    """A mask such as a hand paints: too large by a thirtieth of the side, round at the corners."""
    side = alpha.shape[0]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side // 15 | 1, side // 15 | 1))
    grown = cv2.dilate((alpha > 0.3).astype(np.float32), kernel)
    return (cv2.GaussianBlur(grown, (0, 0), side / 40) > 0.5).astype(np.float32)


def _unlit(bench: Bench) -> np.ndarray:
    """The foregrounds of the same seeds, which no scene has touched."""
    return replace(bench, config=INDEPENDENT).run().foreground


def _layered(triplets: Triplets) -> np.ndarray:
    """What relit foreground, shadow and light add up to."""
    tensors = (torch.from_numpy(x).movedim(-1, 1) for x in (triplets.foreground, triplets.background, triplets.blended))
    return relight(*tensors).layered.movedim(1, -1).numpy()


def _slope(bench: Bench, pictures: np.ndarray, unlit: np.ndarray, alpha: np.ndarray) -> float:
    """Of the subject's gain on the scene's true one, over scenes and channels."""
    truths, gains = [], []
    for case, picture, reference, a in zip(bench.scenes.cases, pictures, unlit, alpha, strict=True):
        truths.append(true_gain(bench.world, case))
        gains.append(colour_gain(picture, reference[..., :3], interior(np.minimum(a, reference[..., 3]))))
    return fit(np.array(truths), np.array(gains)).slope


def _shaded(picture: np.ndarray, background: np.ndarray, alpha: np.ndarray) -> float:
    """Whether it is darker just below the lower third of the subject, or beside it."""
    rows = np.flatnonzero((alpha > 0.5).any(1))
    if not len(rows):
        return float("nan")
    below = np.arange(len(alpha))[:, None] > rows[-1] - (rows[-1] - rows[0]) // 3
    near = ~beyond(alpha, 0.06) & (alpha <= 0.05) & below
    return float(np.quantile(darkening(picture, background, alpha)[near], 0.9) >= SHADED) if near.any() else 0.0


def _identical(found: np.ndarray, given: np.ndarray) -> bool:
    return bool(np.array_equal((found * 255).round(), (given * 255).round()))


def _mean(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """The mean, its bootstrap interval, and of how many."""
    each = np.asarray(values, float)
    each = each[np.isfinite(each)]
    low, high = bootstrap(lambda at: float(each[at].mean()), len(each)) if len(each) else (float("nan"),) * 2
    return {"mean": round(float(each.mean()), 4), "interval": [round(low, 4), round(high, 4)], "cases": len(each)}


def rendered(world: World, count: int) -> Scenes:
    """`count` composites of one object each, the scenes in turn."""
    order = np.random.default_rng(SEEDS).permutation(len(world.objects))
    cases = tuple(
        Case(world.objects[order[k % len(order)]].key, world.scenes[k % len(world.scenes)].key, SEEDS + k)
        for k in range(count)
    )
    samples = [world.render("composite", obj=case.obj, scene=case.scene, seed=case.seed) for case in cases]
    arrays = ([getattr(s, name) for s in samples] for name in ("foreground", "background", "picture"))
    return Scenes(cases, *(np.stack(column).astype(np.float32) / 255 for column in arrays))


TASKS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "photo": photo,
    "cutout": cutout,
    "reblend": reblend,
    "layers": layers,
}


def draw(name: str, bench: Bench, rows: list[np.ndarray], folder: Path) -> None:
    """The first twelve cases of a task, a row each kind of picture."""
    from PIL import Image

    def tile(picture: np.ndarray, label: str) -> Tile:
        return Tile(Image.fromarray((picture * 255).round().astype(np.uint8)), label)

    cases = bench.scenes.cases[:12]
    tiles = [[tile(p, case.obj) for p, case in zip(row, cases, strict=False)] for row in rows]
    sheet(tiles, (128, 128), name, "").save(folder / f"{name}.png")


def examples(pipe: LayerFusionPipeline, path: Path) -> None:
    """The sheet of `docs/given.md`: a subject for a photo, a place for a cut-out, both; seeds 1 and 2, not chosen."""

    def run(foreground: str, background: str, seed: int, **given: Any) -> Any:
        return pipe(foreground, background, generator=torch.Generator().manual_seed(seed), **given)

    photo = run("a penguin", "a coral reef", 1).background[0]
    duck = run("a duck", "a coral reef", 1, background_image=photo)
    cutout = run("a fox", "a meadow", 2).foreground[0]
    place = run("a fox", "a sunset sea", 2, foreground_image=cutout)
    both = run("a fox", "a coral reef", 2, foreground_image=cutout, background_image=photo)
    rows = [
        [Tile(photo, "given: a photo"), Tile(duck.foreground[0], "a duck")],
        [Tile(cutout, "given: a cut-out"), Tile(place.background[0], "a sunset sea")],
        [Tile(cutout, "given: the cut-out"), Tile(photo, "and the photo")],
    ]
    for row, made in zip(rows, (duck, place, both), strict=True):
        row += [Tile(made.blended[0], "blended"), Tile(made.layered[0], "layered")]
    drawn = sheet(rows, (192, 192), "Given pictures", "seeds 1, 2 and 2, not chosen", ("subject", "place", "both"))
    drawn.save(path)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="a preset's name or a model's folder")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--config", type=json.loads, help="switches as JSON; the model's own where left out")
    parser.add_argument("--cases", type=int, default=48)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--passes", type=int, choices=(1, 8), default=1, help="passes of the transparent decoder")
    parser.add_argument("--probe", type=Path, default=Path("build/probe.safetensors"))
    parser.add_argument("--out", type=Path, default=Path("build/given"), help="of given.json, sheets and what is kept")
    args = parser.parse_args()
    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    world = World(pipe.default_sample_size * pipe.vae_scale_factor)
    probe, accuracy = ready_probe(world, args.probe)
    config = None if args.config is None else LayerFusionConfig.from_dict(args.config)
    work = args.out / fingerprint_of(args.model)
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(pipe, world, probe, rendered(world, args.cases), config, args.batch, args.passes, work)
    results: dict[str, Any] = {"commit": commit(), "conditions": conditions(), "model": args.model}
    results |= {"config": args.config, "probe": accuracy}
    examples(pipe, args.out / "tasks.png")
    for name in args.tasks.split(","):
        results[name] = TASKS[name](bench)
        draw(name, bench, results[name].pop("sheet"), args.out)
        print(name, json.dumps(results[name], indent=1), flush=True)
        with atomic_write(args.out / "given.json") as temporary:
            temporary.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
