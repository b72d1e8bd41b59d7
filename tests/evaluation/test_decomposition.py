import numpy as np
import pytest

from layerfusion.evaluation.decomposition import aligned, colour_distance, cost, edit_distances, grouped, over, soft_iou


def layer(box: tuple[int, int, int, int], colour: tuple[int, int, int], alpha: int = 255) -> np.ndarray:
    pixels = np.zeros((32, 32, 4), np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = [*colour, alpha]
    return pixels


BACK = layer((0, 0, 32, 32), (200, 200, 200))
LEFT, RIGHT = layer((2, 4, 12, 28), (255, 0, 0)), layer((18, 4, 30, 28), (0, 0, 255))
TOP = layer((4, 8, 26, 14), (0, 255, 0))


def test_distances_of_two_layers() -> None:
    other = layer((2, 4, 12, 28), (205, 0, 0), 128)
    assert colour_distance(other, LEFT) == pytest.approx(50 / 255 / 3)
    assert soft_iou(other, LEFT) == pytest.approx(128 / 255)
    assert cost(LEFT, LEFT) == 0 and cost(RIGHT, LEFT) > 0.5
    nothing = np.zeros_like(LEFT)
    assert soft_iou(nothing, nothing) == 0 and colour_distance(LEFT, nothing) == 0


def test_layers_side_by_side_are_one_and_stay_below_what_covers_them() -> None:
    lots = grouped([BACK, LEFT, RIGHT, TOP])
    assert [np.array_equal(*pair) for pair in zip(lots, [BACK, over(LEFT, RIGHT), TOP], strict=True)] == [True] * 3


def test_alignment_keeps_order_and_leaves_nobody_alone() -> None:
    pairs = aligned([BACK, LEFT], [BACK, LEFT, TOP])
    assert pairs[0] == (0, 0) and pairs[-1] == (1, 2)
    assert {i for i, _ in pairs} == {0, 1} and {j for _, j in pairs} == {0, 1, 2}


def test_the_truth_needs_no_edit() -> None:
    (only,) = edit_distances([BACK, LEFT, TOP], [BACK, LEFT, TOP])
    assert only == (0, 0.0, 1.0)


def test_a_layer_that_was_cut_in_two_is_mended_by_one_edit() -> None:
    # Lower and upper half overlap by a line, so that grouping leaves them apart.
    lower, upper = layer((2, 15, 12, 28), (255, 0, 0)), layer((2, 4, 12, 16), (255, 0, 0))
    found = edit_distances([BACK, lower, upper], [BACK, LEFT])
    assert [each.edits for each in found] == [0, 1]
    assert found[0].alpha < 0.8
    assert found[1].alpha == pytest.approx(1) and found[1].colour == pytest.approx(0)
    # The other way round, the truth is what is edited.
    assert edit_distances([BACK, LEFT], [BACK, lower, upper])[-1].alpha == pytest.approx(1)


def test_no_more_edits_than_are_allowed() -> None:
    strips = [layer((2, 4 + 4 * k, 12, 9 + 4 * k), (255, 0, 0)) for k in range(6)]
    assert len(edit_distances([BACK, *strips], [BACK, LEFT], edits=2)) == 3
