"""The paper's comparisons as sheets: `python -m recipes.paper.compared 5`, `6` or `7`.

5 has whole triplets beside LayerDiffuse's sequential pipeline; 6 foregrounds beside those that others cut out of the
blended picture; 7 the blended picture beside what harmonizers make of the composite. Every system of the paper has its
row: a column of the sheet, or what is missing for it. Results go to `docs/evidence/`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from layerfusion import LayerFusionConfig
from layerfusion.drawing import Tile, picture_of, sheet
from layerfusion.evaluation import paper
from layerfusion.evaluation.baselines import Missing, Scene, System, systems_for
from recipes.paper.bench import Bench, Case
from recipes.paper.drawn import EMBEDDED, SMALL, small_sequential
from recipes.paper.kept import table

TITLES = {
    "5": "Figure 5: layers generated together and one after the other",
    "6": "Figure 6: foregrounds generated and extracted",
    "7": "Figure 7: blending and harmonizing",
}
STREAMS = ("foreground", "background", "blended")
WEIGHTS = Path("build/weights")  # where others' weights may lie
Column = list[np.ndarray]
Columns = dict[str, Column]


def prepared(bench: Bench, systems: list[System]) -> tuple[dict[str, Any], dict[str, Missing]]:
    """Those that are ready, and what the others lack. Weights made for SDXL do not fit the embedded model."""
    pipe = bench.pipe
    found = {system.name: system.prepare(WEIGHTS, pipe) for system in systems}
    missing = {name: each for name, each in found.items() if isinstance(each, Missing)}
    return {name: each for name, each in found.items() if name not in missing}, missing


def layered(bench: Bench, cases: list[Case], ours: dict[str, np.ndarray]) -> tuple[Columns, dict[str, Missing]]:
    """Figure 5."""
    ready, missing = prepared(bench, systems_for("generate"))
    if bench.model == EMBEDDED:
        ready = {SMALL: small_sequential(bench.pipe), **ready}
    columns: Columns = {f"{name}\nLayerFusion": list(ours[name]) for name in STREAMS}
    for system, generator in ready.items():
        made = bench.pictures.of(system, cases, _generate(generator), bench.batch)
        columns |= {f"{name}\n{system.split(', ')[-1]}": list(made[name]) for name in STREAMS if name in made}
    return columns, missing


def _generate(generator: Any) -> Callable[[Any], dict[str, np.ndarray]]:
    return lambda some: generator.generate([case.prompts for case in some], [case.seed for case in some])


def extracted(bench: Bench, cases: list[Case], ours: dict[str, np.ndarray]) -> tuple[Columns, dict[str, Missing]]:
    """Figure 6."""
    ready, missing = prepared(bench, systems_for("extract"))
    columns: Columns = {"blended": list(ours["blended"]), "LayerFusion": list(ours["foreground"])}
    for system, extractor in ready.items():
        columns[system] = []
        for case, blended, background in zip(cases, ours["blended"], ours["background"], strict=True):
            found = extractor.extract(blended, Scene(case.prompts[0], case.seed, background))
            rgba = found if found.ndim == 3 else np.concatenate([blended, found[..., None]], axis=-1)
            columns[system].append(rgba)
    return columns, missing


def harmonized(bench: Bench, cases: list[Case], ours: dict[str, np.ndarray]) -> tuple[Columns, dict[str, Missing]]:
    """Figure 7."""
    ready, missing = prepared(bench, systems_for("harmonize"))
    columns: Columns = {"LayerFusion": list(ours["blended"])}
    for system, harmonizer in ready.items():
        each = zip(cases, ours["composite"], ours["foreground"][..., 3], strict=True)
        columns[system] = [
            harmonizer.harmonize(composite, alpha, Scene(" in ".join(case.prompts), case.seed))
            for case, composite, alpha in each
        ]
    return columns, missing


FIGURES = {"5": layered, "6": extracted, "7": harmonized}


def draw(figure: str, cases: list[Case], columns: Columns) -> Image.Image:
    """A row for each pair of prompts, a column for each picture."""
    rows = [[Tile(picture_of(column[k])) for column in columns.values()] for k in range(len(cases))]
    labels = [case.prompts[0] for case in cases]
    return sheet(rows, (168, 168), TITLES[figure], "", labels, list(columns))


def main() -> None:
    """Draw, run every system, write."""
    figure = sys.argv[1] if len(sys.argv) > 1 else ""
    if figure not in FIGURES:
        argparse.ArgumentParser(description=__doc__.splitlines()[0]).error("say which figure: 5, 6 or 7")
    bench = Bench.opened(__doc__.splitlines()[0], f"figure{figure}", 1, sys.argv[2:])
    cases = bench.cases(figure)
    ours = bench.triplets(f"figure {figure}", cases, LayerFusionConfig.paper())
    columns, missing = FIGURES[figure](bench, cases, ours)
    about = (
        f"The paper's Figure {figure}: {paper.figure(figure).shows}. LayerFusion is in the paper's configuration. The "
        f"prompts are {', '.join(f'“{f}” and “{b}”' for f, b in (case.prompts for case in cases))}."
    )
    name = f"figure{figure}"
    _, lines, lost = bench.put_down(name, TITLES[figure], about, {}, {name: draw(figure, cases, columns)})
    if SMALL.split(", ")[-1] in " ".join(columns):
        lines += ["How far its small sequential pipeline was trained: `recipes/mini/README.md`.", ""]
    lines += [f"![{TITLES[figure]}](../images/evidence/{name}.webp)", "", "Not on the sheet:", ""]
    lines += table(["system", ""], [[system, str(each)] for system, each in missing.items()])
    bench.end(name, lines, lost)


if __name__ == "__main__":
    main()
