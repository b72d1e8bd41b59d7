"""Compositing against the W3C's formulas, written here once more, plainly, in straight colour and double precision."""

import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from layerfusion.layers import Affine, Layer, LayerStack
from layerfusion.layers import composite as module
from tests.layers.stacks import example_stack, stacks

Array = np.ndarray


def hard_light(backdrop: Array, source: Array) -> Array:
    screened = backdrop + (2 * source - 1) - backdrop * (2 * source - 1)
    return np.where(source <= 0.5, backdrop * 2 * source, screened)


MIXES = {
    "normal": lambda backdrop, source: source,
    "multiply": lambda backdrop, source: backdrop * source,
    "screen": lambda backdrop, source: backdrop + source - backdrop * source,
    "overlay": lambda backdrop, source: hard_light(source, backdrop),
}


def decode_srgb(value: Array) -> Array:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def encode_srgb(light: Array) -> Array:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def reference(stack: LayerStack, linear: bool = False) -> Array:
    """Straight float (h, w, 4) in [0, 1] of a stack whose layers have whole-pixel offsets only."""
    colour, alpha = np.zeros((stack.height, stack.width, 3)), np.zeros((stack.height, stack.width, 1))
    for layer in stack:
        if not layer.visible:
            continue
        page = Image.new("RGBA", stack.size)
        page.paste(layer.image, layer.offset)
        source = np.asarray(page) / 255
        cs, source_alpha = source[..., :3], source[..., 3:] * layer.opacity
        cs = decode_srgb(cs) if linear else cs
        mixed = (1 - alpha) * cs + alpha * MIXES[layer.blend](colour, cs)
        total = source_alpha + alpha * (1 - source_alpha)
        premultiplied = source_alpha * mixed + (1 - source_alpha) * alpha * colour
        colour = np.divide(premultiplied, total, out=np.zeros_like(premultiplied), where=total > 0)
        alpha = total
    return np.concatenate([encode_srgb(colour) if linear else colour, alpha], -1)


def assert_close(stack: LayerStack, linear: bool = False) -> None:
    got, want = np.asarray(stack.composite(linear)) / 255.0, reference(stack, linear)
    assert np.abs(got[..., 3] - want[..., 3]).max() <= 0.501 / 255
    # Colour is compared where it can be seen.
    seen = want[..., 3] > 2 / 255
    assert np.abs(got[..., :3] - want[..., :3])[seen].max(initial=0) <= 0.51 / 255


@given(stacks())
def test_follows_the_formulas(stack: LayerStack) -> None:
    assert_close(stack)


@given(stacks())
def test_follows_the_formulas_in_linear_light(stack: LayerStack) -> None:
    assert_close(stack, linear=True)


@given(stacks(exact=False))
def test_baking_changes_nothing(stack: LayerStack) -> None:
    """The composite resamples only what lies on the canvas, hence the one step."""
    one, other = (np.asarray(one.composite(), np.int16) for one in (stack, stack.baked()))
    assert np.abs(one[..., 3] - other[..., 3]).max() <= 1
    assert (np.abs(one - other).max(-1) * (one[..., 3] > 8)).max() <= 1


def test_strips_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.asarray(example_stack().composite())
    monkeypatch.setattr(module, "STRIP_SAMPLES", 96 * 5)
    np.testing.assert_array_equal(np.asarray(example_stack().composite()), whole)


def test_agrees_with_pillow_to_one_step() -> None:
    rng = np.random.default_rng(0)
    layers = [Layer(str(number), rng.integers(0, 256, (40, 50, 4), np.uint8)) for number in range(4)]
    layers[0].pixels[..., 3] = 255
    theirs = layers[0].image
    for layer in layers[1:]:
        theirs = Image.alpha_composite(theirs, layer.image)
    ours = LayerStack(50, 40, layers).composite()
    assert np.abs(np.asarray(ours, np.int16) - np.asarray(theirs, np.int16)).max() <= 1


def test_linear_light_is_brighter_halfway_between_black_and_white() -> None:
    half = np.full((1, 1, 4), (255, 255, 255, 128), np.uint8)
    stack = LayerStack(1, 1, [Layer("black", np.zeros((1, 1, 3), np.uint8)), Layer("half", half)])
    assert stack.composite().getpixel((0, 0)) == (128, 128, 128, 255)
    assert stack.composite(linear=True).getpixel((0, 0)) == (188, 188, 188, 255)


def test_hidden_and_distant_layers_leave_no_trace() -> None:
    red = np.full((4, 4, 4), (255, 0, 0, 255), np.uint8)
    layers = [
        Layer("hidden", red, visible=False),
        Layer("faded", red, opacity=0),
        Layer("far", red, Affine.translation(4, 0)),
        Layer("far too", red, Affine.translation(0, -4)),
    ]
    assert not np.asarray(LayerStack(4, 4, layers).composite()).any()
