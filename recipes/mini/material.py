"""What a report on a model looks at: everything that is generated, once, and the checks that are read off it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from layerfusion import LayerFusionPipeline
from recipes.mini import checks
from recipes.mini.checks import Check
from recipes.mini.page import Row
from recipes.mini.probes import Probe
from recipes.mini.triplets import INDEPENDENT, Case, Sampling, Triplets, array, generate, relit
from recipes.mini.world import World

SUBJECTS = ("penguin", "fox", "elephant", "apple", "car", "teddy bear")
THIN = ("flamingo", "balloon", "cat", "wine glass")


@dataclass(frozen=True)
class Cases:
    """What is asked of every model of a report: for the probe, for light and ghosts, for thin things, for pairs."""

    main: list[Case]
    grid: list[Case]
    thin: list[Case]
    pairs: int

    @classmethod
    def of(cls, world: World, per_object: int, subjects: int, per_thin: int, pairs: int) -> Cases:
        return cls(main_cases(world, per_object), grid_cases(world, subjects), thin_cases(world, per_thin), pairs)

    def where(self, keep: Callable[[Case], bool]) -> Cases:
        """Those that are kept; all pairs."""
        main, grid, thin = ([case for case in part if keep(case)] for part in (self.main, self.grid, self.thin))
        return Cases(main, grid, thin, self.pairs)


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


def thin_cases(world: World, each: int) -> list[Case]:
    """Every thin thing `each` times, the scenes in turn."""
    known = [name for name in THIN if name in {spec.key for spec in world.objects}]
    return [
        Case(name, world.scenes[(k * len(known) + i) % len(world.scenes)].key, checks.FRESH + 2000 + k)
        for k in range(each)
        for i, name in enumerate(known)
    ]


@dataclass(frozen=True)
class Material:
    """What one model made of the cases.

    Attributes:
        main, thin: Triplets with the model's own settings.
        rows: The ablation on the grid: independent, what the model is saved with, and what else was asked for.
        drawn: The triplets of each row, by its name.
        unlit: By (object, seed) of the grid, the foreground that no scene has touched.
        pairs: Share of pictures of two subjects in which both are named.
        alpha: Mean absolute error of alpha, over all objects and over see-through ones.
        psnr: Of the autoencoder, in dB.
        seconds: Of one triplet.
    """

    main: Triplets
    thin: Triplets
    rows: list[Row]
    drawn: dict[str, Triplets]
    unlit: dict[tuple[str, int], np.ndarray]
    pairs: float
    alpha: tuple[float, float]
    psnr: float
    seconds: float

    @classmethod
    def of(
        cls,
        pipe: LayerFusionPipeline,
        world: World,
        probe: Probe,
        cases: Cases,
        sampling: Sampling,
        rows: Iterable[str] = ("independent", checks.OWN),
    ) -> Material:
        """Generate everything; the rows of `checks.ablations` that are named."""
        unlit = unlit_references(pipe, world, cases.grid, sampling)
        drawn, judged = {}, []
        for name, config in checks.ablations():
            if name in rows:
                drawn[name] = generate(pipe, world, cases.grid, config, sampling)
                judged.append(row_of(name, world, probe, drawn[name], unlit))
        return cls(
            generate(pipe, world, cases.main, None, sampling),
            generate(pipe, world, cases.thin, None, sampling),
            judged,
            drawn,
            unlit,
            checks.pairs_named(pipe, world, probe, cases.pairs, sampling),
            checks.alpha_errors(pipe, world, passes=sampling.passes),
            checks.autoencoder_psnr(pipe, world),
            seconds_of_one(pipe, world, cases.main[0], sampling),
        )

    def where(self, world: World, probe: Probe, keep: Callable[[Case], bool]) -> Material:
        """The same of the kept cases alone; of pairs, which are drawn from everything, nothing is known."""
        drawn = {name: triplets.where(keep) for name, triplets in self.drawn.items()}
        rows = [row_of(name, world, probe, triplets, self.unlit) for name, triplets in drawn.items()]
        return replace(
            self, main=self.main.where(keep), thin=self.thin.where(keep), drawn=drawn, rows=rows, pairs=float("nan")
        )


def unlit_references(
    pipe: LayerFusionPipeline, world: World, cases: list[Case], sampling: Sampling
) -> dict[tuple[str, int], np.ndarray]:
    """The foreground of an independent run of every (object, seed): no scene has touched it."""
    subjects = {(case.obj, case.seed): case for case in cases}
    return checks.unlit_of(generate(pipe, world, list(subjects.values()), INDEPENDENT, sampling))


def row_of(name: str, world: World, probe: Probe, triplets: Triplets, unlit: dict[tuple[str, int], np.ndarray]) -> Row:
    """One row of the ablation."""
    # Without blending the subject never enters the blended stream: alpha blending is what there is to compare.
    pictures = triplets.composite if name == "independent" else triplets.blended
    line, points = checks.harmonization(world, triplets, unlit, pictures)
    named = checks.name_triplets(probe, triplets, pictures)
    return Row(name, line, points, named, checks.subject_kept(probe, triplets))


def seconds_of_one(pipe: LayerFusionPipeline, world: World, case: Case, sampling: Sampling) -> float:
    """Of a triplet by itself, the quicker of two, model loaded."""
    took = []
    for _ in range(2):
        started = time.monotonic()
        generate(pipe, world, [case], None, sampling)
        took.append(time.monotonic() - started)
    return min(took)


def judge(world: World, probe: Probe, material: Material) -> list[Check]:
    """The checks of the pictures."""
    main, row = material.main, next(row for row in material.rows if row.name == checks.OWN)
    named, whole = checks.name_triplets(probe, main), checks.wholenesses(main)
    lit = array(relit(material.thin).relit)[..., :3]
    ghosts = checks.ghosts(material.drawn[checks.OWN], material.drawn["independent"])
    return [
        Check("object of the foreground stream named", named.foreground, 0.80),
        Check("scene of the background stream named", named.background_scene, 0.90),
        Check("object found in the background stream", named.background_object, 0.05, at_least=False),
        Check("object and scene found in the blended stream", named.blended_both, 0.75),
        Check("wholeness of the blended subject, mean", float(whole.mean()), 0.93),
        Check("wholeness of the blended subject, tenth percentile", float(np.quantile(whole, 0.1)), 0.85),
        Check("wholeness of thin things, blended", checks.thin_wholeness(material.thin), 0.8),
        Check("wholeness of thin things, relit", checks.thin_wholeness(material.thin, lit), 0.9),
        Check("background with and without blending, difference inside the alpha", ghosts, 0.04, at_least=False),
        Check("sharpness of the background stream against real renders", checks.relative_sharpness(world, main), 0.8),
        Check("alpha along the border of the foreground", checks.border(main.foreground[..., 3]), 0.002, False),
        Check("two subjects of one prompt, both named in their places", material.pairs, 0.8),
        Check("autoencoder on fresh composites, PSNR in dB", material.psnr, 33),
        Check("alpha, mean absolute error", material.alpha[0], 0.02, at_least=False),
        Check("alpha, mean absolute error, see-through things", material.alpha[1], 0.05, at_least=False),
        Check("harmonization, slope", row.line.slope, 0.75),
        Check("harmonization, r", row.line.r, 0.9),
        Check("subject kept under another background prompt, probe agreement", row.kept[0], 0.80),
        Check("subject kept under another background prompt, overlap of alphas", row.kept[1], 0.70),
        Check("seconds of a triplet on this machine, as loaded as it was", material.seconds, 15, at_least=False),
    ]
