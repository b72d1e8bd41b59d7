"""The paper's Table 1: `python -m recipes.paper.table1`.

Foregrounds and backgrounds of LayerFusion and of LayerDiffuse's sequential pipeline: how well they show their prompts
(CLIP score), and how far they are from what the foreground generator and the base make alone (KID, FID). On the
embedded model, whose sequential pipeline `recipes.mini.train.sequential` trains, through the project's own probe; with
`--model` on any other, through Inception and CLIP-G. What was drawn lies in `--work`: the same command goes on there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from layerfusion import LayerFusionPipeline
from layerfusion.errors import LayerFusionError
from layerfusion.evaluation import features
from layerfusion.evaluation.baselines import Missing
from layerfusion.evaluation.distances import by_halves, frechet, kernel_distance
from layerfusion.evaluation.features import Features
from layerfusion.evaluation.paper import figure, figures
from layerfusion.models import MINI, load_pipeline, read_vocabulary
from layerfusion.models.locate import fingerprint
from recipes.mini.kept import fingerprint_of
from recipes.mini.precision import has_bfloat16
from recipes.mini.report import ready_probe
from recipes.mini.train.sequential import FOLDER
from recipes.mini.triplets import known_world
from recipes.mini.world import World, article
from recipes.paper import drawn, table1_page
from recipes.paper.drawn import EMBEDDED, Pair
from recipes.paper.kept import Measure, Pictures, keep
from recipes.paper.probe_features import ProbeFeatures

SEEDS = 97_000_000
LAYERS = ("foreground", "background")
Drawn = dict[str, np.ndarray]


def pairs_of(world: World | None, count: int, seed: int) -> list[Pair]:
    """`count` pairs of everything that the world knows, or of the paper's prompts; more go on from fewer."""
    if world is not None:
        known = [(article(o.key), s.phrases[0]) for o in world.objects for s in world.scenes]
    else:
        known = list(dict.fromkeys(pair for name in figures() for pair in figure(name).paper))
    order = np.random.default_rng(seed).permutation(len(known))
    chosen = [known[order[k % len(order)]] for k in range(count)]
    return [Pair(words[0], words[1], SEEDS + 10_000 * seed + k) for k, words in enumerate(chosen)]


def shown_to_features(pictures: np.ndarray) -> np.ndarray:
    """(N, H, W, 3): foregrounds over mid-grey, as their generator draws them."""
    if pictures.shape[-1] == 3:
        return pictures
    return 0.5 + (pictures[..., :3] - 0.5) * pictures[..., 3:]


def score(found: Features, pictures: Drawn, alone: Drawn, pairs: list[Pair], draws: int = 200) -> dict[str, Measure]:
    """The measures of one row: six of the paper's, and what else the features can tell."""
    row: dict[str, Measure] = {}
    for layer in LAYERS:
        mine, real = shown_to_features(pictures[layer]), shown_to_features(alone[layer])
        prompts = [getattr(pair, layer) for pair in pairs]
        clip = found.agreement(mine, prompts)
        row[f"{layer} CLIP"] = _mean(clip, draws)
        for name, distance, look in (("KID", kernel_distance, found.deep), ("FID", frechet, found.texture)):
            row[f"{layer} {name}"] = _distance(distance, look(mine), look(real), draws)
        if isinstance(found, ProbeFeatures):
            row[f"{layer} named"] = _mean(found.named(mine, prompts), draws)
    if isinstance(found, ProbeFeatures):
        for layer in LAYERS:
            hits = found.named(pictures["blended"], [getattr(pair, layer) for pair in pairs])
            row[f"blended {layer} named"] = _mean(hits, draws)
    return row


def _mean(values: np.ndarray, draws: int) -> Measure:
    low, high = by_halves(lambda i, _: float(values[i].mean()), len(values), len(values), draws)
    return {"value": float(values.mean()), "low": low, "high": high, "better": "high", "cases": len(values)}


def _distance(
    distance: Callable[[np.ndarray, np.ndarray], float], mine: np.ndarray, real: np.ndarray, draws: int
) -> Measure:
    low, high = by_halves(lambda i, j: distance(mine[i], real[j]), len(mine), len(real), draws)
    return {"value": distance(mine, real), "low": low, "high": high, "better": "low", "cases": len(mine)}


def features_for(world: World | None, args: argparse.Namespace) -> Features:
    """The paper's networks where they are, else the probe of the embedded model's world.

    Raises:
        LayerFusionError: neither is there.
    """
    found = features.prepare(args.weights, "cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(found, list):
        return found
    if world is None:
        raise LayerFusionError(" ".join(f"{missing}." for missing in found))
    return ProbeFeatures(ready_probe(world, args.probe)[0], world)


def run(args: argparse.Namespace, pipe: LayerFusionPipeline, seed: int) -> tuple[dict[str, Any], dict[str, Drawn]]:
    """One run of the table with pairs and noise of its own: what `keep` takes, and the pictures of each row."""
    world = None
    if args.model == EMBEDDED:
        world = known_world(pipe.default_sample_size * pipe.vae_scale_factor, args.build, read_vocabulary(MINI))
    kept = Pictures(args.work, fingerprint_of(args.model), args.precision)
    pairs = pairs_of(world, args.count, seed)
    rows: dict[str, dict[str, Measure]] = {}
    missing: dict[str, str] = {}
    pictures: dict[str, Drawn] = {}
    with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16"):
        alone = drawn.alone(kept, pipe, pairs, args.batch)
        for name, prepare in drawn.systems(pipe, args.model, args.weights).items():
            if args.only and not any(part in name for part in args.only):
                continue
            system = prepare()
            if isinstance(system, Missing):
                missing[name] = str(system)
            else:
                stages = (fingerprint(FOLDER),) if name == drawn.SMALL else ()
                of_system = Pictures(kept.folder, *kept.settings, *stages)
                pictures[name] = drawn.triplets(of_system, name, system, pairs, args.batch)
    found = features_for(world, args)
    for name, each in pictures.items():
        rows[name] = score(found, each, alone, pairs)
    settings = {"pairs": len(pairs), "seed": seed, "steps": pipe.defaults.steps, "precision": args.precision}
    return {"features": found.name, "settings": settings, "missing": missing, "rows": rows}, pictures


def main() -> None:
    parser = argparse.ArgumentParser(description="The paper's Table 1.")
    parser.add_argument("--model", default=EMBEDDED, help="a preset's name or a model's folder")
    parser.add_argument("--count", type=int, default=200, help="triplets of each row")
    parser.add_argument("--seed", type=int, default=0, help="of the pairs and their noise")
    parser.add_argument("--again", type=int, metavar="SEED", help="a second run, to see that both say the same")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="on a CPU; else the faster")
    parser.add_argument("--only", nargs="*", help="rows whose names hold one of these")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="the folder of the documentation")
    parser.add_argument("--work", type=Path, default=Path("build/table1"), help="where what was drawn is kept")
    parser.add_argument("--weights", type=Path, default=Path("build/weights"), help="where others' weights may lie")
    parser.add_argument("--build", type=Path, default=Path("build/world"), help="where the world's sprites are")
    parser.add_argument("--probe", type=Path, default=Path("build/probe.safetensors"))
    args = parser.parse_args()
    args.precision = args.precision or ("bfloat16" if has_bfloat16() else "float32")
    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    first, pictures = run(args, pipe, args.seed)
    rows = first.pop("rows")
    if args.again is not None:
        first["again"] = run(args, pipe, args.again)[0]
    path = args.out / "evidence" / ("table1.json" if args.model == EMBEDDED else f"table1-{Path(args.model).name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    lost = keep(path, rows, first)
    table1_page.write(path, pictures)
    for sentence in lost:
        print(sentence)
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
