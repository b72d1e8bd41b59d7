"""The probe, the checks and the report, on a tiny random model and a small world: forms, not quality."""

from __future__ import annotations

import argparse
import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from layerfusion import LayerFusionPipeline
from layerfusion.evaluation.measures import Line
from layerfusion.models import Vocabulary, load_pipeline
from recipes.mini import checks, material, priors, probes, report
from recipes.mini.checks import Check
from recipes.mini.page import Report, markdown, write
from recipes.mini.triplets import Case, Sampling, Triplets, generate
from recipes.mini.world import World
from recipes.mini.world.vocabulary import for_model


def untrained(world: World) -> probes.Probe:
    torch.manual_seed(0)
    return probes.Probe([spec.key for spec in world.objects], [spec.key for spec in world.scenes]).eval()


def test_a_probe_learns_to_tell_scenes_and_emptiness(small: World, tmp_path: Path) -> None:
    probe = probes.train(small, pictures=32, steps=70, batch=16)
    scores = probes.accuracy(probe, small, count=12)
    assert scores["background scene"] > 0.8
    assert scores["background object"] > 0.65
    probes.save(probe, tmp_path / "probe.safetensors", scores)


def test_a_probe_survives_its_file(small: World, tmp_path: Path) -> None:
    probe = probes.Probe([spec.key for spec in small.objects], [spec.key for spec in small.scenes]).eval()
    probes.save(probe, tmp_path / "probe.safetensors", {"background scene": 0.5})
    again, scores = probes.load(tmp_path / "probe.safetensors")
    pictures = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    assert again.name(pictures) == probe.name(pictures)
    assert scores == {"background scene": 0.5}


def test_real_renders_score_as_a_perfect_model(world: World) -> None:
    cases = [Case("fox", scene.key, 1) for scene in world.scenes]
    line = checks.real_harmonization(world, cases)
    assert line.slope == pytest.approx(1, abs=0.15) and line.r > 0.95


def test_pasting_scores_zero(world: World) -> None:
    cases = [Case("fox", scene.key, 1) for scene in world.scenes]
    foreground = world.render("foreground", obj="fox", seed=1).foreground
    assert foreground is not None
    many = np.stack([foreground.astype(np.float32) / 255] * len(cases))
    triplets = Triplets(tuple(cases), many, many[..., :3], many[..., :3], many[..., :3])
    line, points = checks.harmonization(world, triplets, {("fox", 1): many[0]})
    assert line.slope == pytest.approx(0, abs=1e-3)
    assert points.shape == (len(cases), 3, 2)


def test_a_triplet_does_not_depend_on_its_batch(pipe: LayerFusionPipeline, small: World) -> None:
    cases = [Case("fox", "snowy forest", 1), Case("penguin", "wooden table", 2), Case("fox", "wooden table", 1)]
    together = generate(pipe, small, cases, None, Sampling(steps=2, batch=3, passes=1))
    alone = generate(pipe, small, cases, None, Sampling(steps=2, batch=1, passes=1))
    assert np.abs(together.blended - alone.blended).max() < 1e-3
    assert Case("fox", "snowy forest", 1, "blue", "comics").prompts(small) == (
        "a blue fox",
        "a snowy forest, comics style",
    )


def test_the_prior_table_has_every_attention_and_finds_a_planted_choice(
    pipe: LayerFusionPipeline, small: World
) -> None:
    table = priors.score_layers(pipe, small, count=3, times=(0.8, 0.2), batch=2)
    names = [score.layer for score in table]
    attentions = [name.removesuffix(".processor") for name in pipe.unet.attn_processors]
    assert sorted(names) == sorted(attentions)
    for score in table:
        assert len(score.content) == len(score.soft) == 2
        assert len(score.structure) == (2 if score.layer.endswith("attn1") else 0)
        assert all(0 <= value <= 1 for value in (*score.structure, *score.content, *score.soft))
    planted = [priors.LayerScore("a", (2, 2), [0.6, 0.4]), priors.LayerScore("b", (2, 2), [0.2, 0.1])]
    assert priors.choose_structure(planted) == ("b", -1)


def test_the_embedded_model_keeps_the_alpha_of_see_through_things(world: World) -> None:
    glass = copy.copy(world)
    glass.size = 256
    glass.objects = tuple(spec for spec in world.objects if spec.see_through)
    overall, see_through = checks.alpha_errors(load_pipeline("mini", device="cpu"), glass, passes=1)
    assert overall == see_through < 0.03


def test_sharpness_falls_with_blur_and_borders_are_seen() -> None:
    pictures = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    soft = (pictures + np.roll(pictures, 1, 1) + np.roll(pictures, 1, 2)) / 3
    assert checks.sharpness(soft) < 0.7 * checks.sharpness(pictures)
    assert checks.sharpness(np.ones_like(pictures)) == pytest.approx(0, abs=1e-6)
    alphas = np.zeros((2, 16, 16))
    alphas[:, 2:14, 2:14] = 1
    assert checks.border(alphas) == 0
    alphas[0, 0, 7] = 0.5
    assert checks.border(alphas) == 0.25


def test_a_check_is_met_at_its_bar_and_never_by_nan() -> None:
    assert Check("", 0.8, 0.8).met and not Check("", 0.79, 0.8).met
    assert Check("", 0.02, 0.02, at_least=False).met and not Check("", 0.03, 0.02, at_least=False).met
    assert not Check("", float("nan"), 0.8).met and not Check("", float("nan"), 0.8, at_least=False).met


def test_the_report_is_whole(
    pipe: LayerFusionPipeline, small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "KINDS", (("fox", "snowy forest", None),))
    shown = ("independent", checks.OWN)
    monkeypatch.setattr(checks, "ablations", lambda: [row for row in checks_ablations() if row[0] in shown])
    probes.save(untrained(small), tmp_path / "probe.safetensors", {"background scene": 0.5})
    figures = tmp_path / "images"
    figures.mkdir()
    args = argparse.Namespace(
        vocabulary=None,
        probe=tmp_path / "probe.safetensors",
        prior_pictures=2,
        per_object=1,
        pairs=2,
        thin=1,
        subjects=1,
        figures=figures,
        few_step=pipe,
        beside=(pipe, Vocabulary.from_dict(for_model("core", ["penguin glass bottle snowy forest beach at night"]))),
    )
    monkeypatch.setattr(material, "THIN", ("glass bottle",))
    result = report.measure(pipe, small, args, Sampling(steps=1, batch=3, passes=1))
    assert len(result.checks) == 25
    assert [row.name for row in result.rows] == ["independent", checks.OWN]
    # The same weights on the same cases: what was asked of a part of the cases equals that part of what was asked.
    assert len(result.columns) == 3
    part, other = (result.columns[name] for name in ("on the cases of the former model", "the former model"))
    differing = {name for name in part if part[name] != pytest.approx(other[name], abs=1e-4, nan_ok=True)}
    assert differing <= {"two subjects of one prompt, both named in their places", *(n for n in part if "seconds" in n)}
    page = markdown(result, "images")
    assert page.count("| met |") + page.count("**missed**") == 25
    drawn = {path.name for path in figures.iterdir()}
    assert {name for name in drawn if f"images/{name}" in page} == drawn
    assert page.count("![") == len(drawn)
    assert write(result, tmp_path) == []
    kept = json.loads((tmp_path / "mini-report.json").read_text())
    assert kept["machine"]["cores"] and kept["commit"] and len(kept["checks"]) == 25


def test_a_bar_that_was_met_and_is_missed_now_is_named(tmp_path: Path) -> None:
    def kept(value: float) -> list[str]:
        machine = {"cpu": "any", "cores": 2, "load_average": 0.1}
        line, check = Line(1, 0, 1), Check("wholeness", value, 0.9)
        return write(Report([check], {}, [], [], ("a", 1), ("a", 1), line, {}, "", "", machine), tmp_path)

    assert kept(0.8) == []  # nothing was kept before
    assert kept(0.95) == []
    assert kept(0.92) == []  # worse, and met
    (sentence,) = kept(0.85)
    assert sentence == "lost: wholeness was 0.920 and is 0.850, the bar is 0.9."


def test_thin_things_are_judged_to_their_edges_and_ghosts_inside_the_alpha() -> None:
    rng = np.random.default_rng(0)
    alpha = np.zeros((1, 64, 64, 1), np.float32)
    alpha[:, 8:56, 30:32] = 1  # too thin for an interior
    colour = rng.random((1, 64, 64, 3), np.float32)
    picture = rng.random((1, 64, 64, 3), np.float32)
    whole = Triplets((Case("x", "y", 1),), np.concatenate([colour, alpha], -1), picture, 0.5 * colour, picture)
    assert np.isnan(checks.wholenesses(whole)).all()
    assert checks.thin_wholeness(whole) == pytest.approx(1, abs=1e-4)
    assert checks.thin_wholeness(whole, picture) < 0.2
    changed = replace(whole, background=picture + 0.25 * alpha)
    assert checks.ghosts(changed, whole) == pytest.approx(0.25, abs=1e-4)
    assert checks.ghosts(replace(whole, background=picture + 0.25 * (1 - alpha)), whole) == pytest.approx(0, abs=1e-6)


checks_ablations = checks.ablations


def test_words_are_told_apart_by_the_models_own_vocabulary(world: World) -> None:
    names = [spec.key for spec in (*world.objects, *world.scenes)]
    assert checks.words_told_apart(Vocabulary.from_dict(for_model("core", names)), world) == 1
    assert checks.words_told_apart(Vocabulary.from_dict({"objects": {"animals": ["fox"]}}), world) < 0.5
    assert checks.words_told_apart(None, world) == 0
