"""What the recipe on boxes measures, on shapes whose place is known."""

import itertools

import numpy as np
import pytest

from recipes.mini.boxes import looked_at, misplaced, one_box, rendered, side_by_side
from recipes.mini.world import World


def shape(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    alpha = np.zeros((100, 100), np.float32)
    alpha[top:bottom, left:right] = 1
    return alpha


def test_a_subject_that_just_fits_is_in_its_place() -> None:
    assert misplaced(shape(20, 30, 60, 50), (0.2, 0.2, 0.4, 0.4)) == pytest.approx({"centre": 0, "size": 0})
    off = misplaced(shape(30, 30, 50, 40), (0.2, 0.2, 0.4, 0.4))
    assert off == pytest.approx({"centre": 0.05, "size": 0.5})
    assert misplaced(np.zeros((9, 9), np.float32), (0, 0, 1, 1)) == {"centre": 1.0, "size": 1.0}


def test_the_probe_looks_at_the_box() -> None:
    seen = looked_at(np.repeat(shape(20, 20, 60, 60)[..., None], 3, -1), (0.2, 0.2, 0.4, 0.4))
    assert seen.shape == (64, 64, 3) and seen[32, 32, 0] == 1 and seen[0, 0, 0] < 0.1
    neighbours = np.repeat((1 - shape(35, 0, 65, 100))[..., None], 3, -1)
    assert not looked_at(neighbours, (0.37, 0.1, 0.26, 0.8)).any()
    assert looked_at(neighbours, (0.5, 0.1, 0.26, 0.8)).any()


def test_what_is_rendered_stands_in_its_box() -> None:
    world = World(64)
    for number in range(5):
        asked = one_box(world, number)
        empty = world.render("background", scene=asked.scene, seed=asked.seed).picture / np.float32(255)
        changed = np.abs(rendered(world, asked) - empty).max(-1)
        place = misplaced((changed > 0.1).astype(np.float32), asked.boxes[0])
        assert place["centre"] < 0.1 and place["size"] < 0.25


def test_boxes_lie_within_the_scene_and_apart() -> None:
    world = World(64)
    for number in range(20):
        x, y, width, height = one_box(world, number).boxes[0]
        assert min(x, y) >= 0 and max(x + width, y + height) <= 1 and min(width, height) >= 0.25
        asked = side_by_side(3)(world, number)
        ends = [(box[0], box[0] + box[2]) for box in asked.boxes]
        assert all(one[1] < other[0] for one, other in itertools.pairwise(ends))
        assert len(set(asked.objects)) == 3
