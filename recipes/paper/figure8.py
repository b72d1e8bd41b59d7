"""Figure 8 of the paper: the ablations. `python -m recipes.paper.figure8`

(a) the background's influence on the foreground, (b) alpha blending against generative blending, (c) what the masks
are made of, (d) the boundary coefficient d; each as a sheet, and beside it what can be counted, over several seeds.
Triplets are kept: a run that was stopped goes on. Results go to `docs/evidence/`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from PIL import Image

from layerfusion import LayerFusionConfig
from layerfusion.drawing import Tile, picture_of, sheet
from layerfusion.evaluation.figures import tile_size
from layerfusion.evaluation.measures import colour_gain, darkening, interior, overlap, wholeness
from layerfusion.method.config import Mask
from recipes.paper.bench import Bench, mean
from recipes.paper.kept import Measure, shown, table

PAPER = LayerFusionConfig.paper()
ALONE = LayerFusionConfig(blend=False, share_attention=False)
BOUNDARIES = (1.0, 5.0, 10.0, 20.0, 50.0)  # 10 is the paper's
MASKS = {"self": "s' alone", "cross": "c alone", "combined": "both"}
Drawn = dict[str, np.ndarray]
WHOLE, KEPT, SOFT, PALE = "wholeness", "foreground kept", "soft alpha", "alpha of the inside"


def counted(drawn: Drawn, alone: Drawn) -> dict[str, Measure]:
    """What blending did to triplets, beside the same seeds without it.

    wholeness: of the subject in the blended picture, against the run's own foreground. foreground kept: overlap of its
    alpha with that of the independent run. soft alpha: the share of the visible pixels whose alpha is between 0.1 and
    0.9; what leaks into the foreground makes it larger. alpha of the inside: mean alpha where the independent run's is
    solid.
    """
    alphas, before = drawn["foreground"][..., 3], alone["foreground"][..., 3]
    each = list(zip(drawn["blended"], drawn["foreground"], strict=True))
    inside = [interior(one) for one in before]
    return {
        WHOLE: mean(np.array([wholeness(p, f[..., :3], f[..., 3]) for p, f in each])),
        KEPT: mean(np.array([overlap(a, b) for a, b in zip(alphas, before, strict=True)])),
        SOFT: mean(np.array([((a > 0.1) & (a < 0.9)).sum() / max((a > 0.1).sum(), 1) for a in alphas]), "low"),
        PALE: mean(np.array([a[w].mean() if w.any() else np.nan for a, w in zip(alphas, inside, strict=True)])),
    }


# --- (a) and (b) ------------------------------------------------------------------------------------------------------


def influence(bench: Bench) -> tuple[dict[str, dict[str, Measure]], Image.Image]:
    """(a): one subject and seed, several backgrounds; how far the foreground's colour follows each."""
    cases = bench.cases("8a")
    drawn, alone = bench.triplets("(a)", cases, PAPER), bench.triplets("(a), independent", cases, ALONE)
    rows: dict[str, dict[str, Measure]] = {}
    for place in dict.fromkeys(case.prompts[1] for case in cases):
        at = [i for i, case in enumerate(cases) if case.prompts[1] == place]
        gains, kept = [], []
        for i in at:
            own, before = drawn["foreground"][i], alone["foreground"][i]
            where = interior(np.minimum(own[..., 3], before[..., 3]))
            gains.append(colour_gain(own[..., :3], before[..., :3], where))
            kept.append(overlap(own[..., 3], before[..., 3]))
        names = ("red", "green", "blue")
        rows[f"(a) {place}"] = {
            f"{name} of the foreground": mean(np.array(gains)[:, k]) for k, name in enumerate(names)
        }
        rows[f"(a) {place}"][KEPT] = mean(np.array(kept))
    first = [i for i, case in enumerate(cases) if case.seed == bench.seeds[0]]
    labels = ("foreground", "blended")
    columns = ["alone", *(cases[i].prompts[1] for i in first)]
    tiles = [
        [_tile(alone["foreground"][first[0]]), *(_tile(drawn["foreground"][i]) for i in first)],
        [_tile(alone["composite"][first[0]]), *(_tile(drawn["blended"][i]) for i in first)],
    ]
    title = f"(a) {cases[0].prompts[0].capitalize()}, seed {bench.seeds[0]}, in several places"
    return rows, _sheet(tiles, title, "first: no blending", labels, columns)


def blendings(bench: Bench) -> tuple[dict[str, dict[str, Measure]], Image.Image]:
    """(b): the same layers by alpha blending and by the model; what only the second can do."""
    cases = bench.cases("8b")
    drawn = bench.triplets("(b)", cases, PAPER)
    rows: dict[str, dict[str, Measure]] = {}
    for name, stream in (("alpha blending", "composite"), ("generative blending", "blended")):
        each = list(zip(drawn[stream], drawn["background"], drawn["foreground"], strict=True))
        changed = [np.abs(p - b).mean(-1)[f[..., 3] < 0.05].mean() * 255 for p, b, f in each]
        gains = [colour_gain(p, f[..., :3], interior(f[..., 3])).mean() for p, _, f in each]
        dark = [darkening(p, b, f[..., 3])[f[..., 3] < 0.05].mean() for p, b, f in each]
        rows[f"(b) {name}"] = {
            "subject's brightness over its own": mean(np.array(gains)),
            "change around it, of 255": mean(np.array(changed)),
            "darkening around it": mean(np.array(dark)),
            WHOLE: mean(np.array([wholeness(p, f[..., :3], f[..., 3]) for p, _, f in each])),
        }
    first = [i for i, case in enumerate(cases) if case.seed == bench.seeds[0]]
    streams = ("foreground", "background", "composite", "blended")
    tiles = [[_tile(drawn[stream][i]) for stream in streams] for i in first]
    columns = ("foreground", "background", "alpha\nblending", "generative\nblending")
    labels = [cases[i].prompts[0] for i in first]
    return rows, _sheet(tiles, "(b) Alpha against generative blending", f"seed {bench.seeds[0]}", labels, columns)


# --- (c) and (d) ------------------------------------------------------------------------------------------------------


def switched(
    bench: Bench, figure: str, configs: dict[str, LayerFusionConfig], title: str
) -> tuple[dict[str, dict[str, Measure]], Image.Image]:
    """The same cases under several configurations."""
    part, cases = f"({figure[-1]})", bench.cases(figure)
    alone = bench.triplets(f"{part}, independent", cases, ALONE)
    drawn = {name: bench.triplets(part, cases, config) for name, config in configs.items()}
    rows = {f"{part} {name}": counted(each, alone) for name, each in drawn.items()}
    tiles, labels = [], []
    for i in [i for i, case in enumerate(cases) if case.seed == bench.seeds[0]]:
        for stream, beside in (("foreground", "foreground"), ("blended", "composite")):
            tiles.append([_tile(alone[beside][i]), *(_tile(each[stream][i]) for each in drawn.values())])
        labels += [cases[i].prompts[0], "blended"]
    subtitle = f"seed {bench.seeds[0]}; first: no blending, laid over the background"
    return rows, _sheet(tiles, f"{part} {title}", subtitle, labels, ("alone", *drawn))


def masks(bench: Bench) -> tuple[dict[str, dict[str, Measure]], Image.Image]:
    """(c): the structure prior alone, the content prior alone, both."""
    configs = {MASKS[mask]: replace(PAPER, mask=mask) for mask in sorted(get_args(Mask), key=list(MASKS).index)}
    return switched(bench, "8c", configs, "What the masks are made of")


def boundaries(bench: Bench) -> tuple[dict[str, dict[str, Measure]], Image.Image]:
    """(d): the soft decision boundary coefficient."""
    configs = {f"d = {d:g}": replace(PAPER, boundary=d) for d in BOUNDARIES}
    return switched(bench, "8d", configs, "The boundary coefficient")


def _tile(picture: np.ndarray) -> Tile:
    return Tile(picture_of(picture))


def _sheet(
    tiles: list[list[Tile]], title: str, subtitle: str, labels: Sequence[str], columns: Sequence[str]
) -> Image.Image:
    return sheet(tiles, tile_size(tiles[0][0].picture), title, subtitle, labels, columns)


# --- page -------------------------------------------------------------------------------------------------------------

PARTS: dict[str, tuple[Callable[[Bench], tuple[dict[str, dict[str, Measure]], Image.Image]], str]] = {
    "a": (
        influence,
        "The background's influence on the foreground: one subject and seed. The colours are the mean of the subject's "
        "inside over the same of the run without blending: 1 is untouched.",
    ),
    "b": (
        blendings,
        "Alpha blending against generative blending of the same run. Alpha blending leaves the subject and everything "
        "around it as they are: 1, 0, 0, and wholeness 1 by construction.",
    ),
    "c": (
        masks,
        "The structure prior alone, the content prior alone, both. “Alone” are the same seeds without blending; "
        "what is kept of the foreground is the overlap of its alpha with that one.",
    ),
    "d": (boundaries, "The soft decision boundary coefficient d; the paper takes 10."),
}


def main() -> None:
    """Run, measure, draw, write."""
    bench = Bench.opened(__doc__.splitlines()[0], "figure8", seeds=4)
    parts = {part: make(bench) for part, (make, _) in PARTS.items()}
    rows = {name: row for measures, _ in parts.values() for name, row in measures.items()}
    sheets = {f"figure8{part}": drawn for part, (_, drawn) in parts.items()}
    about = "Figure 8 of the paper: its ablations, with the paper's configuration but for what is varied."
    _, lines, lost = bench.put_down("figure8", "Figure 8: ablations", about, rows, sheets)
    lines += [
        f"Means over {len(bench.seeds)} seeds of every prompt, in brackets a bootstrap interval of 95 % over runs.",
        "",
    ]
    for part, (measures, _) in parts.items():
        names = list(next(iter(measures.values())))
        lines += [f"## ({part})", "", PARTS[part][1], "", f"![{part}](../images/evidence/figure8{part}.webp)", ""]
        cells = [
            [row.removeprefix(f"({part}) "), *(shown(values[name]) for name in names)]
            for row, values in measures.items()
        ]
        lines += [*table(["", *names], cells), ""]
    bench.end("figure8", lines, lost)


if __name__ == "__main__":
    main()
