"""Foregrounds in boxes, measured on the embedded model: `python -m recipes.mini.boxes`.

One foreground in a box of 0.25 to 0.8 of the side, by both routes of placement on the same cases: in a frame of its own
that an affine map carries into the scene (what the pipeline does), and in the scene's frame, where its stream is held
to nothing outside the box. Beside them the naive way: the base model alone, denoising within the box of the background
of the first route. Then two and three foregrounds side by side, what each costs, and how often the probe names
what the world itself renders in the boxes. Every case is kept as it is made, so that a run may be left and resumed;
writes `boxes.json` and a sheet for each task.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.machine import conditions
from layerfusion import Foreground, LayerFusionOutput, LayerFusionPipeline
from layerfusion.drawing import Tile, sheet
from layerfusion.evaluation.measures import bootstrap, wholeness
from layerfusion.files import atomic_write
from layerfusion.foregrounds import Box
from layerfusion.held import Holds
from layerfusion.latents import encode_cutout
from layerfusion.models import load_pipeline
from layerfusion.placing import VISIBLE
from recipes.mini.kept import fingerprint_of
from recipes.mini.page import commit
from recipes.mini.probes import Probe
from recipes.mini.report import ready_probe
from recipes.mini.triplets import INDEPENDENT
from recipes.mini.world import World, article

SEEDS = 93_000_000
SMALLEST, LARGEST = 0.25, 0.8
ALONE, CEILING = "base alone", "ceiling"
GAP = 0.02  # between two boxes of one scene
MARGIN = 0.03  # round a box that the probe looks at, of its longer side: more shows it the neighbours
NEAR, ALIKE = 0.06, 0.15  # the bars of centre and size


@dataclass(frozen=True)
class Asked:
    """What one case asks for: objects in boxes, in a scene."""

    objects: tuple[str, ...]
    boxes: tuple[Box, ...]
    scene: str
    seed: int


@dataclass(frozen=True)
class Bench:
    """What every task is measured with."""

    pipe: LayerFusionPipeline
    world: World
    probe: Probe
    work: Path

    def alone(self, asked: Asked, background: Image.Image) -> Image.Image:
        """What the base model by itself draws in the box of a background, asked for subject and scene at once."""
        prompt = f"{article(asked.objects[0])} in {self.world.scene(asked.scene).phrases[0]}"
        x, y, width, height = asked.boxes[0]
        mask = np.zeros(background.size[::-1], np.uint8)
        rows, columns = (np.arange(side) / side for side in mask.shape)
        mask[np.ix_((rows >= y) & (rows < y + height), (columns >= x) & (columns < x + width))] = 255
        output = self.pipe(
            article(asked.objects[0]),
            prompt,
            background_image=background,
            mask=mask,
            config=INDEPENDENT,
            generator=[torch.Generator().manual_seed(asked.seed)],
            transparency_passes=1,
        )
        picture = output.blended[0]
        assert isinstance(picture, Image.Image)
        return picture

    def run(self, asked: Asked, inside_scene: bool = False) -> LayerFusionOutput:
        """The triplet of one case, by one route or the other."""
        prompts = [article(name) for name in asked.objects]
        arguments: dict[str, Any] = {
            "background_prompt": self.world.scene(asked.scene).phrases[0],
            "generator": [torch.Generator().manual_seed(asked.seed)],
        }
        if not inside_scene:
            placed = [Foreground(prompt, box=box) for prompt, box in zip(prompts, asked.boxes, strict=True)]
            output = self.pipe(foregrounds=placed, **arguments, transparency_passes=1)
            assert isinstance(output, LayerFusionOutput)
            return output
        inputs = self.pipe.check_inputs(foreground_prompt=prompts[0], **arguments)
        sampler = self.pipe.prepare(inputs, self.pipe.encode(inputs))
        sampler.holds = emptiness(self.pipe, sampler.noise, asked.boxes[0])
        self.pipe.denoise(sampler)
        return self.pipe.decode(sampler.latents, "pil", 1)


@torch.no_grad()
def emptiness(pipe: LayerFusionPipeline, noise: torch.Tensor, box: Box) -> Holds:
    """The foreground held to a clear picture outside its box, to the end."""
    height, width = noise.shape[-2:]
    size = height * pipe.vae_scale_factor, width * pipe.vae_scale_factor
    clear = encode_cutout(pipe.vae, pipe.transparent_encoder, torch.zeros(1, 4, *size))
    latents, until = torch.zeros_like(noise), torch.zeros_like(noise[:, :, :1])
    x, y, w, h = box
    rows = (torch.arange(height) + 0.5) / height
    columns = (torch.arange(width) + 0.5) / width
    inside = ((rows > y) & (rows < y + h))[:, None] & ((columns > x) & (columns < x + w))[None]
    latents[0], until[0] = clear[0].to(latents), (~inside).float()
    return Holds(latents, noise, until)


# --- measures ---------------------------------------------------------------------------------------------------------


def misplaced(alpha: np.ndarray, box: Box) -> dict[str, float]:
    """How far the subject's middle is from the box's, in sides, and by how much of the box its size is off.

    Sides are scaled alike, so the size is that of the side that touches first: 0 where the subject just fits.
    """
    height, width = alpha.shape
    rows, columns = (np.flatnonzero((alpha > VISIBLE).any(axis)) for axis in (1, 0))
    if not len(rows):
        return {"centre": 1.0, "size": 1.0}
    top, bottom = rows[0] / height, (rows[-1] + 1) / height
    left, right = columns[0] / width, (columns[-1] + 1) / width
    x, y, w, h = box
    centre = np.hypot((left + right) / 2 - x - w / 2, (top + bottom) / 2 - y - h / 2)
    return {"centre": float(centre), "size": float(abs(max((right - left) / w, (bottom - top) / h) - 1))}


def looked_at(picture: np.ndarray, box: Box) -> np.ndarray:
    """What is in a box, and nothing of its neighbours; its border goes on to make it square: (64, 64, 3) in [0, 1]."""
    height, width = picture.shape[:2]
    x, y, w, h = box
    margin = MARGIN * max(w, h)
    left, right = (round(min(max(edge, 0), 1) * width) for edge in (x - margin, x + w + margin))
    top, bottom = (round(min(max(edge, 0), 1) * height) for edge in (y - margin, y + h + margin))
    side = max(right - left, bottom - top)
    up, along = (side - bottom + top) // 2, (side - right + left) // 2
    rest = side - (bottom - top) - up, side - (right - left) - along
    cut = cv2.copyMakeBorder(picture[top:bottom, left:right], up, rest[0], along, rest[1], cv2.BORDER_REPLICATE)
    return cv2.resize(cut, (64, 64), interpolation=cv2.INTER_AREA)


def measured(bench: Bench, asked: Asked, output: LayerFusionOutput) -> dict[str, Any]:
    """One case: places, names in the boxes, and others' names there; for the blended and the layered picture."""
    triplet = output.triplet()
    blended, layered, union = (
        np.asarray(picture, np.float32) / 255 for picture in (triplet.blended, triplet.layered, triplet.foreground)
    )
    alphas = _alphas(triplet, union)
    found: dict[str, Any] = {"places": [misplaced(a, box) for a, box in zip(alphas, asked.boxes, strict=True)]}
    for name, picture in (("blended", blended), ("layered", layered)):
        crops = np.stack([looked_at(picture, box) for box in asked.boxes])
        names = [obj for obj, _ in bench.probe.name(crops)]
        others = [set(asked.objects) - {own} for own in asked.objects]
        found[name] = {
            "named": [float(got == own) for got, own in zip(names, asked.objects, strict=True)],
            "leaked": [float(got in other) for got, other in zip(names, others, strict=True)],
            "wholeness": wholeness(picture, union[..., :3], union[..., 3]),
        }
    return found


def naive(bench: Bench, count: int) -> dict[str, Any]:
    """The base model alone in the boxes of the first route's cases that are kept."""
    kept = bench.work / "base-alone.jsonl"
    found = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    for number in range(len(found), count):
        asked = one_box(bench.world, number)
        with Image.open(bench.work / f"own-frame-{number:03d}-background.png") as background:
            picture = bench.alone(asked, background.convert("RGB"))
        picture.save(bench.work / f"base-alone-{number:03d}.png")
        crop = looked_at(np.asarray(picture, np.float32) / 255, asked.boxes[0])
        found.append(float(bench.probe.name(crop[None])[0][0] == asked.objects[0]))
        with kept.open("a") as file:
            file.write(json.dumps(found[-1]) + "\n")
    return {"cases": count, "blended": {"named": _mean(found[:count])}}


@torch.no_grad()
def ceiling(bench: Bench, count: int) -> dict[str, Any]:
    """How often the probe names what is truly there, for one, two and three boxes of the first cases."""
    vae = bench.pipe.vae
    found: dict[str, dict[str, Any]] = {}
    for task_name in ("own frame", "two", "three"):
        cases = [TASKS[task_name][0](bench.world, number) for number in range(count)]
        pictures = np.stack([rendered(bench.world, asked) for asked in cases])
        each = torch.from_numpy(2 * pictures - 1).movedim(-1, 1).split(1)
        kept = [vae.decode(vae.encode(one).latent_dist.mean).sample for one in each]
        coded = (torch.cat(kept) / 2 + 0.5).clamp(0, 1).movedim(1, -1).numpy()
        result = found.setdefault(task_name, {"cases": count})
        for name, shown in (("rendered", pictures), ("after the autoencoder", coded)):
            right = []
            for asked, picture in zip(cases, shown, strict=True):
                names = bench.probe.name(np.stack([looked_at(picture, box) for box in asked.boxes]))
                right.append([float(got == own) for (got, _), own in zip(names, asked.objects, strict=True)])
            named = _mean([one for case in right for one in case])
            result[name] = {"named": named, "all named": _mean([min(case) for case in right])}
    return found


def rendered(world: World, asked: Asked) -> np.ndarray:
    """The world's own objects in their boxes of a scene, unlit: (H, W, 3) float32 in [0, 1]."""
    picture = world.render("background", scene=asked.scene, seed=asked.seed).picture.astype(np.float32) / 255
    for key, (x, y, width, height) in zip(asked.objects, asked.boxes, strict=True):
        sample = world.render("foreground", obj=key, seed=asked.seed)
        assert sample.foreground is not None
        rgba = sample.foreground.astype(np.float32) / 255
        left, top, right, bottom = (round(edge * world.size) for edge in sample.truth["box"])
        rgba = np.concatenate([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1)[top:bottom, left:right]
        scale = world.size * min(width / (right - left), height / (bottom - top))
        small = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        rows, columns = small.shape[:2]
        up, along = round((y + height / 2) * world.size - rows / 2), round((x + width / 2) * world.size - columns / 2)
        place = picture[max(up, 0) : up + rows, max(along, 0) : along + columns]
        small = small[max(-up, 0) :, max(-along, 0) :][: place.shape[0], : place.shape[1]]
        place[:] = small[..., :3] + (1 - small[..., 3:]) * place
    return picture


def _alphas(triplet: Any, union: np.ndarray) -> list[np.ndarray]:
    """Each foreground's alpha in the scene, (H, W) in [0, 1]."""
    if not triplet.subjects:
        return [union[..., 3]]
    stack, height, width = triplet.to_stack(), *union.shape[:2]
    alphas = []
    for number in range(1, len(triplet.subjects) + 1):
        name = "foreground (unlit)" if number == 1 else f"foreground {number} (unlit)"
        baked = stack[name].baked(within=(width, height))
        left, top = baked.offset
        alpha = np.zeros((height, width), np.float32)
        pixels = baked.pixels[..., 3] / 255
        alpha[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        alphas.append(alpha)
    return alphas


def summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Of all cases: means with their intervals."""
    places = [place for case in cases for place in case["places"]]
    near = [float(place["centre"] <= NEAR) for place in places]
    alike = [float(place["size"] <= ALIKE) for place in places]
    result: dict[str, Any] = {"cases": len(cases), "centre within the bar": _mean(near)}
    result |= {"size within the bar": _mean(alike), "centre": _mean([place["centre"] for place in places])}
    for name in ("blended", "layered"):
        result[name] = {
            "named": _mean([one for case in cases for one in case[name]["named"]]),
            "all named": _mean([min(case[name]["named"]) for case in cases]),
            "another's subject found": _mean([one for case in cases for one in case[name]["leaked"]]),
            "wholeness": _mean([case[name]["wholeness"] for case in cases]),
        }
    return result


def _mean(values: list[float]) -> dict[str, Any]:
    each = np.array([value for value in values if np.isfinite(value)])
    low, high = bootstrap(lambda at: float(each[at].mean()), len(each)) if len(each) else (float("nan"),) * 2
    mean = float(each.mean()) if len(each) else float("nan")
    return {"mean": round(mean, 4), "interval": [round(low, 4), round(high, 4)], "of": len(each)}


# --- cases ------------------------------------------------------------------------------------------------------------


def one_box(world: World, number: int) -> Asked:
    """A box of any place and shape."""
    rng = np.random.default_rng(SEEDS + number)
    width, height = rng.uniform(SMALLEST, LARGEST, 2)
    box = (rng.uniform(0, 1 - width), rng.uniform(0, 1 - height), width, height)
    return _asked(world, number, rng, (box,))


def side_by_side(count: int) -> Callable[[World, int], Asked]:
    """`count` boxes beside each other, as high as they like."""

    def asked(world: World, number: int) -> Asked:
        rng = np.random.default_rng(SEEDS + 1000 * count + number)
        width = 1 / count - GAP
        boxes = []
        for k in range(count):
            height = float(rng.uniform(max(SMALLEST, width), LARGEST))
            boxes.append((k / count + GAP / 2, float(rng.uniform(0, 1 - height)), width, height))
        return _asked(world, number, rng, tuple(boxes))

    return asked


def _asked(world: World, number: int, rng: np.random.Generator, boxes: tuple[Any, ...]) -> Asked:
    chosen = rng.choice(len(world.objects), len(boxes), replace=False)
    scene = world.scenes[number % len(world.scenes)].key
    plain = tuple((float(x), float(y), float(width), float(height)) for x, y, width, height in boxes)
    return Asked(tuple(world.objects[k].key for k in chosen), plain, scene, SEEDS + number)


TASKS: dict[str, tuple[Callable[[World, int], Asked], bool]] = {
    "own frame": (one_box, False),
    "scene's frame": (one_box, True),
    "two": (side_by_side(2), False),
    "three": (side_by_side(3), False),
}


def task(bench: Bench, name: str, count: int) -> dict[str, Any]:
    """The first `count` cases of a task: those that are kept, and the rest anew."""
    make, inside_scene = TASKS[name]
    kept = bench.work / f"{name.replace(' ', '-')}.jsonl"
    cases = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    for number in range(len(cases), count):
        asked = make(bench.world, number)
        output = bench.run(asked, inside_scene)
        cases.append(measured(bench, asked, output))
        with kept.open("a") as file:
            file.write(json.dumps(cases[-1]) + "\n")
        triplet = output.triplet()
        for which in ("background", "blended", "layered"):
            getattr(triplet, which).save(bench.work / f"{name.replace(' ', '-')}-{number:03d}-{which}.png")
    draw(bench, name, cases[:count])
    return summary(cases[:count])


def draw(bench: Bench, name: str, cases: list[dict[str, Any]]) -> None:
    """The first ten cases: background, blended and layered picture."""
    rows = []
    for which in ("background", "blended", "layered"):
        files = [bench.work / f"{name.replace(' ', '-')}-{number:03d}-{which}.png" for number in range(len(cases))]
        rows.append([Tile(Image.open(file), which) for file in files[:10]])
    sheet(rows, (128, 128), name, "").save(bench.work / f"{name.replace(' ', '-')}.png")


def cost(bench: Bench, rounds: int) -> dict[str, Any]:
    """Seconds of a triplet of the whole frame, and of two and three foregrounds, as shares of it, in turns."""
    whole = Asked(("fox",), ((0, 0, 1, 1),), bench.world.scenes[0].key, SEEDS)
    runs: dict[str, Callable[[], Any]] = {
        "one, whole frame": lambda: bench.pipe(
            "a fox", bench.world.scene(whole.scene).phrases[0], generator=torch.Generator().manual_seed(0)
        )
    }
    for name, make in (("one, in a box", one_box), ("two", side_by_side(2)), ("three", side_by_side(3))):
        asked = make(bench.world, 0)
        prompts = [Foreground(article(key), box=box) for key, box in zip(asked.objects, asked.boxes, strict=True)]
        runs[name] = partial(
            bench.pipe,
            foregrounds=prompts,
            background_prompt=bench.world.scene(whole.scene).phrases[0],
            generator=torch.Generator().manual_seed(0),
        )
    shares: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        seconds = {}
        for name, run in runs.items():
            started = time.process_time()
            run()
            seconds[name] = time.process_time() - started
        for name, taken in seconds.items():
            shares[name].append(taken / seconds["one, whole frame"])
    return {name: {"share": round(float(np.median(each)), 3), "rounds": rounds} for name, each in shares.items()}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="a preset's name or a model's folder")
    parser.add_argument("--tasks", default=",".join([*TASKS, ALONE, CEILING]))
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="of the cost; 0 leaves it out")
    parser.add_argument("--probe", type=Path, default=Path("build/probe.safetensors"))
    parser.add_argument("--out", type=Path, default=Path("build/boxes"), help="folder of boxes.json and what is kept")
    args = parser.parse_args()
    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    world = World(pipe.default_sample_size * pipe.vae_scale_factor)
    probe, accuracy = ready_probe(world, args.probe)
    bench = Bench(pipe, world, probe, args.out / fingerprint_of(args.model))
    bench.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"commit": commit(), "conditions": conditions(), "probe": accuracy}
    results |= {"cost": cost(bench, args.rounds)} if args.rounds else {}
    others = {ALONE: naive, CEILING: ceiling}
    for name in args.tasks.split(","):
        results[name] = others[name](bench, args.cases) if name in others else task(bench, name, args.cases)
        print(name, json.dumps(results[name], indent=1), flush=True)
        with atomic_write(args.out / "boxes.json") as temporary:
            temporary.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
