"""What the measurements of layers are made of, where the answer is known."""

import numpy as np
import pytest
import torch

from layerfusion.decoding import decode_picture
from layerfusion.models import load_pipeline
from recipes.mini.held import encode_picture, harmonize
from recipes.mini.layered import box, laid_over, psnr_inside, reinhard, rendered, tensors
from recipes.mini.triplets import Sampling
from recipes.mini.world import World


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
