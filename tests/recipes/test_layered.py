"""What the measurements of layers are made of, where the answer is known, and the whole command on a tiny model."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.decoding import decode_picture
from layerfusion.layers import Layer
from layerfusion.models import load_pipeline
from recipes.mini import layered
from recipes.mini.held import encode_picture, harmonize
from recipes.mini.layered import laid_over, psnr_inside, reinhard, rendered
from recipes.mini.stacks import EDITS, box, middle, move, tightness
from recipes.mini.triplets import Case, Sampling, Triplets, tensors
from recipes.mini.world import World
from tests.layers.stacks import lit_stack


def test_a_box_holds_what_is_seen() -> None:
    seen = np.zeros((20, 30), bool)
    assert (box(seen) == 0).all()
    seen[4:9, 7:21] = True
    assert tuple(box(seen)) == (7, 4, 21, 9)


def test_psnr_looks_inside_alone() -> None:
    alpha = np.zeros((8, 8), np.float32)
    alpha[2:6, 2:6] = 1
    truth = np.full((8, 8, 3), 0.5, np.float32)
    wrong = laid_over(np.zeros_like(truth), truth + 0.1, alpha)
    assert psnr_inside(wrong, truth, alpha) == pytest.approx(20, abs=1e-3)


def test_reinhard_gives_the_colours_of_the_background() -> None:
    rng = np.random.default_rng(0)
    foreground = np.float32(np.concatenate([rng.uniform(0.3, 0.5, (32, 32, 3)), np.ones((32, 32, 1))], -1))
    background = np.float32(rng.uniform(0.4, 0.6, (32, 32, 3)) * (1.0, 0.8, 0.6))
    moved = reinhard(foreground, background)
    assert moved.mean((0, 1)) == pytest.approx(background.mean((0, 1)), abs=0.01)


def test_out_of_reach_the_blended_picture_is_the_given_background(world: World) -> None:
    pipe = load_pipeline("mini")
    pipe.set_progress_bar_config(disable=True)
    truth = rendered(world, 1)
    case = truth.cases[0]
    given = (truth.foreground, truth.background)
    blended = harmonize(pipe, [case.prompts(world)], *given, [case.seed], None, Sampling(steps=3))
    with torch.no_grad():
        kept = decode_picture(pipe.vae, encode_picture(pipe, *tensors(truth.background)))
    difference = np.abs(blended[0] - kept[0].movedim(0, -1).numpy()).max(-1)
    left, top, right, bottom = box(truth.foreground[0, ..., 3] > 0.05)
    assert difference[top:bottom, left:right].mean() > 0.02
    away = np.ones_like(difference, bool)
    away[max(0, top - 24) : bottom + 24, max(0, left - 24) : right + 24] = False
    assert not away.any() or difference[away].mean() < 0.02


def test_a_frame_is_as_tight_as_its_subject() -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[10:20, 12:30, 3] = 255
    assert tightness(Layer("a", pixels)) == 0
    pixels[5, 12, 3] = 1  # a speck that nobody sees
    assert tightness(Layer("a", pixels)) == 5


def test_a_move_is_clean_and_what_is_left_behind_is_found() -> None:
    found = move(lit_stack())
    assert found["at_the_old_place"] == 0 and found["at_the_new_place"] <= 1.01
    stuck = lit_stack()
    stuck["shadow"] = replace(stuck["shadow"], group=None)  # it stays where it was
    found = move(stuck)
    assert found["at_the_old_place"] > 20 and found["at_the_new_place"] > 20


@pytest.mark.parametrize("name", EDITS)
def test_edits_keep_the_middle(name: str) -> None:
    assert middle(lit_stack(), EDITS[name]) <= 1
    assert middle(lit_stack(), lambda layer: EDITS[name](layer).moved(7, 0)) > 5


def test_pairs_are_told_apart_where_means_are_not(world: World) -> None:
    """A gain of a tenth on cases that differ by far more."""
    rng = np.random.default_rng(0)
    cases = tuple(Case("car", scene.key, 7) for scene in world.scenes)
    foreground = np.float32(rng.uniform(0.2, 0.8, (len(cases), 64, 64, 4)))
    foreground[..., 3] = 1
    noise = rng.normal(0, 1, (len(cases), 64, 64, 3)) * np.linspace(0.02, 0.3, len(cases))[:, None, None, None]
    a, b = (np.float32(foreground[..., :3] + k * noise) for k in (1, 1.1))
    one, other = (Triplets(cases, foreground, a, blended, a) for blended in (a, b))
    unlit = {("car", 7): foreground[0]}
    found = layered.paired(world, one, other, unlit)["wholeness"]
    assert found["low"] > 0 and found["cases"] == len(cases)
    same = layered.paired(world, one, one, unlit)
    assert all(row["low"] == row["value"] == row["high"] == 0 for row in same.values())


def test_the_command_measures_and_goes_on(
    pipe: LayerFusionPipeline, small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layered, "load_pipeline", lambda model: pipe)
    monkeypatch.setattr(layered, "known_world", lambda *_: small)
    monkeypatch.setattr(layered, "defaults_for", lambda model: replace(pipe.defaults, steps=2))
    numbers = {"subjects": 2, "dial": 1, "composites": 3, "seeds": 1, "programs": 0, "passes": 1}
    options = [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
    folders = ["--out", str(tmp_path), "--work", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["layered", *options, *folders])
    layered.main()
    results = json.loads((tmp_path / "layered.json").read_text())
    assert set(layered.PARTS) < set(results)
    assert results["stacks"]["triplets"] == len(small.objects) + 2 * len(small.scenes)
    assert results["stacks"]["from_layered_255"]["our composite of our .ora"] <= 1
    assert results["truth"]["generated"]["db"]["layered"]["cases"] == 3
    page = (tmp_path / "layered.md").read_text()
    assert page.count("| relit − paper |") == 1 and (tmp_path / "images/mini/layered.webp").exists()

    # A part that is missing is measured anew, of the pictures that were kept.
    del results["stacks"]
    (tmp_path / "layered.json").write_text(json.dumps(results))
    monkeypatch.setattr(layered, "generate", lambda *_: pytest.fail("it was drawn before"))
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--resume"])
    layered.main()
    assert "stacks" in json.loads((tmp_path / "layered.json").read_text())


def test_kept_pictures_are_what_was_drawn(pipe: LayerFusionPipeline, small: World, tmp_path: Path) -> None:
    sampling = Sampling(steps=2, batch=2, passes=1)
    cases = [Case("fox", scene.key, 3) for scene in small.scenes]
    drawn = layered.generate(pipe, small, cases, None, sampling)
    bench = layered.Bench(pipe, small, None, sampling, tmp_path)
    for kept in (bench.draw(cases, None), bench.draw(cases, None)):
        for name in ("foreground", "background", "blended", "composite"):
            assert np.abs(getattr(kept, name) - getattr(drawn, name)).max() <= 0.51 / 255


def test_kept_pictures_belong_to_their_cases_and_switches() -> None:
    case, sampling = (Case("car", "meadow", 7),), Sampling()
    keys = [(case, None, sampling), (case, LayerFusionConfig(), sampling), (case, None, replace(sampling, steps=3))]
    assert len({layered.digest(key) for key in keys}) == 3
