"""A subject with its shadow and light: the picture they make, and that they stay together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from layerfusion.layers import Affine, Layer, LayerStack, read, stack_from_triplet, write
from layerfusion.layers.composite import BLENDS
from layerfusion.layers.effects import cleared
from tests.layers.stacks import assert_same, effects, lit_stack, pictures

NAMES = ["background", "shadow", "light", "foreground", "foreground (unlit)", "blended"]


def numbers(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"), np.float64) / 255


def test_a_lit_triplet_is_the_formula() -> None:
    """(background · shadow) screened by light, the relit foreground over it."""
    given = effects()
    shadow, light, below = (numbers(given[name]) for name in ("shadow", "light", "background"))
    relit = np.asarray(given["relit"]) / 255
    lit = below * shadow
    lit = lit + light - lit * light
    want = relit[..., 3:] * relit[..., :3] + (1 - relit[..., 3:]) * lit
    got = numbers(stack_from_triplet(**given).composite())
    assert np.abs(got - want).max() <= 1.01 / 255


def test_the_layers_of_a_lit_triplet() -> None:
    stack = lit_stack()
    assert [layer.name for layer in stack] == NAMES
    assert [layer.visible for layer in stack] == [True, True, True, True, False, False]
    assert [layer.blend for layer in stack] == ["normal", "multiply", "screen", "normal", "normal", "normal"]
    assert [layer.group for layer in stack] == [None, "subject", "subject", "subject", "subject", None]
    np.testing.assert_array_equal(stack["foreground"].pixels, np.asarray(effects()["relit"]))
    np.testing.assert_array_equal(stack["foreground (unlit)"].pixels, np.asarray(effects()["foreground"]))


def test_without_effects_a_triplet_is_what_it_was() -> None:
    given = effects()
    stack = stack_from_triplet(given["foreground"], given["background"])
    assert [(layer.name, layer.group) for layer in stack] == [("background", None), ("foreground", None)]


@given(pictures(), pictures())
def test_clearing_changes_no_picture(pixels: np.ndarray, below: np.ndarray) -> None:
    below[..., 3] = 255
    backdrop = Layer("below", below)
    for blend in BLENDS:
        layer = Layer("effect", pixels, opacity=0.7, blend=blend)
        one, other = (LayerStack(*backdrop.size, [backdrop, each]).composite() for each in (layer, cleared(layer)))
        assert np.abs(np.asarray(one, int) - np.asarray(other, int)).max() <= 1


def test_clearing_leaves_nothing_where_nothing_is_done() -> None:
    stack = lit_stack()
    for name in ("shadow", "light"):
        trimmed = stack[name].trimmed()
        assert trimmed.size < stack.size
        assert stack[name].box == stack[name]._box(8)
    black = cleared(Layer("grey", np.full((1, 1, 3), 100, np.uint8), blend="multiply"))
    assert black.pixels.tolist() == [[[0, 0, 0, 155]]]  # a grey shadow is black, so normal mode shows the same


def test_the_group_moves_along_about_the_middle_of_the_subject() -> None:
    stack = lit_stack()
    middle = stack["foreground"].centre
    edited = stack.edited("foreground", lambda layer: layer.flipped().scaled(0.5).rotated(30).moved(7, -3))
    for layer in stack:
        change = Affine() if layer.group is None else Affine.scaling(-0.5, 0.5).then(Affine.rotation(30)).about(*middle)
        change = change if layer.group is None else change.then(Affine.translation(7, -3))
        want = layer.placement.then(change)
        assert edited[layer.name].placement.as_tuple() == pytest.approx(want.as_tuple(), abs=1e-9)


def test_one_can_be_edited_alone() -> None:
    stack = lit_stack()
    moved = stack.edited("shadow", lambda layer: layer.moved(5, 0), alone=True)
    assert [layer.offset for layer in moved] == [(0, 0), (5, 0), (0, 0), (0, 0), (0, 0), (0, 0)]
    moved["light"] = replace(moved["light"], opacity=0.5).moved(0, 1)
    assert [layer.offset for layer in moved] == [(0, 0), (5, 0), (0, 1), (0, 0), (0, 0), (0, 0)]


def test_the_rest_of_a_layer_is_its_own() -> None:
    stack = lit_stack().edited("foreground", lambda layer: replace(layer, opacity=0.5, visible=False, blend="screen"))
    assert (stack["shadow"].opacity, stack["shadow"].visible, stack["shadow"].blend) == (1.0, True, "multiply")


def test_a_moved_subject_leaves_nothing_behind_and_takes_its_shadow_along() -> None:
    wide = {}
    for name, picture in effects().items():
        wide[name] = Image.new(picture.mode, (160, 64), "white" if name == "shadow" else 0)
        wide[name].paste(picture, (0, 0))
    wide["background"] = effects()["background"].resize((160, 64))
    moved = stack_from_triplet(**wide).edited("foreground", lambda layer: layer.moved(60, 0))
    below, after = numbers(wide["background"]), numbers(moved.composite())
    np.testing.assert_array_equal(after[:, :72], below[:, :72])
    shadow, light = (np.roll(numbers(wide[name]), 60, 1) for name in ("shadow", "light"))
    in_shadow = (np.roll(np.asarray(wide["relit"])[..., 3], 60, 1) == 0) & (light.max(-1) == 0)
    assert np.abs(after - below * shadow)[in_shadow].max() <= 1.01 / 255
    assert (below - after)[in_shadow].max() > 0.2


@pytest.mark.parametrize("name", ["a.psd", "a.ora", "folder"])
def test_files_keep_groups_and_blend_modes(name: str, tmp_path: Path) -> None:
    stack = lit_stack().edited("foreground", lambda layer: layer.moved(9, 4))
    again = read(write(stack, tmp_path / name))
    assert_same(again.baked(), stack.baked())
    assert np.abs(np.asarray(again.composite(), int) - np.asarray(stack.composite(), int)).max() == 0
    once_more = again.edited("foreground", lambda layer: layer.moved(-9, -4))
    assert np.abs(np.asarray(once_more.composite(), int) - np.asarray(lit_stack().composite(), int)).max() == 0


def test_a_group_that_others_lie_between_becomes_two(tmp_path: Path) -> None:
    """A folder cannot have a stranger inside: neither part takes the other's name."""
    stack = lit_stack()
    stack.layers.insert(2, Layer("between", np.zeros((4, 4, 3), np.uint8)))
    for name in ("a.psd", "a.ora"):
        again = read(write(stack, tmp_path / name))
        groups = [layer.group for layer in again]
        assert len({group for group in groups if group}) == 2
        assert groups[1] != groups[3] == groups[4]


def test_a_first_manifest_is_still_read(tmp_path: Path) -> None:
    import json

    folder = write(lit_stack(), tmp_path / "stack")
    manifest = json.loads((folder / "stack.json").read_text())
    manifest["version"] = 1
    for entry in manifest["layers"]:
        del entry["group"]
    (folder / "stack.json").write_text(json.dumps(manifest))
    again = read(folder)
    assert_same(again, LayerStack(*again.size, [replace(layer, group=None) for layer in lit_stack()]))
