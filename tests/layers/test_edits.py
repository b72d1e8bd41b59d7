"""One edit of one layer: the order in which it is done, and what it takes along."""

import numpy as np
import pytest

from layerfusion.errors import LayerFusionError
from layerfusion.layers import LayerStack, edited
from tests.layers.stacks import assert_same, lit_stack


def test_nothing_asked_changes_nothing_and_the_stack_is_left_as_it_was() -> None:
    stack = lit_stack()
    assert_same(edited(stack, "foreground"), stack)
    edited(stack, "0", pixels=np.zeros((3, 5, 4), np.uint8), rotate=30, move=(4, 5), name="other", opacity=0.5)
    assert_same(stack, lit_stack())


def test_the_order_is_reset_pixels_flips_scale_turn_move() -> None:
    stack = edited(lit_stack(), "foreground", scale=(0.5, 2), rotate=20, move=(9, 9))
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 4), np.uint8)
    everything = {"reset": True, "pixels": pixels, "flip": True, "flip_vertical": True}
    made = edited(stack, "foreground", **everything, scale=(0.8,), rotate=30, move=(4, -5))["foreground"]
    layer = lit_stack()["foreground"].with_pixels(pixels)
    expected = layer.flipped().flipped(vertical=True).scaled(0.8).rotated(30).moved(4, -5)
    np.testing.assert_allclose(made.placement.as_tuple(), expected.placement.as_tuple(), atol=1e-9)
    np.testing.assert_array_equal(made.pixels, pixels)


def test_the_group_moves_along_unless_it_is_left_alone() -> None:
    together, alone = (edited(lit_stack(), "foreground", move=(5, 0), alone=alone) for alone in (False, True))
    assert together["shadow"].placement.c == 5 and alone["shadow"].placement.c == 0
    assert together["foreground"].placement == alone["foreground"].placement


def test_new_pixels_are_those_that_it_is_blended_from_where_that_is_asked() -> None:
    pixels = np.full((4, 4, 4), 200, np.uint8)
    one, both = (edited(lit_stack(), "foreground", pixels=pixels, also_unlit=also) for also in (False, True))
    np.testing.assert_array_equal(both["foreground (unlit)"].pixels, pixels)
    np.testing.assert_array_equal(one["foreground (unlit)"].pixels, lit_stack()["foreground (unlit)"].pixels)


def test_a_number_is_a_name_where_a_layer_is_called_so() -> None:
    stack = edited(lit_stack(), "1", name="0")
    assert edited(stack, "0", visible=False)[1].visible is False
    assert isinstance(stack, LayerStack)


def test_what_is_not_there_or_out_of_range_gets_a_sentence() -> None:
    for layer, change, sentence in (
        ("cat", {}, "There is no layer 'cat'"),
        ("9" * 5000, {}, "There is no layer"),
        ("foreground", {"opacity": 2.0}, "Opacity 2.0 is outside 0 to 1"),
        ("foreground", {"scale": (0.0,)}, "squeezes its layer to nothing"),
    ):
        with pytest.raises(LayerFusionError, match=sentence):
            edited(lit_stack(), layer, **change)
