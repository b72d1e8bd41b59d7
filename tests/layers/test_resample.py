"""Placing layers on the grid: no halos, no seams, nothing lost where nothing has to be."""

import numpy as np
import pytest
from hypothesis import given

from layerfusion.layers import Affine, Layer, LayerStack
from layerfusion.layers.resample import bake, pad_colours
from tests.layers.stacks import pictures, soft_disc

SIDE = 161


def supersampled(pixels: np.ndarray, placement: Affine, side: int, n: int = 8) -> np.ndarray:
    """Premultiplied float (side, side, 4): n × n bilinear samples a pixel, zero outside the layer, averaged."""
    colour = pixels / 255.0
    colour[..., :3] *= colour[..., 3:]
    height, width = pixels.shape[:2]
    inverse = placement.inverse()
    y, x = (np.mgrid[: side * n, : side * n] + 0.5) / n
    u, v = (inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f)
    inside = ((u >= 0) & (u < width) & (v >= 0) & (v < height))[..., None]
    u, v = u - 0.5, v - 0.5
    left, top = np.floor(u).astype(int), np.floor(v).astype(int)
    across, down = (u - left)[..., None], (v - top)[..., None]

    def at(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        return colour[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]

    upper = at(top, left) * (1 - across) + at(top, left + 1) * across
    lower = at(top + 1, left) * (1 - across) + at(top + 1, left + 1) * across
    samples = (upper * (1 - down) + lower * down) * inside
    return samples.reshape(side, n, side, n, 4).mean((1, 3))


@pytest.mark.parametrize("soft", [4, 12, 40])
def test_no_halo(soft: float) -> None:
    layer = Layer("fox", soft_disc(SIDE, (220, 120, 40), soft), Affine.translation(-35.7, -42.7))
    layer = layer.scaled(0.37).rotated(30)
    want = supersampled(layer.pixels, layer.placement, 80)
    edge = (want[..., 3] > 0.002) & (want[..., 3] < 0.998)
    assert edge.sum() > 80
    for behind in (0, 255):
        backdrop = Layer("behind", np.full((80, 80, 3), behind, np.uint8))
        got = np.asarray(LayerStack(80, 80, [backdrop, layer]).composite())[..., :3] / 255.0
        error = np.abs(got - want[..., :3] - (1 - want[..., 3:]) * behind / 255)[edge]
        assert error.mean() <= 1 / 255
        assert error.max() <= 3 / 255


@pytest.mark.parametrize("scale", [0.1, 0.37, 0.9, 1.0, 2.6])
@pytest.mark.parametrize("linear", [False, True])
def test_one_colour_stays_that_colour(scale: float, linear: bool) -> None:
    """What is seen of an orange disc is orange, however faint; black stands under its alpha 0."""
    colour = (220, 120, 40)
    layer = Layer("disc", soft_disc(101, colour, 20)).rotated(17).scaled(scale).baked(linear)
    seen = layer.pixels[layer.pixels[..., 3] >= 8]
    assert np.abs(seen[:, :3].astype(int) - colour).max() <= 1


def test_colours_reach_under_the_invisible_edge() -> None:
    """Programs that resample straight alpha find the disc's colour beside it, not black."""
    colour = (220, 120, 40)
    pixels = Layer("disc", soft_disc(101, colour, 3)).rotated(17).baked().pixels
    visible = pixels[..., 3] > 0
    beside = ~visible & (np.roll(visible, 2, 0) | np.roll(visible, -2, 1))
    assert beside.sum() > 20
    assert np.abs(pixels[beside][:, :3].astype(int) - colour).max() <= 8


@given(pictures())
def test_padding_touches_only_what_is_invisible(pixels: np.ndarray) -> None:
    padded = pad_colours(pixels)
    np.testing.assert_array_equal(padded[..., 3], pixels[..., 3])
    visible = pixels[..., 3] > 0
    np.testing.assert_array_equal(padded[visible], pixels[visible])


@given(pictures())
def test_flips_and_quarter_turns_only_reorder(pixels: np.ndarray) -> None:
    np.testing.assert_array_equal(bake(pixels, Affine.scaling(-1, 1))[0], pixels[:, ::-1])
    np.testing.assert_array_equal(bake(pixels, Affine.scaling(1, -1))[0], pixels[::-1])
    np.testing.assert_array_equal(bake(pixels, Affine.rotation(90))[0], np.rot90(pixels, -1))
    np.testing.assert_array_equal(bake(pixels, Affine.rotation(270))[0], np.rot90(pixels))
    assert bake(pixels, Affine.translation(-7, 9))[1:] == (-7, 9)


def test_a_flip_keeps_its_place() -> None:
    pixels = np.zeros((20, 30, 4), np.uint8)
    pixels[5:9, 4:15] = 255
    flipped = Layer("bar", pixels).flipped()
    assert flipped.centre == Layer("bar", pixels).centre
    shown = np.asarray(LayerStack(30, 20, [flipped]).composite())
    np.testing.assert_array_equal(shown[..., 3], pixels[..., 3])


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0, 1.25, 32 / 48])
def test_a_scaled_background_fills_its_canvas(scale: float) -> None:
    """No see-through seam along the border of what was scaled to fit."""
    colour = np.full((48, 48, 3), (10, 200, 90), np.uint8)
    side = round(48 * scale)
    layer = Layer("background", colour, Affine.scaling(scale, scale))
    picture = np.asarray(LayerStack(side, side, [layer]).composite())
    assert (picture == (10, 200, 90, 255)).all()


def test_a_turned_rectangle_has_soft_borders_and_its_area() -> None:
    layer = Layer("square", np.full((40, 40, 3), 255, np.uint8), Affine.rotation(30).then(Affine.translation(30, 10)))
    alpha = np.asarray(LayerStack(80, 80, [layer]).composite())[..., 3] / 255.0
    assert alpha.sum() == pytest.approx(1600, rel=0.005)
    assert len(np.unique(alpha)) > 20


@pytest.mark.parametrize("across, down", [(0.004, 0.004), (0.01, 1.0), (1.0, 0.003)])
def test_shrinking_a_lot_keeps_the_mean(across: float, down: float) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (400, 600, 3), np.uint8)
    pixels, _, _ = bake(np.dstack([noise, np.full((400, 600), 255, np.uint8)]), Affine.scaling(across, down))
    seen = pixels[pixels[..., 3] == 255][:, :3]
    assert seen.size
    assert seen.mean() == pytest.approx(noise.mean(), abs=6)
