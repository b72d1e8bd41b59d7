"""Layers and stacks as a person handles them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.layers import SUBJECT_ALPHA, Affine, Layer, LayerStack, limits
from layerfusion.layers.layer import clean_name
from tests.layers.stacks import example_stack, pictures, soft_disc

GREY = np.full((4, 6, 3), 128, np.uint8)


def test_layers_take_pictures_and_arrays() -> None:
    assert Layer("a", GREY).pixels.shape == (4, 6, 4)
    assert Layer("a", Image.new("P", (6, 4))).size == (6, 4)
    assert Layer("a", np.zeros((4, 6, 4), np.uint8)).image.mode == "RGBA"


@pytest.mark.parametrize("wrong", [GREY.astype(float), GREY[..., 0], np.zeros((0, 4, 4), np.uint8)])
def test_other_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(LayerFusionError, match="pixels are uint8"):
        Layer("a", wrong)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"opacity": 1.2}, "Opacity 1.2"),
        ({"opacity": float("nan")}, "Opacity nan"),
        ({"blend": "dissolve"}, "use one of normal, multiply, screen, overlay"),
        ({"name": "a\nb"}, "cannot be a layer's name"),
        ({"name": ""}, "cannot be a layer's name"),
        ({"name": "x" * 256}, "cannot be a layer's name"),
        ({"name": "\ud800"}, "cannot be a layer's name"),
    ],
)
def test_other_settings_are_refused(fields: dict, sentence: str) -> None:
    with pytest.raises(LayerFusionError, match=sentence):
        Layer(**{"name": "a", "pixels": GREY, **fields})


def test_names_are_cleaned_without_splitting_a_character() -> None:
    assert clean_name("a\x00b\ud800") == "ab"
    assert clean_name("🦊" * 200) == "🦊" * 127
    assert clean_name("\n") == "layer"


def test_edits_return_copies_and_keep_pixels() -> None:
    disc = Layer("disc", soft_disc(21, (9, 9, 9), 3))
    changed = disc.scaled(0.5).rotated(90).moved(3, -2).flipped()
    assert disc.placement == Affine()
    assert changed.pixels is disc.pixels
    assert changed.centre == pytest.approx((disc.centre[0] + 3, disc.centre[1] - 2))


def test_scaling_keeps_the_middle_of_what_is_seen() -> None:
    pixels = np.zeros((100, 100, 4), np.uint8)
    pixels[10:20, 60:90] = 255
    assert Layer("bar", pixels).centre == (75, 15)
    shown = np.asarray(LayerStack(100, 100, [Layer("bar", pixels).scaled(0.5)]).composite())[..., 3]
    rows, columns = np.nonzero(shown > 127)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((75, 15), abs=0.5)


@st.composite
def subjects(draw: st.DrawFn) -> Layer:
    """A soft ellipse anywhere on a canvas of 96 × 64, under a veil fainter than SUBJECT_ALPHA, as decoders leave."""
    y, x = np.mgrid[:64, :96] + 0.5
    left, top = draw(st.integers(24, 72)), draw(st.integers(20, 44))
    distance = np.hypot((x - left) / draw(st.integers(6, 20)), (y - top) / draw(st.integers(6, 16)))
    pixels = np.full((64, 96, 4), 200, np.uint8)
    veil = np.random.default_rng(draw(st.integers(0, 99))).integers(
        0, SUBJECT_ALPHA - 2, (64, 96)
    )  # bicubic overshoots
    pixels[..., 3] = np.maximum(np.rint(255 * np.clip(4 - 4 * distance, 0, 1)), veil)
    return Layer("subject", pixels)


def seen_middle(layer: Layer) -> tuple[float, float]:
    """The middle of what stands out of the veil on a canvas around the layer's."""
    alpha = np.asarray(LayerStack(296, 264, [layer.moved(100, 100)]).composite())[..., 3]
    rows, columns = np.nonzero(alpha >= SUBJECT_ALPHA)
    return (columns.min() + columns.max() + 1) / 2 - 100, (rows.min() + rows.max() + 1) / 2 - 100


@settings(max_examples=40)
@given(subjects(), st.sampled_from([0.4, 0.75, 1.3]), st.floats(-180, 180), st.booleans())
def test_flip_scale_and_turn_keep_the_middle_of_the_subject(
    layer: Layer, scale: float, degrees: float, vertical: bool
) -> None:
    """An ellipse's box keeps its middle whichever way it is turned, so the picture itself can be asked."""
    middle = seen_middle(layer)
    assert layer.centre == pytest.approx(middle, abs=0.01)
    for edited in (layer.flipped(vertical), layer.scaled(scale), layer.rotated(degrees)):
        assert seen_middle(edited) == pytest.approx(middle, abs=1)
    assert seen_middle(layer.rotated(degrees).scaled(scale).flipped(vertical)) == pytest.approx(middle, abs=1)


@settings(max_examples=40)
@given(subjects())
def test_the_box_is_tight(layer: Layer) -> None:
    left, top, right, bottom = layer.box
    inside = layer.pixels[top:bottom, left:right, 3] >= SUBJECT_ALPHA
    assert inside.sum() == (layer.pixels[..., 3] >= SUBJECT_ALPHA).sum()
    assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
    assert layer.moved(5, -3).bounds() == (left + 5, top - 3, right + 5, bottom - 3)


def test_a_layer_that_is_all_veil_is_its_own_subject() -> None:
    pixels = np.zeros((10, 20, 4), np.uint8)
    assert Layer("clear", pixels).box == (0, 0, 20, 10)
    pixels[2:4, 5:9, 3] = SUBJECT_ALPHA - 1
    assert Layer("smoke", pixels).box == (5, 2, 9, 4)


@given(pictures(), st.integers(0, 3))
def test_trimming_changes_no_picture(pixels: np.ndarray, margin: int) -> None:
    layer = Layer("one", pixels, Affine.translation(3, -2))
    trimmed = layer.trimmed(margin)
    one, other = (LayerStack(40, 40, [each]).composite() for each in (layer, trimmed))
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert trimmed.trimmed(margin).size == trimmed.size


def test_layers_are_found_by_name_and_number() -> None:
    stack = example_stack()
    assert stack["background"] is stack[0]
    assert stack[-1].name == "hidden"
    edited = stack.edited("background", lambda layer: layer.moved(1, 0))
    assert stack[0].offset == (0, 0)
    assert edited[0].offset == (1, 0)


def test_what_is_not_found_is_said() -> None:
    stack = example_stack()
    with pytest.raises(LayerFusionError, match="There is no layer 'fox'; the layers are: background, "):
        stack["fox"]
    with pytest.raises(LayerFusionError, match="numbered 0 to 5"):
        stack[6]
    stack.layers.append(stack[0])
    with pytest.raises(LayerFusionError, match="2 layers are named 'background'; use the number 0 or 6"):
        stack["background"]


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (100_000, 5), (20_000, 20_000)])
def test_canvases_out_of_reason_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(LayerFusionError, match=f"{size[0]}×{size[1]}"):
        LayerStack(*size)


def test_a_stack_too_large_for_memory_is_refused_before_working(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory_limit", lambda: 1_000_000)
    stack = LayerStack(300, 300, [Layer("disc", soft_disc(21, (9, 9, 9), 3))])
    with pytest.raises(LayerFusionError, match=r"needs about .* GiB of memory"):
        stack.composite()
    with pytest.raises(LayerFusionError, match=r"needs about .* GiB of memory"):
        stack.save("never.psd")


def test_enlarging_beyond_reason_is_refused() -> None:
    layer = Layer("disc", soft_disc(21, (9, 9, 9), 3)).scaled(5000)
    with pytest.raises(LayerFusionError, match=r"10500.×10500. pixels"):
        layer.baked()
    assert LayerStack(9, 9, [layer]).composite().getpixel((4, 4))[3] == 255  # only the canvas is resampled
