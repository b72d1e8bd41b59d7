"""The arithmetic of the report, on pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.mini.measures import auc, colour_gain, fit, interior, mean_overlap, overlap


def test_fit_finds_a_line_and_skips_what_is_not_known() -> None:
    x = np.array([0.2, 0.5, 0.9, 1.1])
    line = fit(np.append(x, 0.7), np.append(0.7 * x + 0.1, np.nan))
    assert line == pytest.approx((0.7, 0.1, 1.0))


def test_what_does_not_vary_has_slope_and_r_zero() -> None:
    assert fit(np.array([0.2, 0.5, 0.9]), np.ones(3)) == (0.0, 1.0, 0.0)
    assert np.isnan(fit(np.ones(2), np.ones(2)).slope)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_chance_of_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    scores, inside = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if inside.all() or not inside.any():
        assert np.isnan(auc(scores, inside))
        return
    difference = scores[inside][:, None] - scores[~inside][None]
    assert auc(scores, inside) == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean())
    assert auc(-scores, inside) == pytest.approx(1 - auc(scores, inside))


@pytest.mark.parametrize("gain", [(0.4, 0.5, 0.9), (1.1, 0.7, 0.5)])
def test_colour_gain_is_the_factor_that_was_applied(gain: tuple[float, float, float]) -> None:
    unlit = np.random.default_rng(0).uniform(0.2, 0.7, (64, 64, 3))
    alpha = np.zeros((64, 64))
    alpha[10:50, 10:50] = 1
    where = interior(alpha)
    assert 0 < where.sum() < alpha.sum()
    assert colour_gain(unlit * gain, unlit, where) == pytest.approx(gain)
    assert np.isnan(colour_gain(unlit, unlit, interior(np.full((64, 64), 0.5)))).all()


def test_overlap() -> None:
    a, b = np.zeros((8, 8)), np.zeros((8, 8))
    a[:4], b[2:6] = 1, 1
    assert overlap(a, b) == pytest.approx(16 / 48)
    assert overlap(a, a) == 1 and overlap(np.zeros((4, 4)), np.zeros((4, 4))) == 0
    assert mean_overlap(np.stack([a, a, b])) == pytest.approx((1 + 2 * 16 / 48) / 3)
