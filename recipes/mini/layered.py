"""Layers that add up, measured on the embedded model.

    python -m recipes.mini.layered

Five parts, each on pictures of its own that nothing was chosen on:

    subjects   the paper's blend, the model's own and the relit foreground side by side, each subject in every scene
    dial       the model's own blend from faithful to harmonized, on the first of these subjects
    truth      PSNR against rendered composites: naive paste, Reinhard transfer, blended, layered
    stacks     those of `subjects`, and every subject at a few seeds: boxes, what the layers add up to (here, in Krita
               and in GIMP), edits
    sheet      every subject at a few seeds as a contact sheet, beside the paper's blend

Writes `layered.json` and `layered.md` into `--out`, and the sheet. Pictures are kept in `--work` batch by batch, and
parts in the JSON file: `--resume` goes on from there, also with other parts of the same commit.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from benchmarks.machine import conditions
from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.decoding import decode_picture
from layerfusion.drawing import Tile, picture_of, sheet
from layerfusion.evaluation.measures import bootstrap, interior, wholeness
from layerfusion.files import atomic_write
from layerfusion.models import defaults_for, load_pipeline, vocabulary_of
from layerfusion.relighting import relight
from recipes.mini import checks, frontier, layered_page, stacks
from recipes.mini.held import encode_picture, harmonize
from recipes.mini.kept import digest, fingerprint_of
from recipes.mini.triplets import (
    INDEPENDENT,
    STREAMS,
    Case,
    Sampling,
    Triplets,
    array,
    generate,
    known_world,
    pixels,
    relit,
    tensors,
)
from recipes.mini.world import World

SEEDS = 91_000_000
SUBJECTS = ("penguin", "fox", "elephant", "apple", "car", "teddy bear", "duck", "mushroom")
HARMONIES = (0.0, 0.25, 0.5, 0.75, 1.0)
WHOLE = 0.95  # wholeness above which the blended subject has lost nothing
DRAWS = 1000  # of every bootstrap


@dataclass(frozen=True)
class Bench:
    """What every part is measured with. `config` is the model's own where it is None; `work` is where pictures lie."""

    pipe: LayerFusionPipeline
    world: World
    config: LayerFusionConfig | None
    sampling: Sampling
    work: Path

    def draw(self, cases: Sequence[Case], config: LayerFusionConfig | None) -> Triplets:
        """The triplets of the cases as 8-bit files hold them; a batch that lies in `work` is not drawn again."""
        parts = []
        for start in range(0, len(cases), self.sampling.batch):
            batch = tuple(cases[start : start + self.sampling.batch])
            path = self.work / f"{digest((batch, config, self.sampling))}.safetensors"
            if not path.exists():
                drawn = generate(self.pipe, self.world, batch, config, self.sampling)
                with atomic_write(path) as temporary:
                    save_file({name: pixels(getattr(drawn, name)) for name in (*STREAMS, "composite")}, temporary)
                print(f"{path.name}: {len(batch)} triplets", flush=True)
            kept = load_file(path)
            parts.append([np.float32(kept[name]) / 255 for name in (*STREAMS, "composite")])
        foreground, background, blended, composite = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Triplets(tuple(cases), foreground, background, blended, composite)


def interval(statistic: Callable[[np.ndarray], float], cases: int) -> dict[str, float]:
    """A statistic of all cases, and the ends of its bootstrap interval of 95 %."""
    low, high = bootstrap(statistic, cases, draws=DRAWS)
    return {"value": float(statistic(np.arange(cases))), "low": low, "high": high, "cases": cases}


def mean(values: np.ndarray) -> dict[str, float]:
    """The mean of what is known, with its interval; NaN where nothing is."""
    known = values[np.isfinite(values)] if np.isfinite(values).any() else np.full(1, np.nan)
    return interval(lambda at: float(known[at].mean()), len(known))


# --- subjects ---------------------------------------------------------------------------------------------------------


def in_every_scene(world: World, subjects: int) -> list[Case]:
    """Each subject at one seed over every scene."""
    return [Case(name, scene.key, SEEDS + k) for k, name in enumerate(SUBJECTS[:subjects]) for scene in world.scenes]


def subjects_over_scenes(bench: Bench, subjects: int) -> dict[str, Any]:
    """The paper's blend, the model's own, relit and layered on the same cases; differences are paired case by case."""
    world, cases = bench.world, in_every_scene(bench.world, subjects)
    unlit = checks.unlit_of(bench.draw([case for case in cases if case.scene == world.scenes[0].key], INDEPENDENT))
    paper, own = bench.draw(cases, LayerFusionConfig.paper()), bench.draw(cases, bench.config)
    layers = relit(own)
    real = checks.real_triplets(world, cases)
    shown = {
        "paper": paper,
        "own": own,
        "relit": replace(own, blended=array(layers.relit)[..., :3]),
        "layered": replace(own, blended=array(layers.layered)),
    }
    rows = {"real renders": frontier.measure(world, real, checks.unlit_of(real))}
    rows |= {name: frontier.measure(world, triplets, unlit) for name, triplets in shown.items()}
    return {
        "subjects": list(SUBJECTS[:subjects]),
        "scenes": len(world.scenes),
        "rows": rows,
        "paired": {
            f"{a} − {b}": paired(world, shown[a], shown[b], unlit)
            for a, b in (("own", "paper"), ("relit", "paper"), ("relit", "own"))
        },
        "layered_from_blended_255": from_blended(own, array(layers.layered)),
    }


def dial(bench: Bench, subjects: int) -> dict[str, Any]:
    """What `with_harmony` does to wholeness and light, on the same cases."""
    world, cases = bench.world, in_every_scene(bench.world, subjects)
    unlit = checks.unlit_of(bench.draw([case for case in cases if case.scene == world.scenes[0].key], INDEPENDENT))
    own = bench.config or bench.pipe.defaults.config
    rows = {}
    for harmony in HARMONIES:
        config = own.with_harmony(harmony)
        triplets = bench.draw(cases, bench.config if config == own else config)
        rows[f"{harmony:g}"] = frontier.measure(world, triplets, unlit)
    return {"subjects": list(SUBJECTS[:subjects]), "scenes": len(world.scenes), "rows": rows}


def paired(world: World, a: Triplets, b: Triplets, unlit: dict[tuple[str, int], np.ndarray]) -> dict[str, Any]:
    """By how much each measure of a is above that of b on the same cases, which are drawn together."""
    scenes = [case.scene for case in a.cases]
    gains = [checks.case_gains(world, triplets, unlit) for triplets in (a, b)]
    whole = [
        np.array([wholeness(p, f[..., :3], f[..., 3]) for p, f in zip(t.blended, t.foreground, strict=True)])
        for t in (a, b)
    ]

    def light(name: str) -> Callable[[np.ndarray], float]:
        def difference(at: np.ndarray) -> float:
            lines = [checks.regress([scenes[i] for i in at], gain[at])[0] for gain in gains]
            return float(getattr(lines[0], name) - getattr(lines[1], name))

        return difference

    return {"wholeness": mean(whole[0] - whole[1])} | {
        name: interval(light(name), len(scenes)) for name in ("slope", "r")
    }


def from_blended(triplets: Triplets, layered: np.ndarray) -> dict[str, Any]:
    """Mean difference of layered and blended inside the subject, in 255ths, where the blended subject is whole.

    `of`: how many subjects have an inside at all.
    """
    distances, solid = [], 0
    for f, p, shown in zip(triplets.foreground, triplets.blended, layered, strict=True):
        inside = interior(f[..., 3])
        solid += bool(inside.any())
        if wholeness(p, f[..., :3], f[..., 3]) > WHOLE:
            distances.append(255 * np.abs(shown - p)[inside].mean())
    return mean(np.array(distances)) | {"most": max(distances, default=None), "of": solid}


# --- truth ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """Rendered composites and what they are made of, (N, H, W, C) in [0, 1]."""

    cases: tuple[Case, ...]
    foreground: np.ndarray
    background: np.ndarray
    picture: np.ndarray


def rendered(world: World, count: int) -> Truth:
    """Every subject in turn, the scenes in turn."""
    cases = tuple(
        Case(world.objects[k % len(world.objects)].key, world.scenes[5 * k % len(world.scenes)].key, SEEDS + 900 + k)
        for k in range(count)
    )
    samples = [world.render("composite", obj=case.obj, scene=case.scene, seed=case.seed) for case in cases]
    pictures = (
        np.stack([np.float32(getattr(s, name)) / 255 for s in samples])
        for name in ("foreground", "background", "picture")
    )
    return Truth(cases, *pictures)


def reinhard(foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The foreground's colour with the background's mean and deviation in Lab (Reinhard et al. 2001): (H, W, 3)."""
    lab, target = (cv2.cvtColor(np.ascontiguousarray(x[..., :3]), cv2.COLOR_RGB2Lab) for x in (foreground, background))
    seen = foreground[..., 3] > 0.5
    centre, deviation = lab[seen].mean(0), np.maximum(lab[seen].std(0), 1e-3)
    moved = (lab - centre) / deviation * target.std((0, 1)) + target.mean((0, 1))
    return np.clip(cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_Lab2RGB), 0, 1)


def laid_over(background: np.ndarray, rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colour over background, sRGB."""
    return rgb * alpha[..., None] + background * (1 - alpha[..., None])


def psnr_inside(picture: np.ndarray, truth: np.ndarray, alpha: np.ndarray) -> float:
    """PSNR in dB of the foreground's region: the squared error weighted by alpha."""
    return float(-10 * np.log10((alpha[..., None] * (picture - truth) ** 2).sum() / (3 * alpha.sum())))


def against_truth(bench: Bench, count: int) -> dict[str, Any]:
    """PSNR inside the foreground of rendered composites, for two blended pictures that could be had of the same layers.

    `generated`: the sprite and the scene are held, the model generates the blended stream (`recipes.mini.held`).
    `autoencoded`: the true composite after one trip through the autoencoder, the best a latent model could do.
    """
    pipe, truth = bench.pipe, rendered(bench.world, count)
    generated, autoencoded = [], []
    with torch.no_grad():
        for start in range(0, count, bench.sampling.batch):
            at = slice(start, start + bench.sampling.batch)
            prompts, seeds = zip(*((case.prompts(bench.world), case.seed) for case in truth.cases[at]), strict=True)
            path = bench.work / f"{digest((truth.cases[at], bench.config, bench.sampling))}-held.safetensors"
            if not path.exists():
                held = (truth.foreground[at], truth.background[at])
                blended = harmonize(pipe, prompts, *held, seeds, bench.config, bench.sampling)
                with atomic_write(path) as temporary:
                    save_file({"blended": pixels(blended)}, temporary)
                print(f"{path.name}: {len(seeds)} blended", flush=True)
            generated.append(np.float32(load_file(path)["blended"]) / 255)
            autoencoded.append(array(decode_picture(pipe.vae, encode_picture(pipe, *tensors(truth.picture[at])))))
    return {
        "generated": psnr_of_each(truth, np.concatenate(generated)),
        "autoencoded": psnr_of_each(truth, np.concatenate(autoencoded)),
    }


def psnr_of_each(truth: Truth, blended: np.ndarray) -> dict[str, Any]:
    """PSNR of every way to set the foreground in, and how far layered is ahead of each on the same composite."""
    alpha = truth.foreground[..., 3]
    shown = {
        "naive paste": laid_over(truth.background, truth.foreground[..., :3], alpha),
        "Reinhard transfer": np.stack(
            [laid_over(b, reinhard(f, b), f[..., 3]) for f, b in zip(truth.foreground, truth.background, strict=True)]
        ),
        "blended": blended,
        "layered": array(relight(*tensors(truth.foreground, truth.background, blended)).layered),
    }
    values = {
        key: np.array([psnr_inside(*three) for three in zip(pictures, truth.picture, alpha, strict=True)])
        for key, pictures in shown.items()
    }
    ahead = {key: values["layered"] - value for key, value in values.items() if key != "layered"}
    return {
        "db": {key: mean(value) for key, value in values.items()},
        "layered_ahead_db": {key: mean(by) | {"in": int((by > 0).sum())} for key, by in ahead.items()},
    }


# --- stacks and sheet -------------------------------------------------------------------------------------------------


def everybody(world: World, seeds: int) -> list[Case]:
    """Every subject with `seeds` seeds, the scenes in turn."""
    return [
        Case(spec.key, world.scenes[(k + 5 * seed) % len(world.scenes)].key, SEEDS + 2000 + seed)
        for k, spec in enumerate(world.objects)
        for seed in range(seeds)
    ]


def contact_sheet(bench: Bench, seeds: int) -> Image.Image:
    """`everybody`: foreground, background, paper's blend, ours, layered."""
    cases = everybody(bench.world, seeds)
    paper, ours = bench.draw(cases, LayerFusionConfig.paper()).blended, bench.draw(cases, bench.config)
    columns = (ours.foreground, ours.background, paper, ours.blended, array(relit(ours).layered))
    names = ("foreground", "background", "paper's blend", "ours", "layered")

    def tiles(index: int) -> list[Tile]:
        labels = [cases[index].obj, cases[index].scene, *names[2:]]
        return [Tile(picture_of(column[index]), label) for column, label in zip(columns, labels, strict=True)]

    rows = [[tile for k in range(seeds) for tile in tiles(i * seeds + k)] for i in range(len(bench.world.objects))]
    subtitle = f"{len(rows)} subjects, seeds {SEEDS + 2000} to {SEEDS + 1999 + seeds}, none chosen: {', '.join(names)}"
    return sheet(rows, (128, 128), "Every subject of the embedded model", subtitle)


# --- the command ------------------------------------------------------------------------------------------------------


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="a preset's name or a model's folder")
    parser.add_argument("--config", type=json.loads, help="switches as JSON; the model's own where left out")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--subjects", type=int, default=6, help=f"over every scene, up to {len(SUBJECTS)}")
    parser.add_argument("--dial", type=int, default=2, help="subjects of the dial")
    parser.add_argument("--composites", type=int, default=68, help="rendered composites to compare with")
    parser.add_argument("--seeds", type=int, default=3, help="of every subject, for the stacks and the sheet")
    parser.add_argument("--programs", type=int, default=3, help="triplets that Krita and GIMP composite")
    parser.add_argument("--passes", type=int, choices=(1, 8), default=8, help="passes of the transparent decoder")
    parser.add_argument("--build", type=Path, default=Path("build/world"), help="where the sprites lie or go")
    parser.add_argument("--work", type=Path, default=Path("build/layered"), help="where the pictures are kept")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of layered.json and layered.md")
    parser.add_argument("--resume", action="store_true", help="keep what --work and layered.json already hold")
    return parser.parse_args()


PARTS: dict[str, Callable[[Bench, argparse.Namespace], dict[str, Any]]] = {
    "subjects": lambda bench, args: subjects_over_scenes(bench, args.subjects),
    "dial": lambda bench, args: dial(bench, args.dial),
    "truth": lambda bench, args: against_truth(bench, args.composites),
    "stacks": lambda bench, args: stacks.measure(
        [
            bench.draw(cases, bench.config)
            for cases in (in_every_scene(bench.world, args.subjects), everybody(bench.world, args.seeds))
            if cases
        ],
        args.programs,
    ),
    "sheet": lambda bench, args: save_sheet(bench, args.seeds, args.out / "images" / "mini" / "layered.webp"),
}


def save_sheet(bench: Bench, seeds: int, path: Path) -> dict[str, Any]:
    """Draw the sheet, and say how many triplets are on it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = contact_sheet(bench, seeds)
    with atomic_write(path) as temporary:
        picture.save(temporary, "WEBP", quality=88, method=6)
    return {"subjects": len(bench.world.objects), "seeds": seeds}


def main() -> None:
    """Measure what is not known yet, and write."""
    args = parsed()
    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    defaults = defaults_for(args.model)
    world = known_world(pipe.default_sample_size * pipe.vae_scale_factor, args.build, vocabulary_of(args.model))
    config = None if args.config is None else LayerFusionConfig.from_dict(args.config)
    sampling = Sampling(defaults.steps, defaults.guidance_scale, batch=6, passes=args.passes)

    path = args.out / "layered.json"
    results: dict[str, Any] = {"conditions": conditions(), "config": args.config}
    if args.resume and path.exists():
        results = json.loads(path.read_text(encoding="utf-8"))
    else:
        shutil.rmtree(args.work, ignore_errors=True)
    work = args.work / fingerprint_of(args.model)
    work.mkdir(parents=True, exist_ok=True)
    bench = Bench(pipe, world, config, sampling, work)
    for name in args.only:
        if name not in results:
            results[name] = PARTS[name](bench, args)
            with atomic_write(path) as temporary:
                text = json.dumps(results, indent=1, ensure_ascii=False, default=float)
                temporary.write_text(text + "\n", encoding="utf-8")
            print(f"{name}: measured", flush=True)
    layered_page.write(results, args.out)


if __name__ == "__main__":
    main()
