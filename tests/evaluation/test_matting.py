import numpy as np
import pytest

from layerfusion.evaluation.matting import connectivity_error, errors, errors_in_trimap, gradient_error


def square(side: int = 40) -> np.ndarray:
    truth = np.zeros((side, side))
    truth[10:30, 10:30] = 1
    return truth


def test_the_truth_has_no_error() -> None:
    assert set(errors(square(), square()).values()) == {0.0}


def test_sums_and_means_are_as_aim_has_them() -> None:
    truth = square()
    found = errors(truth * 0.5, truth)
    assert found["SAD"] == pytest.approx(400 * 0.5 / 1000)
    assert found["MAD"] == pytest.approx(400 * 0.5 / 1600) and found["MSE"] == pytest.approx(400 * 0.25 / 1600)


def test_outside_the_trimap_its_word_is_taken() -> None:
    truth = square()
    trimap = np.full((40, 40), 128, np.uint8)
    trimap[:10], trimap[12:28, 12:28] = 0, 255
    wrong = np.where(trimap == 128, truth, 1 - truth)
    assert errors_in_trimap(wrong, truth, trimap)["SAD in the trimap"] == 0
    count = int((trimap == 128).sum())
    wrong = np.where(trimap == 128, 1 - truth, truth)
    found = errors_in_trimap(wrong, truth, trimap)
    assert found["MAD in the trimap"] == found["MSE in the trimap"] == 1
    assert found["SAD in the trimap"] == pytest.approx(count / 1000)


def test_the_gradients_error_is_that_of_two_edges_where_one_should_be() -> None:
    truth = square()
    shifted = np.roll(truth, 12, 1)
    alone = gradient_error(np.zeros_like(truth), truth)
    # The two vertical edges stand apart, the horizontal ones overlap in part.
    assert alone < gradient_error(shifted, truth) < 2 * alone
    assert gradient_error(truth * 0.9, truth) == pytest.approx(alone / 100, rel=1e-3)


def test_an_island_costs_connectivity_and_a_whole_does_not() -> None:
    truth = square()
    island = truth.copy()
    island[2:6, 2:6] = 1
    # Not connected at any threshold above 0: its l is 0 and φ = 0, where the truth's φ is 1.
    assert connectivity_error(island, truth) == pytest.approx(16 / 1000)
    assert connectivity_error(np.clip(truth - 0.1, 0, 1), truth) == pytest.approx(0, abs=1e-9)
