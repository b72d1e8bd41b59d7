"""Layers that add up, measured on the embedded model: `python -m recipes.mini.layered`.

Writes `layered.json` and, with `--sheet`, the contact sheet of every subject. Seeds are the command's own; no constant
of the relighting was chosen by them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.machine import conditions
from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.decoding import decode_picture
from layerfusion.drawing import Tile, sheet
from layerfusion.evaluation.measures import Line, bootstrap, fit, interior, wholeness
from layerfusion.files import atomic_write
from layerfusion.layers import Layer, LayerStack
from layerfusion.models import Vocabulary, defaults_for, load_pipeline, model_folder, read_vocabulary
from layerfusion.relighting import Relit, relight
from layerfusion.transparency import settle_alpha
from recipes.mini import checks
from recipes.mini.held import encode_picture, harmonize
from recipes.mini.triplets import INDEPENDENT, Case, Sampling, Triplets, generate
from recipes.mini.world import World

SEEDS = 91_000_000
SUBJECTS = ("penguin", "duck", "car", "teddy bear", "mushroom", "wine glass", "candle", "flamingo")
WHOLE = 0.95  # wholeness above which the blended subject has lost nothing
PLAINLY_SEEN = 8 / 255  # alpha
STREAMS = ("foreground", "background", "blended")


def known_world(pipe: LayerFusionPipeline, build: Path, vocabulary: Vocabulary | None) -> World:
    """The world at the model's size, with the subjects and scenes that the model was trained on."""
    world = World(pipe.default_sample_size * pipe.vae_scale_factor, build=build)
    if vocabulary is not None:
        world.objects = tuple(spec for spec in world.objects if not vocabulary.unknown_words(spec.key))
        world.scenes = tuple(spec for spec in world.scenes if not vocabulary.unknown_words(spec.key))
    return world


def tensors(*pictures: np.ndarray) -> list[torch.Tensor]:
    """(N, H, W, C) arrays as (N, C, H, W) tensors."""
    return [torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 1).float() for picture in pictures]


def array(picture: torch.Tensor) -> np.ndarray:
    """(N, C, H, W) as an (N, H, W, C) array."""
    return picture.movedim(1, -1).numpy()


def settled(triplets: Triplets) -> Triplets:
    """The triplets with clean alpha."""
    return replace(triplets, foreground=array(settle_alpha(tensors(triplets.foreground)[0])))


def relit(triplets: Triplets) -> Relit:
    """Their layers."""
    return relight(*tensors(*(getattr(triplets, name) for name in STREAMS)))


def summary(values: np.ndarray) -> dict[str, Any]:
    """Mean with its bootstrap interval, tenth percentile, least, and how many: NaN are left out."""
    known = values[np.isfinite(values)]
    interval = bootstrap(lambda drawn: float(known[drawn].mean()), len(known))
    return {
        "mean": float(known.mean()),
        "interval": list(interval),
        "tenth_percentile": float(np.quantile(known, 0.1)),
        "least": float(known.min()),
        "cases": len(known),
    }


def light(
    world: World, triplets: Triplets, unlit: dict[tuple[str, int], np.ndarray], shown: np.ndarray
) -> dict[str, Any]:
    """Slope and r of the subject's gain in `shown` on the scene's true gain; the interval is over the subjects.

    As `checks.harmonization`: gains are averaged over the subjects of a scene, then fitted over scenes and channels.
    """
    points = np.full((len(SUBJECTS), len(world.scenes), 3, 2), np.nan)
    scenes = [scene.key for scene in world.scenes]
    for i, case in enumerate(triplets.cases):
        one = replace(triplets, cases=(case,), foreground=triplets.foreground[i : i + 1])
        _, found = checks.harmonization(world, one, unlit, shown[i : i + 1])
        if len(found):
            points[SUBJECTS.index(case.obj), scenes.index(case.scene)] = found[0]
    points = points[np.isfinite(points).any((1, 2, 3))]

    def line(drawn: np.ndarray) -> Line:
        known = points[drawn]
        mean = np.nansum(known, axis=0) / np.isfinite(known).sum(0).clip(min=1)
        mean[~np.isfinite(known).any(0)] = np.nan
        return fit(mean[..., 0], mean[..., 1])

    whole = line(np.arange(len(points)))
    interval = bootstrap(lambda drawn: line(drawn).slope, len(points))
    return {"slope": whole.slope, "slope_interval": list(interval), "r": whole.r, "subjects": len(points)}


def subjects_over_scenes(
    pipe: LayerFusionPipeline, world: World, config: LayerFusionConfig | None, sampling: Sampling, subjects: int
) -> dict[str, Any]:
    """Wholeness and light of the blended and of the relit subject, and how near layered and blended are."""
    cases = [Case(o, scene.key, SEEDS + k) for k, o in enumerate(SUBJECTS[:subjects]) for scene in world.scenes]
    alone = [Case(o, world.scenes[0].key, SEEDS + k) for k, o in enumerate(SUBJECTS[:subjects])]
    unlit = {
        (case.obj, case.seed): picture
        for case, picture in zip(alone, generate(pipe, world, alone, INDEPENDENT, sampling).foreground, strict=True)
    }
    triplets = settled(generate(pipe, world, cases, config, sampling))
    layers = relit(triplets)
    lit, layered, alpha = array(layers.relit)[..., :3], array(layers.layered), triplets.foreground[..., 3]
    of = {
        name: np.array([wholeness(p, f[..., :3], f[..., 3]) for p, f in zip(shown, triplets.foreground, strict=True)])
        for name, shown in (("blended", triplets.blended), ("relit", lit))
    }
    inside = [interior(a) for a in alpha]
    distance = np.array(
        [255 * np.abs(a - b)[w].mean() for a, b, w in zip(layered, triplets.blended, inside, strict=True) if w.any()]
    )
    whole = of["blended"][[bool(w.any()) for w in inside]] > WHOLE
    return {
        "wholeness": {name: summary(values) for name, values in of.items()},
        "light": {
            "blended": light(world, triplets, unlit, triplets.blended),
            "relit": light(world, triplets, unlit, lit),
        },
        "layered_from_blended_inside_255": {
            "where_blended_is_whole": {**summary(distance[whole]), "most": float(distance[whole].max())}
            if whole.any()
            else None,
            "everywhere": summary(distance),
        },
        "layered_from_stack_255": max(from_stack(triplets, layers, i) for i in range(len(cases))),
    }


def from_stack(triplets: Triplets, layers: Relit, index: int) -> int:
    """The largest difference, in 255ths, of `layered` and the composite of the layers as 8-bit files hold them."""

    def pixels(picture: np.ndarray) -> np.ndarray:
        return (255 * picture).round().astype(np.uint8)

    shadow, glow, lit = (array(x)[index] for x in (layers.shadow, layers.light, layers.relit))
    height, width = triplets.background.shape[1:3]
    stack = LayerStack(
        width,
        height,
        [
            Layer("background", pixels(triplets.background[index])),
            Layer("shadow", pixels(shadow), blend="multiply"),
            Layer("light", pixels(glow), blend="screen"),
            Layer("relit", pixels(lit)),
        ],
    )
    composite = np.asarray(stack.composite())[..., :3].astype(int)
    return int(np.abs(composite - pixels(array(layers.layered)[index])).max())


def boxes(pipe: LayerFusionPipeline, world: World, sampling: Sampling, count: int) -> dict[str, Any]:
    """How many foregrounds have a tight box: what is visible at all, against what is plainly seen, with clean alpha."""
    cases = [
        Case(world.objects[k % len(world.objects)].key, world.scenes[5 * k % len(world.scenes)].key, SEEDS + 500 + k)
        for k in range(count)
    ]
    decoded = generate(pipe, world, cases, None, sampling).foreground
    slack = {}
    for name, pictures in (("decoded", decoded), ("settled", array(settle_alpha(tensors(decoded)[0])))):
        pairs = [(box(a >= 0.5 / 255), box(a >= PLAINLY_SEEN)) for a in pictures[..., 3]]
        slack[name] = np.array([np.abs(a - b).max() for a, b in pairs])
    return {
        name: {"tight_within_2_pixels": float((values <= 2).mean()), "most_pixels": int(values.max())}
        for name, values in slack.items()
    }


def box(seen: np.ndarray) -> np.ndarray:
    """(left, top, right, bottom) of a region (H, W); zeros where it is empty."""
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) if len(rows) else np.zeros(4, int)


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
    mean, deviation = lab[seen].mean(0), np.maximum(lab[seen].std(0), 1e-3)
    moved = (lab - mean) / deviation * target.std((0, 1)) + target.mean((0, 1))
    return np.clip(cv2.cvtColor(moved.astype(np.float32), cv2.COLOR_Lab2RGB), 0, 1)


def laid_over(background: np.ndarray, rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colour over background, sRGB."""
    return rgb * alpha[..., None] + background * (1 - alpha[..., None])


def psnr_inside(picture: np.ndarray, truth: np.ndarray, alpha: np.ndarray) -> float:
    """PSNR in dB of the foreground's region: the squared error weighted by alpha."""
    return float(-10 * np.log10((alpha[..., None] * (picture - truth) ** 2).sum() / (3 * alpha.sum())))


def against_truth(
    pipe: LayerFusionPipeline, world: World, config: LayerFusionConfig | None, sampling: Sampling, count: int
) -> dict[str, Any]:
    """PSNR inside the foreground of rendered composites, for two blended pictures that could be had of the same layers.

    `generated`: the sprite and the scene are held, the model generates the blended stream (`recipes.mini.held`).
    `autoencoded`: the true composite after one trip through the autoencoder, the best a latent model could do.
    """
    truth = rendered(world, count)
    generated, autoencoded = [], []
    with torch.no_grad():
        for start in range(0, count, sampling.batch):
            at = slice(start, start + sampling.batch)
            prompts, seeds = zip(*((case.prompts(world), case.seed) for case in truth.cases[at]), strict=True)
            held = (truth.foreground[at], truth.background[at])
            generated.append(harmonize(pipe, prompts, *held, seeds, config, sampling))
            latents = encode_picture(pipe, *tensors(truth.picture[at]))
            autoencoded.append(array(decode_picture(pipe.vae, latents)))
    alpha = truth.foreground[..., 3]
    results: dict[str, Any] = {}
    for name, parts in (("generated", generated), ("autoencoded", autoencoded)):
        blended = np.concatenate(parts)
        layered = array(relight(*tensors(truth.foreground, truth.background, blended)).layered)
        shown = {
            "naive paste": laid_over(truth.background, truth.foreground[..., :3], alpha),
            "Reinhard transfer": np.stack(
                [
                    laid_over(b, reinhard(f, b), f[..., 3])
                    for f, b in zip(truth.foreground, truth.background, strict=True)
                ]
            ),
            "blended": blended,
            "layered": layered,
        }
        values = {
            key: np.array([psnr_inside(*three) for three in zip(pictures, truth.picture, alpha, strict=True)])
            for key, pictures in shown.items()
        }
        results[name] = {key: summary(value) for key, value in values.items()} | {
            "layered_ahead_of": {key: float((values["layered"] > values[key]).mean()) for key in list(shown)[:3]}
        }
    return results


def contact_sheet(
    pipe: LayerFusionPipeline, world: World, config: LayerFusionConfig | None, sampling: Sampling, seeds: int
) -> Image.Image:
    """Every subject with `seeds` seeds, the scenes in turn: foreground, background, paper's blend, ours, layered."""
    cases = [
        Case(spec.key, world.scenes[(k + 5 * seed) % len(world.scenes)].key, SEEDS + 2000 + seed)
        for k, spec in enumerate(world.objects)
        for seed in range(seeds)
    ]
    paper = generate(pipe, world, cases, LayerFusionConfig(), sampling).blended
    ours = settled(generate(pipe, world, cases, config, sampling))
    columns = (ours.foreground, ours.background, paper, ours.blended, array(relit(ours).layered))
    names = ("foreground", "background", "paper's blend", "ours", "layered")

    def tiles(index: int) -> list[Tile]:
        labels = [cases[index].obj, cases[index].scene, *names[2:]]
        pictures = (Image.fromarray((255 * column[index]).round().astype(np.uint8)) for column in columns)
        return [Tile(picture, label) for picture, label in zip(pictures, labels, strict=True)]

    rows = [[tile for k in range(seeds) for tile in tiles(i * seeds + k)] for i in range(len(world.objects))]
    subtitle = f"{len(rows)} subjects, seeds {SEEDS + 2000} to {SEEDS + 1999 + seeds}, none chosen: {', '.join(names)}"
    return sheet(rows, (128, 128), "Every subject of the embedded model", subtitle)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="a preset's name or a model's folder")
    parser.add_argument("--config", type=json.loads, help="switches as JSON; the model's own where left out")
    parser.add_argument("--subjects", type=int, default=len(SUBJECTS), help=f"over every scene, up to {len(SUBJECTS)}")
    parser.add_argument("--foregrounds", type=int, default=100, help="whose bounding boxes are measured")
    parser.add_argument("--composites", type=int, default=68, help="rendered composites to compare with")
    parser.add_argument("--passes", type=int, choices=(1, 8), default=8, help="passes of the transparent decoder")
    parser.add_argument("--build", type=Path, default=Path("build/world"), help="where the sprites lie or go")
    parser.add_argument("--out", type=Path, default=Path("build/layered"), help="folder of layered.json")
    parser.add_argument("--sheet", type=int, metavar="SEEDS", help="only draw sheet.webp, with so many seeds")
    args = parser.parse_args()
    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    defaults = defaults_for(args.model)
    sampling = Sampling(defaults.steps, defaults.guidance_scale, passes=args.passes)
    folder = model_folder(args.model)
    world = known_world(pipe, args.build, read_vocabulary(folder) if folder else None)
    config = None if args.config is None else LayerFusionConfig.from_dict(args.config)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.sheet:
        contact_sheet(pipe, world, config, sampling, args.sheet).save(args.out / "sheet.webp", quality=88, method=6)
        return
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "subjects": lambda: subjects_over_scenes(pipe, world, config, sampling, args.subjects),
        "truth": lambda: against_truth(pipe, world, config, sampling, args.composites),
        "boxes": lambda: boxes(pipe, world, sampling, args.foregrounds),
    }
    results: dict[str, Any] = {"conditions": conditions(), "config": args.config}
    for name, measure in parts.items():
        results[name] = measure()
        print(name, json.dumps(results[name], indent=2), flush=True)
    with atomic_write(args.out / "layered.json") as temporary:
        temporary.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
