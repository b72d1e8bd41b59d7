"""The report on the embedded model: every check of its specification, measured on fresh pictures.

    python -m recipes.mini.report

Generates triplets with the pipeline that users run, asks a probe what is in them, compares alpha, attention priors and
light with the truth the world knows, and compares blending with no blending. Writes `mini-report.md` and its figures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import cast

import numpy as np
from rich.console import Console
from rich.table import Table

from layerfusion import LayerFusionPipeline
from layerfusion.files import atomic_write
from layerfusion.method import resolve_structure_layer
from layerfusion.models import defaults_for, load_pipeline, model_folder, read_vocabulary
from recipes.mini import checks, figures, probes
from recipes.mini.checks import Check, Named
from recipes.mini.page import Report, Row, commit, markdown
from recipes.mini.priors import LayerScore, choose_structure, score_layers
from recipes.mini.probes import Probe
from recipes.mini.triplets import INDEPENDENT, Case, Sampling, Triplets, generate
from recipes.mini.world import Tier, World

SUBJECTS = ("penguin", "fox", "elephant", "apple", "car", "teddy bear")
console = Console()


def main_cases(world: World, per_object: int) -> list[Case]:
    """Every object `per_object` times, the scenes in turn."""
    order = np.random.default_rng(0).permutation(len(world.objects) * per_object)
    return [
        Case(world.objects[i % len(world.objects)].key, world.scenes[k % len(world.scenes)].key, checks.FRESH + k)
        for k, i in enumerate(order)
    ]


def grid_cases(world: World, subjects: int) -> list[Case]:
    """A few subjects over every scene, each under one seed."""
    return [
        Case(name, scene.key, checks.FRESH + 1000 + k)
        for k, name in enumerate(SUBJECTS[:subjects])
        for scene in world.scenes
    ]


def unlit_references(
    pipe: LayerFusionPipeline, world: World, cases: list[Case], sampling: Sampling
) -> dict[tuple[str, int], np.ndarray]:
    """The foreground of an independent run of every (object, seed): no scene has touched it."""
    subjects = {(case.obj, case.seed): case for case in cases}
    return checks.unlit_of(generate(pipe, world, list(subjects.values()), INDEPENDENT, sampling))


def ablate(
    pipe: LayerFusionPipeline, world: World, probe: Probe, cases: list[Case], sampling: Sampling
) -> tuple[list[Row], dict[str, Triplets]]:
    """Every row of the ablation on the same cases and seeds, and the triplets of each."""
    unlit = unlit_references(pipe, world, cases, sampling)
    rows, drawn = [], {}
    for name, config in checks.ablations():
        started = time.monotonic()
        triplets = generate(pipe, world, cases, config, sampling)
        # Without blending the subject never enters the blended stream: alpha blending is what there is to compare.
        pictures = triplets.composite if name == "independent" else triplets.blended
        line, points = checks.harmonization(world, triplets, unlit, pictures)
        named = checks.name_triplets(probe, triplets, pictures)
        rows.append(Row(name, line, points, named, checks.subject_kept(probe, triplets)))
        drawn[name] = triplets
        console.print(f"{name}: slope {line.slope:.2f}, r {line.r:.2f}  ({time.monotonic() - started:.0f} s)")
    return rows, drawn


def verdicts(
    named: Named,
    looks: list[Check],
    alpha: tuple[float, float],
    layers: list[LayerScore],
    chosen: tuple[str, int],
    row: Row,
    words: float,
) -> list[Check]:
    """The table of bars."""
    content = max(min(layer.content) for layer in layers if layer.layer.endswith("attn2"))
    structure = next(layer.structure for layer in layers if layer.layer == chosen[0])
    soft = max(min(layer.soft) for layer in layers)
    return [
        Check("object of the foreground stream named", named.foreground, 0.80),
        Check("scene of the background stream named", named.background_scene, 0.90),
        Check("object found in the background stream", named.background_object, 0.05, at_least=False),
        Check("object and scene found in the blended stream", named.blended_both, 0.75),
        *looks,
        Check("alpha, mean absolute error", alpha[0], 0.02, at_least=False),
        Check("alpha, mean absolute error, see-through things", alpha[1], 0.05, at_least=False),
        Check("harmonization, slope", row.line.slope, 0.6),
        Check("harmonization, r", row.line.r, 0.8),
        Check("content prior, area under the curve at its best layer, worst of the three times", content, 0.9),
        Check(
            "structure prior at the model's layer, worst of the three times",
            min(s if chosen[1] > 0 else 1 - s for s in structure),
            0.75,
        ),
        Check("soft mask at its best layer, worst of the three times", soft, 0.9),
        Check("subject kept under another background prompt, probe agreement", row.kept[0], 0.80),
        Check("subject kept under another background prompt, overlap of alphas", row.kept[1], 0.70),
        Check("words told apart as known and unknown", words, 1.0),
    ]


def appearance(world: World, triplets: Triplets, pairs: float) -> list[Check]:
    """How whole, sharp and clean the pictures are."""
    whole = checks.wholenesses(triplets)
    return [
        Check("wholeness of the blended subject, mean", float(whole.mean()), 0.93),
        Check("wholeness of the blended subject, tenth percentile", float(np.quantile(whole, 0.1)), 0.85),
        Check(
            "sharpness of the background stream against real renders", checks.relative_sharpness(world, triplets), 0.8
        ),
        Check(
            "alpha along the border of the foreground",
            checks.border(triplets.foreground[..., 3]),
            0.002,
            at_least=False,
        ),
        Check("two subjects of one prompt, both named in their places", pairs, 0.8),
    ]


def measure(pipe: LayerFusionPipeline, world: World, args: argparse.Namespace, sampling: Sampling) -> Report:
    """Run everything and draw the figures."""
    version = commit()  # before anything is written: the pictures of this very run would make the tree differ
    probe, scores = ready_probe(world, args.probe)
    layers = score_layers(pipe, world, args.prior_pictures, seed=checks.FRESH)
    chosen = resolve_structure_layer(pipe.unet, pipe.config.structure_layer), pipe.config.structure_sign
    alpha = checks.alpha_errors(pipe, world, passes=sampling.passes)
    console.print(f"alpha error {alpha[0]:.4f}, see-through {alpha[1]:.4f}")
    cases = main_cases(world, args.per_object)
    triplets = generate(pipe, world, cases, None, sampling)
    named = checks.name_triplets(probe, triplets)
    looks = appearance(world, triplets, checks.pairs_named(pipe, world, probe, args.pairs, sampling))
    console.print(named, looks)
    grid = grid_cases(world, args.subjects)
    rows, drawn = ablate(pipe, world, probe, grid, sampling)
    row = next(row for row in rows if row.name == checks.OWN)
    draw(pipe, world, args.figures, rows, drawn, sampling)
    return Report(
        verdicts(named, looks, alpha, layers, chosen, row, checks.words_told_apart(args.vocabulary, world)),
        rows,
        layers,
        choose_structure(layers),
        chosen,
        checks.real_harmonization(world, grid),
        scores,
        f"{len(cases)} triplets for the probe, {args.pairs} pictures of two subjects, {len(grid)} for each row of the "
        f"ablation, {args.prior_pictures} pictures for the priors; {sampling.steps} steps, guidance "
        f"{sampling.guidance:g}",
        version,
    )


def ready_probe(world: World, path: Path) -> tuple[Probe, dict[str, float]]:
    """The probe kept at `path` where it knows this world's names, or a new one (a few minutes)."""
    if path.exists():
        probe, scores = probes.load(path)
        if (probe.objects[:-1], probe.scenes) == ([o.key for o in world.objects], [s.key for s in world.scenes]):
            return probe, scores
    probe = probes.train(world)
    scores = probes.accuracy(probe, world)
    probes.save(probe, path, scores)
    return probe, scores


def draw(
    pipe: LayerFusionPipeline,
    world: World,
    folder: Path,
    rows: list[Row],
    drawn: dict[str, Triplets],
    sampling: Sampling,
) -> None:
    """The figures: one subject over scenes, the ablation, gains, kinds of things, styles."""
    triplets = drawn[checks.OWN]
    first = triplets.where(lambda case: case.obj == SUBJECTS[0])
    at = [i for i, case in enumerate(first.cases) if i % max(1, len(first.cases) // 8) == 0][:8]
    streams = ("foreground", "background", "blended", "composite")
    names = [first.cases[i].scene for i in at]
    figures.sheet([[getattr(first, s)[i] for i in at] for s in streams], folder / "one-subject.jpg", names, streams)
    parts = [drawn[row.name].where(lambda case: case.obj == SUBJECTS[0]) for row in rows]
    shown = [p.composite if row.name == "independent" else p.blended for p, row in zip(parts, rows, strict=True)]
    figures.sheet([[p[i] for i in at] for p in shown], folder / "ablation.jpg", names, [row.name for row in rows])
    panels = [row for row in rows if row.name in ("independent", "self, d = 10", "combined, d = 10", checks.OWN)]
    figures.gains([(f"{row.name}: slope {row.line.slope:.2f}", row.points) for row in panels], folder / "gains.png")

    def triplet_sheet(cases: list[Case], name: str) -> None:
        result = generate(pipe, world, cases, None, sampling)
        pictures = [[getattr(result, s)[i] for i in range(len(cases))] for s in streams]
        titles = [" ".join(filter(None, (c.colour, c.obj))) + f"\n{c.style or c.scene}" for c in cases]
        figures.sheet(pictures, folder / name, titles, streams)

    triplet_sheet([Case(o, s, k, c) for k, (o, s, c) in enumerate(KINDS)], "kinds.jpg")
    triplet_sheet([Case("fox", "snowy forest", 3, style=style.key) for style in world.styles], "styles.jpg")
    glass = [(spec.key, "wooden table") for spec in world.objects if spec.see_through and spec.key != "campfire"]
    triplet_sheet(
        [Case(o, s, k) for k, (o, s) in enumerate([*glass, ("campfire", "beach at night")])], "see-through.jpg"
    )


KINDS = (
    ("elephant", "meadow", None),
    ("penguin", "snowy forest", None),
    ("car", "city street", "blue"),
    ("rocket", "beach at night", None),
    ("astronaut", "dark cave", None),
    ("teddy bear", "wooden table", None),
    ("balloon", "sandy beach", "green"),
    ("sunflower", "sunset sea", None),
)


def show(report: Report) -> None:
    """Print the verdicts and the ablation."""
    table = Table("check", "measured", "bar", "")
    for check in report.checks:
        sign, verdict = "≥" if check.at_least else "≤", "[green]met[/]" if check.met else "[red]missed[/]"
        table.add_row(check.name, f"{check.value:.3f}", f"{sign} {check.bar:g}", verdict)
    console.print(table)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure the embedded model against its bars.")
    parser.add_argument("--model", default="mini", help="a preset's name or a model's folder")
    parser.add_argument("--tier", choices=("core", "full"), default="core", help="the vocabulary it was trained on")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of mini-report.md")
    parser.add_argument("--steps", type=int, help="sampling steps; the model's own where left out")
    parser.add_argument("--guidance", type=float, help="guidance of every stream; the model's own where left out")
    parser.add_argument("--per-object", type=int, default=2, help="triplets of each object")
    parser.add_argument("--subjects", type=int, default=2, help=f"subjects of the ablation, up to {len(SUBJECTS)}")
    parser.add_argument("--pairs", type=int, default=32, help="pictures of two subjects")
    parser.add_argument("--prior-pictures", type=int, default=48)
    parser.add_argument("--passes", type=int, choices=(1, 8), default=8, help="passes of the transparent decoder")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--probe", type=Path, default=Path("build/probe.safetensors"))
    args = parser.parse_args()
    args.figures = args.out / "images" / "mini"
    args.figures.mkdir(parents=True, exist_ok=True)

    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    defaults = defaults_for(args.model)
    sampling = Sampling(args.steps or defaults.steps, args.guidance or defaults.guidance_scale, args.batch, args.passes)
    world = World(pipe.default_sample_size * pipe.vae_scale_factor, cast("Tier", args.tier))
    folder = model_folder(args.model)
    args.vocabulary = read_vocabulary(folder) if folder else None
    report = measure(pipe, world, args, sampling)
    show(report)
    with atomic_write(args.out / "mini-report.md") as temporary:
        temporary.write_text(markdown(report, "images/mini"), encoding="utf-8")
    console.print(f"written: {args.out / 'mini-report.md'}")


if __name__ == "__main__":
    main()
