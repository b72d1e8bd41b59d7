"""Whole and in the light: every variant of the blend, measured, and one chosen.

    python -m recipes.mini.frontier

A subject of the blended picture should be all there (wholeness) and stand in the light of its scene (slope and r of
its colour gain). Each variant is generated for a few subjects over half of the scenes; the one that is most whole among
those that meet the bars of the light is chosen. The choice and the paper's configuration are then generated for other
subjects and seeds over every scene, which is what counts. Writes `frontier.json`, `frontier.md` and the figure.

What has been measured is kept in the JSON file as it comes, and `--resume` goes on from there. `--only paper --choice
"detail: from 50% on"` measures a known choice and nothing else.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console

from benchmarks.machine import cpu_name
from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.evaluation import measures
from layerfusion.files import atomic_write
from layerfusion.models import defaults_for, load_pipeline
from recipes.mini import checks, frontier_page
from recipes.mini.material import SUBJECTS, unlit_references
from recipes.mini.page import commit
from recipes.mini.triplets import Case, Sampling, Triplets, generate
from recipes.mini.world import Tier, World

CHOOSING = ("cat", "car", "mushroom")  # what variants are chosen on, with seeds of their own
CHOOSING_SEED, SCORING_SEED = 90_000_000, checks.FRESH + 2000
BARS = {"slope": 0.75, "r": 0.9, "wholeness": 0.93}
TIE = 0.005  # in wholeness
TRUTH = "real renders"
console = Console()


def variants() -> dict[str, LayerFusionConfig]:
    """Every configuration that is tried, by its name; the part before the colon is its family."""
    paper = LayerFusionConfig.paper()
    ranged, detail = replace(paper, mask_range=(0.1, 0.8)), replace(paper, detail=1.0)
    rows = {"paper": paper}
    rows |= {f"detail: from {start:.0%} on": replace(detail, detail_range=(start, 1)) for start in (0.5, 0, 0.8)}
    rows |= {f"harmony: {harmony}": paper.with_harmony(harmony) for harmony in (0.0, 0.25, 0.75, 1.0)}
    rows["detail: half of it"] = replace(detail, detail=0.5)
    rows |= {"range: 5% to 90%": replace(paper, mask_range=(0.05, 0.9)), "range: 10% to 80%": ranged}
    rows["range: 10% to 80%, from 30% of the steps on"] = replace(ranged, blend_range=(0.3, 1))
    rows |= {f"aligned: 10% to 80%, λ = {strength}": replace(ranged, align=strength) for strength in (0.25, 0.5)}
    return rows


def cases_of(world: World, subjects: Sequence[str], seed: int, every: int = 1) -> list[Case]:
    """Every subject over every scene, or each `every`-th of them; each subject under one seed."""
    return [Case(name, scene.key, seed + k) for k, name in enumerate(subjects) for scene in world.scenes[::every]]


def measure(world: World, triplets: Triplets, unlit: dict[tuple[str, int], np.ndarray]) -> dict[str, dict[str, float]]:
    """Every measure of one variant: its value, and the ends of its bootstrap interval over the cases."""
    scenes = [case.scene for case in triplets.cases]
    gains = checks.case_gains(world, triplets, unlit)
    alone: dict[str, list[float]] = {"wholeness": [], "shadow overlap": [], "background kept": [], "ghost": []}
    for case, foreground, background, blended in zip(
        triplets.cases, triplets.foreground, triplets.background, triplets.blended, strict=True
    ):
        rgb, alpha = foreground[..., :3], foreground[..., 3]
        dark = measures.darkening(blended, background, alpha)
        shadows = [measures.shadow_overlap(dark, true) for true in checks.true_shadow(world, case, alpha)]
        alone["wholeness"].append(measures.wholeness(blended, rgb, alpha))
        alone["shadow overlap"].append(max(shadows))
        alone["background kept"].append(measures.background_kept(blended, background, alpha))
        alone["ghost"].append(measures.ghost(background, rgb, alpha))

    def row(statistic: Callable[[np.ndarray], float]) -> dict[str, float]:
        low, high = measures.bootstrap(statistic, len(scenes), draws=500)
        return {"value": float(statistic(np.arange(len(scenes)))), "low": low, "high": high}

    def known(name: str, summary: Callable[[np.ndarray], float]) -> dict[str, float]:
        """A summary of the cases in which something could be measured."""
        values = np.array(alone[name])
        values = values[np.isfinite(values)] if np.isfinite(values).any() else values
        low, high = measures.bootstrap(lambda at: float(summary(values[at])), len(values), draws=500)
        return {"value": float(summary(values)), "low": low, "high": high}

    def line(at: np.ndarray) -> measures.Line:
        return checks.regress([scenes[i] for i in at], gains[at])[0]

    result = {name: known(name, np.mean) for name in alone}
    result["wholeness, worst tenth"] = known("wholeness", lambda values: np.quantile(values, 0.1))
    result["slope"], result["r"] = row(lambda at: line(at).slope), row(lambda at: line(at).r)
    return result


Rows = dict[str, dict[str, Any]]


def score(
    pipe: LayerFusionPipeline,
    world: World,
    cases: list[Case],
    configs: dict[str, LayerFusionConfig],
    sampling: Sampling,
    known: Rows,
    keep: Callable[[], None],
) -> None:
    """Generate and measure what `known` does not hold yet, and let `keep` write it after each variant."""
    version = commit()
    if TRUTH not in known:
        real = checks.real_triplets(world, cases)
        known[TRUTH] = {"measures": measure(world, real, checks.unlit_of(real))}
    wanted = {name: config for name, config in configs.items() if name not in known}
    unlit = unlit_references(pipe, world, cases, sampling) if wanted else {}
    for name, config in wanted.items():
        started = time.monotonic()
        found = measure(world, generate(pipe, world, cases, config, sampling), unlit)
        known[name] = {"config": config.to_dict(), "commit": version, "measures": found}
        keep()
        values = "  ".join(f"{key} {found[key]['value']:.3f}" for key in BARS)
        console.print(f"{name}: {values}  ({time.monotonic() - started:.0f} s)", highlight=False)


def choose(rows: Rows) -> str:
    """The variant that is most whole among those that meet the bars of the light, or else the one most in the light.

    Of those within `TIE` of the most whole, the one that leaves the most of the background alone.
    """

    def value(name: str, measure: str) -> float:
        return float(rows[name]["measures"][measure]["value"])

    tried = [name for name in rows if name != TRUTH]
    lit = [name for name in tried if all(value(name, bar) >= BARS[bar] for bar in ("slope", "r"))]
    if not lit:
        return max(tried, key=lambda name: value(name, "slope"))
    best = max(value(name, "wholeness") for name in lit)
    equals = [name for name in lit if value(name, "wholeness") >= best - TIE]
    return max(equals, key=lambda name: value(name, "background kept"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure every variant of the blend, and choose one.")
    parser.add_argument("--model", default="mini", help="a preset's name or a model's folder")
    parser.add_argument("--tier", choices=("core", "full"), default="core", help="the vocabulary it was trained on")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of frontier.json and frontier.md")
    parser.add_argument("--only", nargs="*", metavar="FAMILY", help="families of variants to try: paper, detail, …")
    parser.add_argument("--choice", help="a variant's name, to be scored instead of the one that is found best")
    parser.add_argument("--subjects", type=int, default=len(SUBJECTS), help="subjects of the score")
    parser.add_argument("--steps", type=int, help="sampling steps; the model's own where left out")
    parser.add_argument("--batch", type=int, default=13)
    parser.add_argument("--resume", action="store_true", help="keep what frontier.json already holds")
    args = parser.parse_args()
    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    defaults = defaults_for(args.model)
    sampling = Sampling(args.steps or defaults.steps, defaults.guidance_scale, args.batch, passes=1)
    world = World(pipe.default_sample_size * pipe.vae_scale_factor, cast("Tier", args.tier))

    path = args.out / "frontier.json"
    results: dict[str, Any] = {"commit": commit(), "choosing": {}, "scoring": {}}
    if args.resume:
        results = json.loads(path.read_text(encoding="utf-8"))
    results |= {
        "machine": f"{cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "settings": f"{world.size} pixels, {sampling.steps} steps, guidance {sampling.guidance:g}",
        "subjects": {"choosing": list(CHOOSING), "scoring": list(SUBJECTS[: args.subjects])},
        "bars": BARS,
    }

    def keep() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    tried = {name: config for name, config in variants().items() if not args.only or name.split(":")[0] in args.only}
    score(pipe, world, cases_of(world, CHOOSING, CHOOSING_SEED, every=2), tried, sampling, results["choosing"], keep)
    results["choice"] = args.choice or choose(results["choosing"])
    others = cases_of(world, SUBJECTS[: args.subjects], SCORING_SEED)
    finals = {name: variants()[name] for name in ("paper", results["choice"])}
    score(pipe, world, others, finals, sampling, results["scoring"], keep)
    keep()
    frontier_page.write(results, args.out)


if __name__ == "__main__":
    main()
