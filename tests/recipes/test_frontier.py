"""The frontier: its choice, its measures on real renders, and the whole command on a tiny random model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from layerfusion import LayerFusionConfig, LayerFusionPipeline
from recipes.mini import checks, frontier, frontier_page
from recipes.mini.triplets import Case
from recipes.mini.world import World


def rows(**values: tuple[float, float, float, float]) -> frontier.Rows:
    names = (*frontier.BARS, "background kept")
    return {
        name: {"measures": {key: {"value": value} for key, value in zip(names, row, strict=True)}}
        for name, row in values.items()
    }


def test_the_choice_is_the_most_whole_in_the_light() -> None:
    tried = rows(
        dull=(0.5, 0.95, 0.99, 30),
        noisy=(0.9, 0.8, 0.98, 30),
        fine=(0.8, 0.92, 0.9, 30),
        finer=(0.76, 0.91, 0.941, 28),
        equal=(0.77, 0.91, 0.939, 29),
    )
    assert frontier.choose(tried) == "equal"  # and it keeps more of the background
    del tried["fine"], tried["finer"], tried["equal"]
    assert frontier.choose(tried) == "noisy"  # none is in the light: the one that is most so
    assert frontier.choose({frontier.TRUTH: {}, **tried}) == "noisy"


def test_variants_have_a_family_and_differ() -> None:
    configs = list(frontier.variants().values())
    assert len(set(configs)) == len(configs)
    assert {frontier_page.family(name) for name in frontier.variants()} <= set(frontier_page.COLOURS)


def test_the_middle_of_the_dial_is_the_detail_transfer_with_all_its_light() -> None:
    assert LayerFusionConfig.paper().with_harmony(0.5) == frontier.variants()[frontier_page.DIAL[2]]
    assert set(frontier_page.DIAL) < set(frontier.variants())


def test_real_renders_are_measured_as_lit_and_grounded(world: World) -> None:
    cases = [Case("car", scene.key, 7) for scene in world.scenes]
    real = checks.real_triplets(world, cases)
    found = frontier.measure(world, real, checks.unlit_of(real))
    for measure in found.values():
        assert measure["low"] <= measure["value"] <= measure["high"]
    assert found["slope"]["value"] == pytest.approx(1, abs=0.15) and found["r"]["value"] > 0.95
    # The stand-in for a car is a flat disc with one spot: what varies on it is the light as much as the car.
    assert found["wholeness"]["value"] > 0.4 and found["ghost"]["value"] < 0.1
    assert found["shadow overlap"]["value"] > 0.4
    # Shadows of other subjects lie elsewhere.
    elsewhere = [np.roll(alpha, 40, axis=1) for alpha in real.foreground[..., 3]]
    moved = [
        max(
            frontier.measures.shadow_overlap(
                frontier.measures.darkening(real.blended[i], real.background[i], real.foreground[i, ..., 3]), true
            )
            for true in checks.true_shadow(world, cases[i], alpha)
        )
        for i, alpha in enumerate(elsewhere)
    ]
    assert np.mean(moved) < 0.6 * found["shadow overlap"]["value"]


def test_the_command_writes_page_figure_and_numbers(
    pipe: LayerFusionPipeline, small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontier, "load_pipeline", lambda model: pipe)
    monkeypatch.setattr(frontier, "World", lambda *_: small)
    monkeypatch.setattr(frontier, "CHOOSING", ("fox",))
    monkeypatch.setattr(frontier, "SUBJECTS", ("penguin",))
    monkeypatch.setattr(
        sys,
        "argv",
        ["frontier", "--out", str(tmp_path), "--steps", "2", "--only", "paper", "--choice", "detail: from 50% on"],
    )
    frontier.main()
    results = json.loads((tmp_path / "frontier.json").read_text())
    assert [*results["choosing"]] == [frontier.TRUTH, "paper"]
    assert [*results["scoring"]] == [frontier.TRUTH, "paper", "detail: from 50% on"]
    page = (tmp_path / "frontier.md").read_text()
    assert (tmp_path / "images/mini/frontier.png").stat().st_size > 10_000 and "images/mini/frontier.png" in page
    assert page.count("| paper |") == 2

    # Nothing is generated anew.
    monkeypatch.setattr(frontier, "generate", lambda *_: pytest.fail("it was measured before"))
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--resume"])
    frontier.main()
