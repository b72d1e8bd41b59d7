"""Relighting: light is read off the blended picture, shapes are not; the layers add up to what is promised."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from layerfusion.layers import Layer, LayerStack
from layerfusion.relighting import Relit, composite, lay_in, linear_of_srgb, relight, srgb_of_linear

SIDE = 96


def grid(side: int = SIDE) -> tuple[Tensor, Tensor]:
    """y (side, 1) and x (1, side) in [0, 1]."""
    place = (torch.arange(side) + 0.5) / side
    return place[:, None], place[None]


def disc(side: int = SIDE, x: float = 0.5, y: float = 0.5, radius: float = 0.2) -> Tensor:
    """Coverage (side, side) of a disc with an edge one pixel soft."""
    rows, columns = grid(side)
    return ((radius - ((columns - x) ** 2 + (rows - y) ** 2).sqrt()) * side + 0.5).clamp(0, 1)


def subject(side: int = SIDE, alpha: float = 1.0) -> Tensor:
    """A striped disc (1, 4, side, side) of no grey colour."""
    rows, columns = grid(side)
    stripes = 0.5 + 0.25 * torch.sin(40 * columns + 0 * rows)
    rgb = torch.stack([stripes, 0.9 * stripes + 0.05, 0.3 + 0.4 * (1 - stripes)])
    return torch.cat([rgb, alpha * disc(side)[None]])[None]


def scene(side: int = SIDE) -> Tensor:
    """A smooth ground under a smooth sky (1, 3, side, side)."""
    rows, columns = grid(side)
    slope = 0.35 + 0.3 * rows + 0 * columns
    return torch.stack([slope, 0.8 * slope, 0.9 - 0.5 * slope])[None]


def lit(foreground: Tensor, gain: Tensor) -> Tensor:
    """The foreground under a gain (3,) in linear light."""
    rgb, alpha = foreground.split([3, 1], dim=1)
    return torch.cat([srgb_of_linear(linear_of_srgb(rgb) * gain[:, None, None]).clamp(0, 1), alpha], dim=1)


def over(background: Tensor, foreground: Tensor) -> Tensor:
    rgb, alpha = foreground.split([3, 1], dim=1)
    return rgb * alpha + background * (1 - alpha)


GAIN = torch.tensor([0.5, 0.7, 0.9])


@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_a_pasted_subject_stays_as_it_is(alpha: float) -> None:
    foreground, background = subject(alpha=alpha), scene()
    pasted = over(background, foreground)
    layers = relight(foreground, background, pasted)
    seen = foreground[:, 3:] > 0.02
    assert ((layers.relit - foreground).abs() * seen).max() < 1 / 255
    assert layers.shadow[:, 3].max() < 1 / 255 and layers.light[:, 3].max() < 1 / 255
    assert (layers.layered - pasted).abs().max() <= 1.5 / 255


@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_an_even_light_is_carried_over(alpha: float) -> None:
    foreground, background = subject(alpha=alpha), scene()
    expected = lit(foreground, GAIN)
    layers = relight(foreground, background, over(background, expected))
    seen = foreground[:, 3:] > 0.02
    assert ((layers.relit - expected).abs() * seen).max() < 4 / 255
    assert torch.equal(layers.relit[:, 3], foreground[:, 3])


def test_a_side_light_is_followed() -> None:
    foreground, background = subject(), scene()
    shade = (0.6 + 0.8 * grid()[1]).expand(SIDE, SIDE)
    rgb = (foreground[:, :3] * shade).clamp(0, 1)
    expected = torch.cat([rgb, foreground[:, 3:]], dim=1)
    layers = relight(foreground, background, over(background, expected))
    inside = foreground[:, 3:] == 1
    unlit = (foreground - expected)[:, :3].abs()[inside.expand(-1, 3, -1, -1)].mean()
    left = (layers.relit - expected)[:, :3].abs()[inside.expand(-1, 3, -1, -1)].mean()
    assert left < unlit / 5


def test_a_half_that_is_missing_is_brought_back_in_the_same_light() -> None:
    foreground, background = subject(), scene()
    expected = lit(foreground, GAIN)
    half = expected.clone()
    half[:, 3, :, : SIDE // 2] = 0
    layers = relight(foreground, background, over(background, half))
    inside = (foreground[:, 3:] == 1).expand(-1, 3, -1, -1)
    assert (layers.relit[:, :3] - expected[:, :3]).abs()[inside].mean() < 6 / 255


def shaded(background: Tensor) -> tuple[Tensor, Tensor]:
    """The background with a soft shadow at the disc's foot, and the shadow's depth (1, 1, side, side)."""
    rows, columns = grid()
    depth = 0.4 * torch.exp(-(((columns - 0.5) / 0.15) ** 2) - ((rows - 0.72) / 0.05) ** 2)[None, None]
    return background * (1 - depth), depth


def test_a_subject_that_is_lost_stays_unlit() -> None:
    """Something pale and soft in its place, as a small model draws it, says nothing of the light."""
    foreground, background = subject(), scene()
    rows, columns = grid()
    smear = torch.stack([0.7 + 0.1 * rows + 0 * columns, 0.75 + 0 * rows + 0.05 * columns, 0.8 + 0 * rows * columns])[
        None
    ]
    blended = over(background, torch.cat([0.8 * background + 0.2 * smear, foreground[:, 3:]], dim=1))
    result = relight(foreground, background, blended)
    inside = foreground[:, 3:] > 0.9
    assert ((result.relit[:, :3] - foreground[:, :3]).abs() * inside).max() < 0.02


def test_a_shadow_becomes_a_layer_that_ends_near_the_subject() -> None:
    foreground, background = subject(), scene()
    darker, depth = shaded(background)
    blended = over(darker, foreground)
    layers = relight(foreground, background, blended)
    where = ((foreground[:, 3:] == 0) & (depth > 0.05)).expand(-1, 3, -1, -1)
    assert (layers.layered - blended).abs()[where].mean() < 0.5 * (background - blended).abs()[where].mean()
    assert layers.shadow[0, 3, round(0.74 * SIDE), SIDE // 2] > 0.15
    assert layers.shadow[0, :3].max() == 0
    away = disc(radius=0.5)[None, None] == 0
    assert (layers.shadow[:, 3:] * away).max() < 0.5 / 255 and (layers.light[:, 3:] * away).max() < 0.5 / 255


def test_a_glow_becomes_light_of_its_colour() -> None:
    foreground, background = subject(), 0.3 * scene()
    rows, columns = grid()
    strength = 0.4 * torch.exp(-(((columns - 0.5) ** 2 + (rows - 0.5) ** 2) / 0.25**2))[None, None]
    glow = strength * torch.tensor([1.0, 0.6, 0.2])[None, :, None, None]
    layers = relight(foreground, background, over(1 - (1 - background) * (1 - glow), foreground))
    beside = layers.light[0, :, SIDE // 2, round(0.76 * SIDE)]
    assert 0.3 * strength[0, 0, SIDE // 2, round(0.76 * SIDE)] < beside[3]  # what is not sure is left out
    assert beside[:3] == pytest.approx([1, 0.6, 0.2], abs=0.1)
    assert layers.shadow[:, 3].max() < 0.02


def test_a_moon_that_is_gone_is_no_shadow() -> None:
    foreground, background = subject(), 0.3 * scene()
    moon = disc(x=0.78, y=0.3, radius=0.04)[None, None]
    layers = relight(foreground, background + 0.7 * moon * (1 - background), over(background, foreground))
    assert layers.shadow[:, 3].max() < 0.3


def test_a_tree_that_is_gone_is_not_dazzled() -> None:
    foreground, background = subject(), 0.9 + 0 * scene()
    tree = disc(x=0.8, y=0.4, radius=0.06)[None, None]
    layers = relight(foreground, background * (1 - 0.8 * tree), over(background, foreground))
    assert layers.light[:, 3].max() < 0.3


def test_backgrounds_that_differ_everywhere_have_no_effects() -> None:
    noise = 0.15 * torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    foreground, background = subject(), scene()
    layers = relight(foreground, background, over((background + noise).clamp(0, 1), foreground))
    assert layers.shadow[:, 3].mean() < 1 / 255 and layers.light[:, 3].mean() < 1 / 255


def test_the_result_does_not_hang_on_the_size() -> None:
    small, large = (
        relight(f, b, over(b, lit(f, GAIN))) for f, b in ((subject(side), scene(side)) for side in (128, 384))
    )
    shrunk = torch.nn.functional.interpolate(large.layered, size=(128, 128), mode="area")
    assert (shrunk - small.layered).abs().mean() < 2 / 255


def test_nothing_visible_and_everything_covered_are_no_errors() -> None:
    background = scene()
    for alpha in (0.0, 1.0):
        foreground = torch.cat([background.flip(1), torch.full_like(background[:, :1], alpha)], dim=1)
        layers = relight(foreground, background, over(background, foreground))
        for layer in (layers.relit, layers.shadow, layers.light, layers.layered):
            assert layer.isfinite().all() and layer.min() >= 0 and layer.max() <= 1


def stack_of(background: Tensor, layers: Relit) -> LayerStack:
    def picture(layer: Tensor) -> Image.Image:
        return Image.fromarray((layer[0].movedim(0, -1) * 255).round().to(torch.uint8).numpy())

    return LayerStack(
        background.shape[3],
        background.shape[2],
        [
            Layer("background", picture(background)),
            Layer("shadow", picture(layers.shadow), blend="multiply"),
            Layer("light", picture(layers.light), blend="screen"),
            Layer("relit", picture(layers.relit)),
        ],
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 40), width=st.integers(1, 40))
def test_layered_is_what_the_stack_composites_to(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def random(channels: int) -> Tensor:
        return torch.rand(1, channels, height, width, generator=generator)

    background = random(3)
    layers = Relit(random(4), random(4), random(4), random(3))
    layered = composite(background, layers.shadow, layers.light, layers.relit)
    composited = np.asarray(stack_of(background, layers).composite())[..., :3] / 255
    assert np.abs(composited - layered[0].movedim(0, -1).numpy()).max() <= 1 / 255


def test_relit_layers_composite_to_layered() -> None:
    foreground, background = subject(alpha=0.7), scene()
    layers = relight(foreground, background, over(shaded(background)[0], lit(foreground, GAIN)))
    composited = np.asarray(stack_of(background, layers).composite())[..., :3] / 255
    assert np.abs(composited - layers.layered[0].movedim(0, -1).numpy()).max() <= 1 / 255


@given(st.floats(0, 1))
def test_the_curves_are_inverse(value: float) -> None:
    assert srgb_of_linear(linear_of_srgb(torch.tensor(value, dtype=torch.float64))).item() == pytest.approx(
        value, abs=1e-6
    )


def test_a_given_subject_is_laid_in_and_its_ghost_is_not() -> None:
    """What is painted has the subject in its light, but torn, a bright ghost beside it, and a shadow below."""
    foreground, background = subject(), scene()
    rows, columns = grid()
    below = 0.5 * torch.exp(-0.5 * (((columns - 0.5) / 0.15) ** 2 + ((rows - 0.75) / 0.05) ** 2))
    truth = over(background * (1 - below), lit(foreground, GAIN))
    painted = truth.clone()
    torn = (disc(radius=0.2) - disc(radius=0.17)).clamp(min=0)
    ghost = disc(x=0.78, y=0.4, radius=0.06)
    painted = painted + torn * (background - painted) + ghost * (1 - painted)
    laid = lay_in(foreground, background, painted, relight(foreground, background, painted))
    inside = disc(radius=0.19) == 1
    assert (laid - truth)[..., inside].abs().mean() < (painted - truth)[..., inside].abs().mean() / 3
    assert (laid - truth)[..., ghost > 0.5].abs().max() < 0.1 < (painted - truth)[..., ghost > 0.5].abs().min()
    shaded = (below > 0.25) & (disc(radius=0.21) == 0)
    depth = ((background - laid) / background)[..., shaded].mean()
    assert 0.4 * below[shaded].mean() < depth < 1.1 * below[shaded].mean()


def test_shade_on_a_busy_ground_is_laid_though_no_layer_has_it() -> None:
    """Where the ground has contrast the layers take no shadow: what is painted could be another ground."""
    foreground, (rows, columns) = subject(), grid()
    ground = 0.5 + 0.3 * torch.sin(70 * columns) * torch.sin(70 * rows)
    background = ground.expand(1, 3, SIDE, SIDE)
    below = 0.5 * torch.exp(-0.5 * (((columns - 0.5) / 0.15) ** 2 + ((rows - 0.75) / 0.05) ** 2))
    painted = over(background * (1 - below), foreground)
    layers = relight(foreground, background, painted)
    laid = lay_in(foreground, background, painted, layers)
    shaded = (below > 0.25) & (disc(radius=0.21) == 0)
    depth, of_layers = ((1 - picture / background)[..., shaded].mean() for picture in (laid, layers.layered))
    assert depth > 0.4 * below[shaded].mean() > 1.5 * of_layers


def test_without_a_subject_the_background_is_laid() -> None:
    nothing, background = torch.zeros(1, 4, SIDE, SIDE), scene()
    painted = scene().flip(-1) * 0.5
    laid = lay_in(nothing, background, painted, relight(nothing, background, painted))
    assert (laid - background).abs().max() <= 1 / 255
