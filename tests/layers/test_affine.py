"""Placements: algebra, exact cases, and the four numbers PowerPoint needs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfusion.errors import LayerFusionError
from layerfusion.layers import Affine

NUMBERS = st.floats(-100, 100)
FACTORS = st.floats(0.05, 20).flatmap(lambda size: st.sampled_from([size, -size]))
ANGLES = st.floats(-720, 720)


@given(ANGLES, FACTORS, FACTORS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_inverse_undoes(degrees: float, across: float, down: float, x: float, y: float, px: float, py: float) -> None:
    placement = Affine.rotation(degrees).then(Affine.scaling(across, down)).then(Affine.translation(x, y))
    assert placement.inverse()(*placement(px, py)) == pytest.approx((px, py), abs=1e-6)


@given(ANGLES, FACTORS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_then_applies_the_second_after_the_first(
    degrees: float, factor: float, x: float, y: float, px: float, py: float
) -> None:
    first, second = Affine.rotation(degrees), Affine.scaling(factor, 2).about(x, y)
    assert first.then(second)(px, py) == pytest.approx(second(*first(px, py)), abs=1e-6)


@given(ANGLES, st.floats(0.05, 20), st.floats(0.05, 20), st.booleans())
def test_similarity_names_flip_scale_and_turn(degrees: float, across: float, down: float, flipped: bool) -> None:
    flip = Affine.scaling(-1 if flipped else 1, 1)
    placement = flip.then(Affine.scaling(across, down)).then(Affine.rotation(degrees))
    found = placement.similarity()
    assert found is not None
    scale_x, scale_y, turn, mirrored = found
    assert (scale_x, scale_y, mirrored) == (pytest.approx(across), pytest.approx(down), flipped)
    assert math.cos(math.radians(turn - degrees)) == pytest.approx(1)


def test_a_slant_is_no_similarity() -> None:
    assert Affine.rotation(30).then(Affine.scaling(2, 1)).similarity() is None


def test_clockwise_with_y_down() -> None:
    assert Affine.rotation(90)(1, 0) == (0, 1)


@pytest.mark.parametrize("quarter", [-90, 0, 90, 180, 270, 450])
def test_quarter_turns_are_exact(quarter: float) -> None:
    assert Affine.rotation(quarter).then(Affine.translation(3, -4)).is_exact


def test_doubling_and_halving_is_exact_again() -> None:
    twice = Affine.scaling(2, 2).about(12.3, 4.5)
    assert twice.then(Affine.scaling(0.5, 0.5).about(12.3, 4.5)).is_exact
    assert not twice.is_exact
    assert not Affine.rotation(45).is_exact
    assert not Affine.translation(0.5, 0).is_exact


def test_bounds_hold_every_corner() -> None:
    left, top, right, bottom = Affine.rotation(30).bounds(10, 20)
    corners = np.array([Affine.rotation(30)(x, y) for x in (0, 10) for y in (0, 20)])
    assert (left, top) == pytest.approx(tuple(corners.min(0)))
    assert (right, bottom) == pytest.approx(tuple(corners.max(0)))


@pytest.mark.parametrize(
    "numbers", [(0, 0, 0, 0, 0, 0), (1, 1, 0, 1, 1, 0), (math.nan, 0, 0, 0, 1, 0), (1, 0, math.inf, 0, 1, 0)]
)
def test_refuses_what_places_nothing(numbers: tuple[float, ...]) -> None:
    with pytest.raises(LayerFusionError, match="placement"):
        Affine(*numbers)
