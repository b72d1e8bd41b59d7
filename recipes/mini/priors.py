"""How well each attention layer of a model knows where the foreground is.

Fresh foregrounds of the world are encoded, noised to several times, and passed through ε_FG once; the structure prior
of every self-attention, the content confidence of every attention and the soft mask made of both are compared with the
true alpha at the layer's own grid, as areas under the ROC curve.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from layerfusion import LayerFusionPipeline
from layerfusion.evaluation import calibration
from layerfusion.evaluation.calibration import TIMES, LayerScore, choose_structure
from layerfusion.method import resolve_structure_layer
from layerfusion.transparency import encode_transparent
from recipes.mini.world import World

SEED = 70_000_000  # of the foregrounds that choose the layer; the report scores it on others


def fresh_foregrounds(world: World, count: int, seed: int) -> tuple[Tensor, list[str]]:
    """`count` objects never seen in training: RGBA (count, 4, H, W) in [0, 1], and their captions."""
    samples = [world.sample(seed + k, "foreground") for k in range(count)]
    pictures = torch.from_numpy(np.stack([s.foreground for s in samples if s.foreground is not None]))
    return pictures.movedim(-1, 1).float() / 255, [sample.caption for sample in samples]


@torch.no_grad()
def score_layers(
    pipe: LayerFusionPipeline,
    world: World,
    count: int = 48,
    times: Sequence[float] = TIMES,
    batch: int = 16,
    seed: int = SEED,
) -> list[LayerScore]:
    """The table on `count` fresh foregrounds of the world; mask_soft is made with the model's own structure prior."""
    assert pipe.transparent_encoder is not None
    rgba, captions = fresh_foregrounds(world, count, seed)
    parts = [rgba[start : start + batch] for start in range(0, count, batch)]
    latents = torch.cat([encode_transparent(pipe.vae, pipe.transparent_encoder, part) for part in parts])
    observed = calibration.observe(pipe, latents, rgba[:, 3:], captions, times, batch)
    layer = resolve_structure_layer(pipe.unet, pipe.config.structure_layer)
    return calibration.score_layers(observed, (layer, pipe.config.structure_sign))


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the table of priors, and the structure layer it speaks for.")
    parser.add_argument("--model", type=Path, required=True, help="a folder of a whole pipeline")
    parser.add_argument("--tier", choices=("core", "full"), default="core", help="the vocabulary of its world")
    parser.add_argument("--count", type=int, default=48, help="fresh foregrounds")
    args = parser.parse_args()
    pipe = LayerFusionPipeline.from_pretrained(args.model)
    size = pipe.default_sample_size * pipe.vae_scale_factor
    scores = score_layers(pipe, World(size, args.tier), args.count)
    print(f"area under the ROC curve against the true alpha, at t = {', '.join(map(str, TIMES))} of T")
    for score in scores:
        columns = [("structure", score.structure), ("content", score.content), ("mask_soft", score.soft)]
        cells = [f"{name} {' '.join(f'{value:.2f}' for value in values):15s}" for name, values in columns]
        print(f"{score.layer:60s} {'  '.join(cells)}")
    layer, sign = choose_structure(scores)
    print(f"choice: --structure-layer {layer} --structure-sign {sign}")


if __name__ == "__main__":
    main()
