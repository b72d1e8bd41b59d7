"""Layers and stacks as a person handles them."""

import numpy as np
import pytest
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.layers import Affine, Layer, LayerStack, limits
from layerfusion.layers.stack import clean_name
from tests.layers.stacks import example_stack, soft_disc

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
