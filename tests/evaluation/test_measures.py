"""Measures on pictures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfusion.evaluation.measures import (
    auc,
    background_kept,
    beyond,
    bootstrap,
    colour_gain,
    darkening,
    fit,
    ghost,
    interior,
    lost,
    mean_overlap,
    overlap,
    shadow_overlap,
    wholeness,
)

RNG = np.random.default_rng(0)
FOREGROUND = RNG.uniform(0.2, 0.7, (64, 64, 3))
BACKGROUND = RNG.uniform(0.2, 0.8, (64, 64, 3))
ALPHA = np.zeros((64, 64))
ALPHA[16:48, 16:48] = 1
CHANNELS = st.tuples(*[st.floats(0.1, 1.4)] * 3)


def pasted(subject: np.ndarray = FOREGROUND) -> np.ndarray:
    return subject * ALPHA[..., None] + BACKGROUND * (1 - ALPHA[..., None])


@given(gain=CHANNELS, offset=st.tuples(*[st.floats(-0.1, 0.2)] * 3))
def test_a_subject_is_whole_under_any_even_light(gain: tuple[float, ...], offset: tuple[float, ...]) -> None:
    assert wholeness(pasted(FOREGROUND * gain + offset), FOREGROUND, ALPHA) == pytest.approx(1)


@given(st.floats(0, 1))
@settings(max_examples=20)
def test_wholeness_falls_with_what_is_replaced(share: float) -> None:
    """A mixture of the subject and something as varied: R² is the subject's share of the variance."""
    other = np.random.default_rng(1).uniform(0.2, 0.7, FOREGROUND.shape)
    expected = (1 - share) ** 2 / ((1 - share) ** 2 + share**2)
    assert wholeness(pasted((1 - share) * FOREGROUND + share * other), FOREGROUND, ALPHA) == pytest.approx(
        expected, abs=0.08
    )


def test_an_inverted_subject_is_not_whole() -> None:
    assert wholeness(pasted(1 - FOREGROUND), FOREGROUND, ALPHA) == 0
    half_gone = FOREGROUND.copy()
    half_gone[32:] = 0.1
    assert wholeness(pasted(half_gone), FOREGROUND, ALPHA) < 0.7


def test_too_few_pixels_say_nothing() -> None:
    speck = np.zeros((64, 64))
    speck[30:36, 30:36] = 1
    assert np.isnan(wholeness(BACKGROUND, FOREGROUND, speck))
    assert np.isnan(background_kept(BACKGROUND, BACKGROUND, np.ones((64, 64))))
    assert np.isnan(colour_gain(FOREGROUND, FOREGROUND, interior(speck))).all()


@given(gain=CHANNELS)
def test_colour_gain_is_the_factor_that_was_applied(gain: tuple[float, ...]) -> None:
    where = interior(ALPHA)
    assert 0 < where.sum() < ALPHA.sum()
    assert colour_gain(FOREGROUND * gain, FOREGROUND, where) == pytest.approx(gain)


def test_interior_and_beyond_keep_their_distance() -> None:
    inside, outside = interior(ALPHA), beyond(ALPHA, 0.125)
    assert inside.sum() == 30 * 30 and inside[17:47, 17:47].all()
    # A height of 64 and a reach of an eighth: 8 pixels on every side of the subject are within it.
    assert (~outside).sum() == 48 * 48 and not outside[8:56, 8:56].any()
    assert interior(np.ones((32, 32))).all() and beyond(np.zeros((32, 32))).all()


def test_fit_finds_a_line_and_skips_what_is_not_known() -> None:
    x = np.array([0.2, 0.5, 0.9, 1.1])
    line = fit(np.append(x, 0.7), np.append(0.7 * x + 0.1, np.nan))
    assert line == pytest.approx((0.7, 0.1, 1.0))


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=20))
def test_fit_agrees_with_numpy(points: list[tuple[float, float]]) -> None:
    x, y = np.array(points).T
    if np.ptp(x) < 1e-3 or np.ptp(y) < 1e-3:
        return
    line = fit(x, y)
    assert (line.slope, line.intercept) == pytest.approx(tuple(np.polyfit(x, y, 1)), abs=1e-6)
    assert line.r == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)


def test_what_does_not_vary_has_slope_and_r_zero() -> None:
    assert fit(np.array([0.2, 0.5, 0.9]), np.ones(3)) == (0.0, 1.0, 0.0)
    assert np.isnan(fit(np.ones(2), np.ones(2)).slope) and np.isnan(fit(np.ones(4), np.arange(4)).slope)


@given(depth=st.floats(0.15, 0.9))
@settings(max_examples=20)
def test_a_shadow_is_found_where_and_as_deep_as_it_was_drawn(depth: float) -> None:
    true = np.zeros((64, 64))
    true[48:56, 10:50] = depth
    found = darkening(pasted() * (1 - true[..., None]), BACKGROUND, ALPHA)
    assert found == pytest.approx(true)
    assert shadow_overlap(found, true) == pytest.approx(1)
    assert shadow_overlap(np.roll(found, 20, axis=1), true) == pytest.approx(1 / 3, abs=0.01)
    assert shadow_overlap(np.zeros_like(true), true) == 0
    assert np.isnan(shadow_overlap(true, np.zeros_like(true)))


def test_the_background_is_kept_where_the_subject_does_not_reach() -> None:
    assert background_kept(pasted(), BACKGROUND, ALPHA) == 60
    assert background_kept(pasted() + 0.1, BACKGROUND, ALPHA) == pytest.approx(20)
    near = pasted()
    near[8:56, 8:16] = 0
    assert background_kept(near, BACKGROUND, ALPHA) == 60


def test_a_ghost_is_seen_and_chance_is_low() -> None:
    assert ghost(BACKGROUND, FOREGROUND, ALPHA) < 0.02
    assert ghost(0.5 * BACKGROUND + 0.5 * FOREGROUND, FOREGROUND, ALPHA) > 0.3


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_is_the_chance_of_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    scores, inside = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if inside.all() or not inside.any():
        assert np.isnan(auc(scores, inside))
        return
    difference = scores[inside][:, None] - scores[~inside][None]
    assert auc(scores, inside) == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean())
    assert auc(-scores, inside) == pytest.approx(1 - auc(scores, inside))


def test_a_subject_of_which_little_is_left_is_lost() -> None:
    def alphas(*sides: int) -> np.ndarray:
        drawn = np.zeros((len(sides), 64, 64))
        for picture, side in zip(drawn, sides, strict=True):
            picture[16 : 16 + side, 16 : 16 + side] = 0.6
        return drawn

    assert lost(alphas(32, 10, 11, 0), alphas(32, 32, 32, 32)).tolist() == [False, True, False, True]
    assert lost(alphas(4, 0), alphas(5, 0)).tolist() == [False, False]  # small, or nothing, it was before


def test_overlap() -> None:
    a, b = np.zeros((8, 8)), np.zeros((8, 8))
    a[:4], b[2:6] = 1, 1
    assert overlap(a, b) == pytest.approx(16 / 48)
    assert overlap(a, a) == 1 and overlap(np.zeros((4, 4)), np.zeros((4, 4))) == 0
    assert mean_overlap(np.stack([a, a, b])) == pytest.approx((1 + 2 * 16 / 48) / 3)


def test_the_bootstrap_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for repeat in range(100):
        values = rng.normal(3, 1, 40)
        low, high = bootstrap(lambda at, values=values: values[at].mean(), 40, draws=200, seed=repeat)  # type: ignore[misc]
        covered += low <= 3 <= high
    assert 85 <= covered <= 100
    assert bootstrap(lambda at: float("nan") if at[0] else 1.0, 5) == (1, 1)
