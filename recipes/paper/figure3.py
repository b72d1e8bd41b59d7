"""Figure 3 of the paper: priors and masks at t = 0.8 T. `python -m recipes.paper.figure3`

Beside the sheet, how well each map tells the subject from the rest: the area under the ROC curve against the run's own
alpha, over several seeds. Results go to `docs/evidence/`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from layerfusion import LayerFusionConfig
from layerfusion.drawing import Tile, grey_map, heat_map, sheet
from layerfusion.evaluation.figures import MAPS, mean_maps, tile_size
from layerfusion.evaluation.measures import auc
from layerfusion.output import StepMaps
from recipes.paper.bench import Bench, Case, mean
from recipes.paper.kept import shown, table

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


def observe(bench: Bench, case: Case) -> tuple[list[Tile], dict[str, float]]:
    """The row of the sheet, and the area under the ROC curve of each map."""
    output: Any = bench.run([case], LayerFusionConfig.paper(), return_maps=True)
    step = step_at(output.maps or [], bench.pipe.scheduler.config.num_train_timesteps)
    maps = mean_maps(step, 0)
    foreground: Image.Image = output.foreground[0]
    size = tile_size(foreground)
    row = [Tile(foreground), Tile(output.blended[0])]
    row += [
        Tile((heat_map if name in ("structure", "content") else grey_map)(maps[name].numpy(), size)) for name in MAPS
    ]
    scores = {}
    for name, values in maps.items():
        height, width = values.shape
        alpha = foreground.getchannel("A").resize((width, height), Image.Resampling.BOX)
        scores[name] = auc(values.numpy(), np.asarray(alpha) > 127)
    return row, scores


def main() -> None:
    """Run, measure, draw, write."""
    bench = Bench.opened(__doc__.splitlines()[0], "figure3", seeds=8)
    rows: dict[str, list[Tile]] = {}
    scores: dict[str, list[dict[str, float]]] = {}
    for case in track(bench.cases("3"), "triplets with their maps"):
        row, score = observe(bench, case)
        rows.setdefault(case.prompts[0], row)
        scores.setdefault(case.prompts[0], []).append(score)
    measures = {
        prompt: {LABELS[name]: mean(np.array([score[name] for score in each])) for name in MAPS}
        for prompt, each in scores.items()
    }
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
