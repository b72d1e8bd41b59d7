"""The report on the embedded model: every check of its specification, measured on fresh pictures.

    python -m recipes.mini.report

Generates triplets with the pipeline that users run, asks a probe what is in them, compares alpha, attention priors and
light with the truth the world knows, and compares blending with no blending. Writes `mini-report.md`, the same as JSON,
and figures; where the report that was kept there met a bar that is missed now, says so and exits with 1.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table

from benchmarks.machine import conditions
from layerfusion import LayerFusionPipeline
from layerfusion.method import resolve_structure_layer
from layerfusion.models import Vocabulary, load_pipeline, model_folder, read_vocabulary
from layerfusion.models.locate import FEW_STEP
from recipes.mini import checks, figures, probes
from recipes.mini.checks import Check
from recipes.mini.material import SUBJECTS, Cases, Material, judge
from recipes.mini.page import Report, Row, commit, write
from recipes.mini.priors import LayerScore, choose_structure, score_layers
from recipes.mini.probes import Probe
from recipes.mini.triplets import Case, Sampling, Triplets, generate
from recipes.mini.world import Tier, World

console = Console()


def model_checks(
    layers: list[LayerScore], chosen: tuple[str, int], vocabulary: Vocabulary | None, world: World
) -> list[Check]:
    """The checks that need no picture: priors and words."""
    content = max(min(layer.content) for layer in layers if layer.layer.endswith("attn2"))
    structure = next(layer.structure for layer in layers if layer.layer == chosen[0])
    worst = min(value if chosen[1] > 0 else 1 - value for value in structure)
    soft = max(min(layer.soft) for layer in layers)
    return [
        Check("content prior, area under the curve at its best layer, worst of the three times", content, 0.9),
        Check("structure prior at the model's layer, worst of the three times", worst, 0.75),
        Check("soft mask at its best layer, worst of the three times", soft, 0.9),
        Check("words told apart as known and unknown", checks.words_told_apart(vocabulary, world), 1.0),
    ]


def measure(pipe: LayerFusionPipeline, world: World, args: argparse.Namespace, sampling: Sampling) -> Report:
    """Run everything and draw the figures."""
    version = commit()  # before anything is written: the pictures of this very run would make the tree differ
    machine = conditions()
    probe, scores = ready_probe(world, args.probe)
    layers = score_layers(pipe, world, args.prior_pictures, seed=checks.FRESH)
    chosen = resolve_structure_layer(pipe.unet, pipe.config.structure_layer), pipe.config.structure_sign
    cases = Cases.of(world, args.per_object, args.subjects, args.thin, args.pairs)
    names = [name for name, _ in checks.ablations()]
    material = Material.of(pipe, world, probe, cases, sampling, names)
    found = [*judge(world, probe, material), *model_checks(layers, chosen, args.vocabulary, world)]
    columns = {}
    if args.few_step is not None:
        few = replace(sampling, steps=args.few_step.defaults.steps, guidance=args.few_step.defaults.guidance_scale)
        quick = Material.of(args.few_step, world, probe, cases, few)
        columns[f"in {few.steps} steps"] = judge(world, probe, quick)
        found.append(Check("seconds of a triplet in few steps", quick.seconds, 4, at_least=False))
    if args.beside is not None:
        other, known = args.beside
        both = cases.where(lambda case: not known.unknown_words(f"{case.obj} {case.scene}"))
        kept = set((*both.main, *both.grid, *both.thin))
        columns["on the cases of the former model"] = judge(
            world, probe, material.where(world, probe, lambda case: case in kept)
        )
        columns["the former model"] = judge(world, probe, Material.of(other, world, probe, both, sampling))
    draw(pipe, world, args.figures, material.rows, material.drawn, sampling)
    return Report(
        found,
        {name: {check.name: check.value for check in column} for name, column in columns.items()},
        material.rows,
        layers,
        choose_structure(layers),
        chosen,
        checks.real_harmonization(world, cases.grid),
        scores,
        f"{len(cases.main)} triplets for the probe, {len(cases.thin)} of thin things, {args.pairs} pictures of two "
        f"subjects, {len(cases.grid)} for each row of the ablation, {args.prior_pictures} pictures for the priors; "
        f"{sampling.steps} steps, guidance {sampling.guidance:g}",
        version,
        machine,
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
    parser.add_argument("--thin", type=int, default=4, help="triplets of each thin thing")
    parser.add_argument("--pairs", type=int, default=32, help="pictures of two subjects")
    parser.add_argument("--beside", metavar="MODEL", help="a former model's folder, to be measured on the same cases")
    parser.add_argument("--prior-pictures", type=int, default=48)
    parser.add_argument("--passes", type=int, choices=(1, 8), default=8, help="passes of the transparent decoder")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--probe", type=Path, default=Path("build/probe.safetensors"))
    args = parser.parse_args()
    args.figures = args.out / "images" / "mini"
    args.figures.mkdir(parents=True, exist_ok=True)

    pipe = opened(args.model)
    defaults = pipe.defaults
    sampling = Sampling(args.steps or defaults.steps, args.guidance or defaults.guidance_scale, args.batch, args.passes)
    world = World(pipe.default_sample_size * pipe.vae_scale_factor, cast("Tier", args.tier))
    folder = model_folder(args.model)
    args.vocabulary = read_vocabulary(folder) if folder else None
    args.few_step = opened(args.model, few_step=True) if folder and (folder / FEW_STEP).exists() else None
    if args.beside:
        known = read_vocabulary(Path(args.beside))
        assert known is not None, "a former embedded model carries its vocabulary"
        args.beside = opened(args.beside), known
    report = measure(pipe, world, args, sampling)
    show(report)
    lost = write(report, args.out)
    for sentence in lost:
        console.print(f"[red]{sentence}[/]")
    console.print(f"written: {args.out / 'mini-report.md'}")
    sys.exit(1 if lost else 0)


def opened(model: str, few_step: bool = False) -> LayerFusionPipeline:
    """A model, silent."""
    pipe = load_pipeline(model, few_step=few_step)
    pipe.set_progress_bar_config(disable=True)
    return pipe


if __name__ == "__main__":
    main()
