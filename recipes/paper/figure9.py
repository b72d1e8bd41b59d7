"""Figure 9 of the paper: the structure prior of every self-attention. `python -m recipes.paper.figure9`

Beside the sheets, how well each layer's prior tells the subject from the rest, at three times of the run and over
several seeds: the paper takes the last layer's. Maps are kept: a run that was stopped goes on. Results go to
`docs/evidence/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from layerfusion import LayerFusionConfig
from layerfusion.drawing import Tile, heat_map, picture_of, sheet
from layerfusion.evaluation.figures import short_name, tile_size
from layerfusion.evaluation.priors import LatentsNear, observe_priors
from layerfusion.method import resolve_structure_layer
from recipes.paper.bench import Bench, Case, mean
from recipes.paper.figure3 import scored
from recipes.paper.kept import shown, table

TIMES = (0.8, 0.5, 0.2)
NAMES = tuple(f"t = {time} T" for time in TIMES)


def observe(bench: Bench, cases: Sequence[Case]) -> dict[str, np.ndarray]:
    """The foreground of one case, (1, H, W, 4), and for each self-attention its s' at `TIMES`, (1, times, h, w).

    Names of layers begin with their number in the order of computation.
    """
    near = [LatentsNear(time, lambda: None) for time in TIMES]

    def look(pipeline: Any, i: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        for each in near:
            each(pipeline, i, t, tensors)
        return tensors

    output: Any = bench.run(cases, LayerFusionConfig.paper(), callback_on_step_end=look, output_type="np")
    layers: dict[str, list[np.ndarray]] = {}
    for each in near:
        for number, priors in enumerate(observe_priors(bench.pipe, [cases[0].prompts[0]], each.latents, each.timestep)):
            if priors.sparsity is not None:
                layers.setdefault(f"{number:03} {priors.layer}", []).append(priors.structure(1)[0].numpy())
    return {"foreground": output.foreground} | {layer: np.stack(maps)[None] for layer, maps in layers.items()}


def drawn(
    foregrounds: dict[str, np.ndarray], layers: dict[str, list[np.ndarray]], chosen: str, subtitle: str
) -> Image.Image:
    """A row for each layer, over the prompts and times; framed is the one that the model blends by.

    Args:
        foregrounds: By prompt, (H, W, 4).
        layers: The maps (times, h, w) of every prompt.
        chosen: The layer to be framed.
        subtitle: Of the sheet.
    """
    pictures = [picture_of(foreground) for foreground in foregrounds.values()]
    size = tile_size(pictures[0])
    rows = [[Tile(picture) for picture in pictures for _ in TIMES]]
    labels = [""]
    for layer, of_each in layers.items():
        rows.append([Tile(heat_map(values, size), marked=layer == chosen) for maps in of_each for values in maps])
        height, width = of_each[0].shape[1:]
        labels.append(f"{short_name(layer)}, {width} x {height}")
    columns = [f"{prompt}\n{name}" for prompt in foregrounds for name in NAMES]
    return sheet(rows, size, "Structure prior of every self-attention", subtitle, labels, columns)


def main() -> None:
    """Run, measure, draw, write."""
    bench = Bench.opened(__doc__.splitlines()[0], "figure9", seeds=4)
    chosen = resolve_structure_layer(bench.pipe.unet, bench.pipe.config.structure_layer)
    cases = bench.cases("9")
    seen = bench.pictures.of("triplets and their layers", cases, lambda one: observe(bench, one), batch=1)
    foregrounds = seen.pop("foreground")
    maps = {name.partition(" ")[2]: seen[name] for name in sorted(seen)}  # (cases, times, h, w)
    rows = {
        layer: {
            name: mean(np.array([scored(one, values[k]) for one, values in zip(foregrounds, of_all, strict=True)]))
            for k, name in enumerate(NAMES)
        }
        for layer, of_all in maps.items()
    }
    first: dict[str, int] = {}
    for index, case in enumerate(cases):
        first.setdefault(case.prompts[0], index)
    shown_layers = {layer: [of_all[index] for index in first.values()] for layer, of_all in maps.items()}
    about = (
        "Figure 9 of the paper: what each self-attention of the foreground model holds for the subject, with the "
        "paper's configuration."
    )
    subtitle = f"s' = 1 - minmax(s), seed {bench.seeds[0]}, in the order of computation; framed: the model's own"
    sheets = {"figure9": drawn({p: foregrounds[i] for p, i in first.items()}, shown_layers, chosen, subtitle)}
    _, lines, lost = bench.put_down("figure9", "Figure 9: the structure prior of every layer", about, rows, sheets)
    lines += ["![Structure priors](../images/evidence/figure9.webp)", ""]
    lines += [
        f"Area under the ROC curve against the alpha that the run ends with, mean over {len(cases)} runs, in brackets "
        "a bootstrap interval of 95 %; 0.5 is chance, below it the prior is turned round. The layers are in the order "
        f"of computation: the paper takes the last; this model is saved with `{short_name(chosen)}`.",
        "",
        *table(
            ["self-attention", *NAMES],
            [[f"`{layer}`", *(shown(row[name], "{:.2f}") for name in NAMES)] for layer, row in rows.items()],
        ),
    ]
    bench.end("figure9", lines, lost)


if __name__ == "__main__":
    main()
