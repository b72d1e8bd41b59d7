"""Figure 9 of the paper: the structure prior of every self-attention. `python -m recipes.paper.figure9`

Beside the sheets, how well each layer's prior tells the subject from the rest, at three times of the run and over
several seeds: the paper takes the last layer's. Results go to `docs/evidence/`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from layerfusion import LayerFusionConfig
from layerfusion.drawing import Tile, heat_map, sheet
from layerfusion.evaluation.figures import short_name, tile_size
from layerfusion.evaluation.measures import auc
from layerfusion.evaluation.priors import LatentsNear, observe_priors
from layerfusion.method import resolve_structure_layer
from recipes.paper.bench import Bench, Case, mean
from recipes.paper.kept import shown, table

TIMES = (0.8, 0.5, 0.2)
NAMES = tuple(f"t = {time} T" for time in TIMES)


def observe(bench: Bench, case: Case) -> tuple[Image.Image, dict[str, list[Any]]]:
    """The foreground, and for each self-attention in the order of computation its s' at `TIMES`."""
    near = [LatentsNear(time, lambda: None) for time in TIMES]

    def look(pipeline: Any, i: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        for each in near:
            each(pipeline, i, t, tensors)
        return tensors

    output: Any = bench.run([case], LayerFusionConfig.paper(), callback_on_step_end=look)
    layers: dict[str, list[Any]] = {}
    for each in near:
        for priors in observe_priors(bench.pipe, [case.prompts[0]], each.latents, each.timestep):
            if priors.sparsity is not None:
                layers.setdefault(priors.layer, []).append(priors.structure(1)[0])
    foreground: Image.Image = output.foreground[0]
    return foreground, layers


def scored(foreground: Image.Image, maps: list[Any]) -> list[float]:
    """The area under the ROC curve of a layer's prior at each time, against the alpha at its own grid."""
    alpha = foreground.getchannel("A").resize(maps[0].shape[::-1], Image.Resampling.BOX)
    return [auc(values.numpy(), np.asarray(alpha) > 127) for values in maps]


def drawn(seen: dict[str, tuple[Image.Image, dict[str, list[Any]]]], chosen: str, subtitle: str) -> Image.Image:
    """A row for each layer, over the prompts and times; framed is the one that the model blends by."""
    size = tile_size(next(iter(seen.values()))[0])
    layers = next(iter(seen.values()))[1]
    rows = [[Tile(foreground) for foreground, _ in seen.values() for _ in TIMES]]
    labels = [""]
    for layer, maps in layers.items():
        every = [values for _, of_each in seen.values() for values in of_each[layer]]
        rows.append([Tile(heat_map(values.numpy(), size), marked=layer == chosen) for values in every])
        labels.append(f"{short_name(layer)}, {maps[0].shape[1]} x {maps[0].shape[0]}")
    columns = [f"{prompt}\n{name}" for prompt in seen for name in NAMES]
    return sheet(rows, size, "Structure prior of every self-attention", subtitle, labels, columns)


def main() -> None:
    """Run, measure, draw, write."""
    bench = Bench.opened(__doc__.splitlines()[0], "figure9", seeds=4)
    chosen = resolve_structure_layer(bench.pipe.unet, bench.pipe.config.structure_layer)
    seen: dict[str, tuple[Image.Image, dict[str, list[Any]]]] = {}
    scores: dict[str, list[list[float]]] = {}
    for case in track(bench.cases("9"), "triplets and their layers"):
        foreground, layers = observe(bench, case)
        seen.setdefault(case.prompts[0], (foreground, layers))
        for layer, maps in layers.items():
            scores.setdefault(layer, []).append(scored(foreground, maps))
    rows = {layer: {name: mean(np.array(each)[:, k]) for k, name in enumerate(NAMES)} for layer, each in scores.items()}
    about = (
        "Figure 9 of the paper: what each self-attention of the foreground model holds for the subject, with the "
        "paper's configuration."
    )
    subtitle = f"s' = 1 - minmax(s), seed {bench.seeds[0]}, in the order of computation; framed: the model's own"
    sheets = {"figure9": drawn(seen, chosen, subtitle)}
    _, lines, lost = bench.put_down("figure9", "Figure 9: the structure prior of every layer", about, rows, sheets)
    lines += ["![Structure priors](../images/evidence/figure9.webp)", ""]
    runs = len(next(iter(scores.values())))
    lines += [
        f"Area under the ROC curve against the alpha that the run ends with, mean over {runs} runs, in brackets a "
        "bootstrap interval of 95 %; 0.5 is chance, below it the prior is turned round. The layers are in the order of "
        f"computation: the paper takes the last; this model is saved with `{short_name(chosen)}`.",
        "",
        *table(
            ["self-attention", *NAMES],
            [[f"`{layer}`", *(shown(row[name], "{:.2f}") for name in NAMES)] for layer, row in rows.items()],
        ),
    ]
    bench.end("figure9", lines, lost)


if __name__ == "__main__":
    main()
