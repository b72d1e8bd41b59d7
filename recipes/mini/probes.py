"""A probe: a small classifier that names the object and the scene of a picture, trained on fresh renders.

It judges what the embedded model generates, so it must forgive what an autoencoder does to a picture (softness, noise,
a shifted colour) and must not learn the lighting by heart: half of its pictures of things in scenes are pasted there,
unlit, from layers that were never rendered together.

    python -m recipes.mini.probes --out build/probe.safetensors
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from layerfusion.files import atomic_write
from recipes.mini.precision import fast_products
from recipes.mini.world import Kind, Sample, Tier, World

SIDE = 64  # what the probe looks at
WIDTHS = (24, 48, 96, 144)  # channels by level, each at half the side of the one before
NOTHING = "nothing"  # the object class of an empty scene
TRAIN_SEED, TEST_SEED = 50_000_000, 60_000_000  # far from the seeds that models are trained on
IGNORED = -100


class Probe(nn.Module):
    """A convolutional network with two heads: the object (or nothing) and the scene.

    Args:
        objects: Names of the objects; the class after them is `NOTHING`.
        scenes: Names of the scenes.
    """

    def __init__(self, objects: list[str], scenes: list[str]) -> None:
        super().__init__()
        self.objects, self.scenes = [*objects, NOTHING], list(scenes)
        layers: list[nn.Module] = []
        previous = 3
        for level, channels in enumerate(WIDTHS):
            layers += [nn.Conv2d(previous, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            if level:
                layers += [nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            previous = channels
        self.body = nn.Sequential(*layers)
        # Mean and maximum: the scene is everywhere, the object at one place.
        self.object_head = nn.Linear(2 * previous, len(self.objects))
        self.scene_head = nn.Linear(2 * previous, len(self.scenes))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [0, 1] → logits of the objects (B, n + 1) and of the scenes (B, m)."""
        small = pictures if pictures.shape[-1] == SIDE else F.interpolate(pictures, (SIDE, SIDE), mode="area")
        features = self.body(small * 2 - 1)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        return self.object_head(pooled), self.scene_head(pooled)

    @torch.no_grad()
    def name(self, pictures: np.ndarray) -> list[tuple[str, str]]:
        """The (object, scene) of each picture of (B, H, W, 3) in [0, 1]; the object may be `NOTHING`."""
        self.eval()
        batch = torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, 1).float()
        objects, scenes = self(batch)
        pairs = zip(objects.argmax(1).tolist(), scenes.argmax(1).tolist(), strict=True)
        return [(self.objects[o], self.scenes[s]) for o, s in pairs]


@dataclass
class Corpus:
    """Renders of one kind at the probe's size: (N, SIDE, SIDE, 3 or 4) uint8, and the classes of each."""

    pictures: np.ndarray
    objects: np.ndarray
    scenes: np.ndarray

    @classmethod
    def render(cls, world: World, kind: Kind, count: int, seed: int) -> Corpus:
        """`count` samples from `seed` on; foregrounds stay RGBA, premultiplied."""
        names = {spec.key: i for i, spec in enumerate(world.objects)}
        places = {spec.key: i for i, spec in enumerate(world.scenes)}
        pictures, objects, scenes = [], [], []
        for k in range(count):
            sample = world.sample(seed + k, kind, alone=True)
            pictures.append(cv2.resize(_picture(sample, kind), (SIDE, SIDE), interpolation=cv2.INTER_AREA))
            objects.append(names.get(sample.truth["object"], len(names)))
            scenes.append(places.get(sample.truth["scene"], IGNORED))
        return cls(np.stack(pictures), np.array(objects), np.array(scenes))

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """A batch: pictures (count, C, SIDE, SIDE) in [0, 1], objects, scenes."""
        at = rng.integers(len(self.pictures), size=count)
        pictures = torch.from_numpy(self.pictures[at]).movedim(-1, 1).float() / 255
        return pictures, torch.from_numpy(self.objects[at]), torch.from_numpy(self.scenes[at])


def _picture(sample: Sample, kind: Kind) -> np.ndarray:
    if kind != "foreground":
        return sample.picture
    assert sample.foreground is not None
    rgba = sample.foreground.astype(np.float32)
    rgba[..., :3] *= rgba[..., 3:] / 255
    return (rgba + 0.5).astype(np.uint8)


def batch_of(corpora: dict[Kind, Corpus], rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """A training batch: a quarter each of things on grey, empty scenes, lit composites, and pasted ones."""
    quarter = count // 4
    grey, grey_objects, grey_scenes = corpora["foreground"].draw(rng, quarter)
    empty = corpora["background"].draw(rng, quarter)
    lit = corpora["composite"].draw(rng, quarter)
    thing, thing_objects, _ = corpora["foreground"].draw(rng, quarter)
    place, _, place_scenes = corpora["background"].draw(rng, quarter)
    gain = torch.from_numpy(
        rng.uniform(0.5, 1.1, (quarter, 1, 1, 1)) * rng.uniform(0.8, 1.2, (quarter, 3, 1, 1))
    ).float()
    pasted = (thing[:, :3] * gain).clamp(0, 1) + place * (1 - thing[:, 3:])
    on_grey = grey[:, :3] + 0.5 * (1 - grey[:, 3:])
    return (
        torch.cat([on_grey, empty[0], lit[0], pasted]).clamp(0, 1),
        torch.cat([grey_objects, empty[1], lit[1], thing_objects]),
        torch.cat([grey_scenes, empty[2], lit[2], place_scenes]),
    )


def disturb(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """What generation does to pictures: softness, a little noise, drifting colour and place."""
    count = len(pictures)
    dy, dx = (int(d) for d in rng.integers(-4, 5, 2))
    pictures = F.pad(pictures, (4, 4, 4, 4), mode="replicate")[..., 4 + dy : 4 + dy + SIDE, 4 + dx : 4 + dx + SIDE]
    # Half of the pictures lose detail as an autoencoder of factor 8 loses it: down to 20 to 48 pixels and back.
    side = int(rng.integers(20, 49))
    soft = F.interpolate(F.interpolate(pictures, (side, side), mode="area"), (SIDE, SIDE), mode="bilinear")
    amount = torch.from_numpy(rng.uniform(-1, 1, (count, 1, 1, 1)).clip(0)).float() ** 0.5
    pictures = pictures + (soft - pictures) * amount
    colour = torch.from_numpy(rng.uniform(0.88, 1.12, (count, 3, 1, 1))).float()
    noise = torch.from_numpy(rng.standard_normal(pictures.shape, np.float32) * rng.uniform(0, 0.05))
    return (pictures * colour + noise).clamp(0, 1)


def train(world: World, pictures: int = 3000, steps: int = 1500, batch: int = 64, seed: int = 0) -> Probe:
    """Render `pictures` of each kind and train a probe on them; a few minutes on one core."""
    corpora = {
        kind: Corpus.render(world, kind, pictures, TRAIN_SEED)
        for kind in cast("tuple[Kind, ...]", ("foreground", "background", "composite"))
    }
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    probe = Probe([spec.key for spec in world.objects], [spec.key for spec in world.scenes])
    probe.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(probe.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.1)
    started = time.monotonic()
    for step in range(steps):
        views, objects, scenes = batch_of(corpora, rng, batch)
        with fast_products():
            object_logits, scene_logits = probe(disturb(views, rng).contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(object_logits.float(), objects, label_smoothing=0.05)
        loss = loss + F.cross_entropy(scene_logits.float(), scenes, ignore_index=IGNORED, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 249:
            print(f"step {step + 1}/{steps}  loss {loss.item():.3f}  {time.monotonic() - started:.0f} s", flush=True)
    return probe.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]


def accuracy(probe: Probe, world: World, count: int = 500) -> dict[str, float]:
    """How often the probe is right on fresh renders it has never seen, undisturbed: shares in [0, 1]."""
    result = {}
    for kind in cast("tuple[Kind, ...]", ("foreground", "background", "composite")):
        fresh = [world.sample(TEST_SEED + k, kind, alone=True) for k in range(count)]
        named = probe.name(np.stack([sample.picture for sample in fresh]).astype(np.float32) / 255)
        truths = [(sample.truth["object"] or NOTHING, sample.truth["scene"]) for sample in fresh]
        result[f"{kind} object"] = float(np.mean([n[0] == t[0] for n, t in zip(named, truths, strict=True)]))
        if kind != "foreground":
            result[f"{kind} scene"] = float(np.mean([n[1] == t[1] for n, t in zip(named, truths, strict=True)]))
    return result


def save(probe: Probe, path: Path, scores: dict[str, float]) -> None:
    """Write weights, names and accuracies as one safetensors file."""
    metadata = {
        "objects": json.dumps(probe.objects[:-1]),
        "scenes": json.dumps(probe.scenes),
        "accuracy": json.dumps(scores),
    }
    with atomic_write(path) as temporary:
        save_file(probe.state_dict(), temporary, metadata)


def load(path: Path) -> tuple[Probe, dict[str, float]]:
    """The probe of a file, and its accuracies on fresh renders."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    probe = Probe(json.loads(metadata["objects"]), json.loads(metadata["scenes"]))
    probe.load_state_dict(state)
    return probe.eval(), json.loads(metadata["accuracy"])


def main() -> None:
    """Train, measure on fresh renders, save."""
    parser = argparse.ArgumentParser(description="Train the probe that judges the embedded model.")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--tier", choices=("core", "full"), default="core")
    parser.add_argument("--pictures", type=int, default=3000, help="renders of each kind")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=Path("build/probe.safetensors"))
    args = parser.parse_args()
    world = World(args.size, cast("Tier", args.tier))
    probe = train(world, args.pictures, args.steps)
    scores = accuracy(probe, world)
    save(probe, args.out, scores)
    for name, share in scores.items():
        print(f"{name:20} {share:.3f}")


if __name__ == "__main__":
    main()
