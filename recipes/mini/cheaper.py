"""What cheaper sampling does to a triplet: each saving against the exact mode, same prompts and seeds.

    python -m recipes.mini.cheaper

For each saving: the overlap of its alpha with the exact one's (IoU), its wholeness, and how its subject's colour gain
(blended over foreground) follows the exact mode's: slope and r over cases and channels. A saving that changes nothing
scores IoU 1, the exact mode's wholeness, slope 1 and r 1. Writes `docs/cheaper.json`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator

from benchmarks.machine import conditions
from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.evaluation import measures
from layerfusion.files import atomic_write
from layerfusion.models import load_pipeline

PAGE = Path(__file__).parents[2] / "docs" / "cheaper.json"
SEED = 92_000_000
"""Of the first case. The model's defaults were chosen by the pictures of 91,000,000; these score them."""
Pictures = dict[str, np.ndarray]


def savings(exact: LayerFusionConfig) -> dict[str, tuple[LayerFusionConfig, int]]:
    """Configuration and transparency passes of each; the first is the exact mode."""
    previous, half = replace(exact, structure_from="previous_step"), replace(exact, guidance_range=(0, 0.5))
    early, most = replace(exact, prior_range=(0, 0.3)), replace(exact, guidance_range=(0, 0.7))
    both, chosen = replace(early, guidance_range=(0, 0.7)), replace(early, guidance_range=(0, 0.6))
    return {
        "exact": (exact, 8),
        "one transparency pass": (exact, 1),
        "the step before's structure": (previous, 8),
        "prior passes in the first 30 %": (early, 8),
        "guidance in the first 70 %": (most, 8),
        "guidance in the first half": (half, 8),
        "first 70 %, one pass": (most, 1),
        "first 30 %, one pass": (early, 1),
        "first 30 and 70 %, one pass": (both, 1),
        "first 30 and 60 %, one pass": (chosen, 1),
        "all: half, step before's, one pass": (replace(half, structure_from="previous_step"), 1),
    }


def prompts(pipeline: LayerFusionPipeline, count: int) -> list[tuple[str, str]]:
    """Every n-th object of the vocabulary, each in another scene."""
    known: Any = pipeline.config.vocabulary
    objects = [entry["name"] for group in known["objects"].values() for entry in group]
    scenes = [entry["name"] for entry in known["scenes"]]
    chosen = objects[:: max(1, len(objects) // count)][:count]
    return [(f"a {name}", f"a {scenes[index % len(scenes)]}") for index, name in enumerate(chosen)]


def pictures(pipeline: LayerFusionPipeline, latents: torch.Tensor, passes: int) -> Pictures:
    output = pipeline.decode(latents, "np", passes)
    return {name: np.asarray(getattr(output, name)[0]) for name in ("foreground", "blended")}


def compared(found: list[Pictures], exact: list[Pictures]) -> dict[str, Any]:
    """The measures of one saving: means over the cases, with bootstrap intervals."""

    def gains(of: list[Pictures]) -> np.ndarray:
        lit = [
            measures.colour_gain(p["blended"], p["foreground"][..., :3], measures.interior(e["foreground"][..., 3]))
            for p, e in zip(of, exact, strict=True)
        ]
        return np.log(np.array(lit))

    def mean(values: list[float]) -> list[float]:
        known = np.array(values)[np.isfinite(values)]
        low, high = measures.bootstrap(lambda at: float(known[at].mean()), len(known))
        return [round(float(x), 4) for x in (known.mean(), low, high)]

    pairs = list(zip(found, exact, strict=True))
    whole = [measures.wholeness(p["blended"], p["foreground"][..., :3], p["foreground"][..., 3]) for p in found]
    of_exact = [measures.wholeness(e["blended"], e["foreground"][..., :3], e["foreground"][..., 3]) for e in exact]
    line = measures.fit(gains(exact), gains(found))
    return {
        "alpha IoU": mean([measures.overlap(p["foreground"][..., 3], e["foreground"][..., 3]) for p, e in pairs]),
        "wholeness": mean(whole),
        "wholeness, less the exact one's": mean([a - b for a, b in zip(whole, of_exact, strict=True)]),
        "slope of gains on the exact ones": round(line.slope, 4),
        "r": round(line.r, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12)
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    pipeline = load_pipeline(device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    exact = pipeline.defaults.config.exact()
    tried = savings(exact)
    found: dict[str, list[Pictures]] = {name: [] for name in tried}
    for index, (foreground, background) in enumerate(prompts(pipeline, options.cases)):
        sampled: dict[LayerFusionConfig, torch.Tensor] = {}
        for name, (config, passes) in tried.items():
            if config not in sampled:
                generator = Generator().manual_seed(SEED + index)
                output: Any = pipeline(foreground, background, config=config, generator=generator, output_type="latent")
                sampled[config] = torch.stack([output.foreground, output.blended, output.background])
            found[name].append(pictures(pipeline, sampled[config], passes))
        print(f"{index + 1} of {options.cases}: {foreground}, {background}", flush=True)
        rows = {name: compared(of, found["exact"]) for name, of in found.items()}
        with atomic_write(PAGE) as temporary:  # after each case, so that nothing is lost
            kept = {"conditions": conditions(), "cases": index + 1, "rows": rows}
            temporary.write_text(json.dumps(kept, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
