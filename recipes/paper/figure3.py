"""Figure 3 of the paper: priors and masks at t = 0.8 T. `python -m recipes.paper.figure3`

Beside the sheet, how well each map tells the subject from the rest: the area under the ROC curve against the run's own
alpha, over several seeds. Maps are kept: a run that was stopped goes on. Results go to `docs/evidence/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from layerfusion import LayerFusionConfig
from layerfusion.drawing import Tile, grey_map, heat_map, picture_of, sheet
from layerfusion.evaluation.figures import MAPS, mean_maps, tile_size
from layerfusion.evaluation.measures import auc
from layerfusion.output import StepMaps
from recipes.paper.bench import Bench, Case, mean
from recipes.paper.kept import Measure, shown, table

TIME = 0.8
LABELS = {
    "structure": "structure prior s'",
    "content": "content confidence c",
    "soft": "soft mask",
    "hard": "hard mask",
}


def step_at(maps: list[StepMaps], train_timesteps: int, time: float = TIME) -> StepMaps:
    """The step nearest to a fraction of T."""
    return min(maps, key=lambda step: abs(step.timestep / train_timesteps - time))


def observe(bench: Bench, cases: Sequence[Case]) -> dict[str, np.ndarray]:
    """Foreground, blended picture and the maps of one case, (1, h, w) and (1, H, W, C) in [0, 1]."""
    output: Any = bench.run(cases, LayerFusionConfig.paper(), return_maps=True, output_type="np")
    step = step_at(output.maps or [], bench.pipe.scheduler.config.num_train_timesteps)
    maps = {name: values[None].numpy() for name, values in mean_maps(step, 0).items()}
    return {"foreground": output.foreground, "blended": output.blended} | maps


def tiles(seen: dict[str, np.ndarray], index: int) -> list[Tile]:
    """A row of the sheet."""
    pictures = [picture_of(seen[name][index]) for name in ("foreground", "blended")]
    size = tile_size(pictures[0])
    drawers = {name: heat_map if name in ("structure", "content") else grey_map for name in MAPS}
    return [*map(Tile, pictures), *(Tile(draw(seen[name][index], size)) for name, draw in drawers.items())]


def scored(foreground: np.ndarray, values: np.ndarray) -> float:
    """The area under the ROC curve of a map (h, w), against the alpha of a foreground (H, W, 4) at its grid."""
    alpha = picture_of(foreground).getchannel("A").resize(values.shape[::-1], Image.Resampling.BOX)
    return auc(values, np.asarray(alpha) > 127)


def main() -> None:
    """Run, measure, draw, write."""
    bench = Bench.opened(__doc__.splitlines()[0], "figure3", seeds=8)
    cases = bench.cases("3")
    seen = bench.pictures.of("triplets with their maps", cases, lambda one: observe(bench, one), batch=1)
    rows: dict[str, list[Tile]] = {}
    measures: dict[str, dict[str, Measure]] = {}
    for prompt in dict.fromkeys(case.prompts[0] for case in cases):
        at = [index for index, case in enumerate(cases) if case.prompts[0] == prompt]
        rows[prompt] = tiles(seen, at[0])
        scores = {name: [scored(seen["foreground"][index], seen[name][index]) for index in at] for name in MAPS}
        measures[prompt] = {LABELS[name]: mean(np.array(each)) for name, each in scores.items()}
    columns = ("foreground", "blended", *("\n".join(label.rsplit(" ", 1)) for label in LABELS.values()))
    subtitle = f"t = {TIME} T, seed {bench.seeds[0]}; means over the attentions in which blending acts"
    size = tile_size(next(iter(rows.values()))[0].picture)
    drawn = sheet(list(rows.values()), size, "Generative priors", subtitle, list(rows), columns)
    about = (
        "Figure 3 of the paper: what the masks of blending are made of, with the paper's configuration "
        f"(`LayerFusionConfig.paper()`), at t = {TIME} T."
    )
    _, lines, lost = bench.put_down("figure3", "Figure 3: priors and masks", about, measures, {"figure3": drawn})
    lines += ["![Priors and masks](../images/evidence/figure3.webp)", ""]
    lines += [
        f"How well each map tells the subject from the rest: area under the ROC curve against the alpha that the run "
        f"ends with, mean over {len(bench.seeds)} seeds, in brackets a bootstrap interval of 95 %. 0.5 is chance.",
        "",
        *table(
            ["foreground", *LABELS.values()],
            [[prompt, *(shown(row[label], "{:.2f}") for label in LABELS.values())] for prompt, row in measures.items()],
        ),
    ]
    bench.end("figure3", lines, lost)


if __name__ == "__main__":
    main()
