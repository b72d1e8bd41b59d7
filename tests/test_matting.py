"""The alpha of a subject from its picture and its background."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from layerfusion.matting import guided, matte
from layerfusion.regions import dilate, erode


def disc(side: int, radius: float) -> torch.Tensor:
    """(1, 1, side, side), a disc with a soft edge of one pixel."""
    y, x = torch.meshgrid(*[torch.arange(side) - side / 2 + 0.5] * 2, indexing="ij")
    return (radius + 0.5 - (x.square() + y.square()).sqrt()).clamp(0, 1)[None, None]


def scene(side: int) -> torch.Tensor:
    """A bluish background with waves."""
    y, x = torch.meshgrid(*[torch.arange(side) / side] * 2, indexing="ij")
    return torch.stack([0.2 + 0.1 * torch.sin(9 * x), 0.3 + 0.1 * torch.cos(7 * y), 0.7 + 0 * x])[None]


def test_a_rough_alpha_becomes_that_of_the_picture() -> None:
    side = 128
    true, background = disc(side, 30), scene(side)
    colour = torch.tensor([0.9, 0.5, 0.1]).view(1, 3, 1, 1).expand(1, 3, side, side)
    picture = true * colour + (1 - true) * background
    decoded = disc(side, 34)
    decoded[..., 55:70, 50:80] = 0  # a hole
    mask = dilate(true, 5 / side) > 0.5
    found = matte(decoded, erode(mask, 8 / side), mask, picture, background)
    assert (found - true).abs().mean() < 0.2 * (decoded - true).abs().mean()
    assert found[..., 55:70, 50:80].min() > 0.95
    assert (found[~mask] == 0).all()


def test_well_within_the_mask_what_is_of_the_backgrounds_colour_is_believed() -> None:
    side = 64
    background, mask, decoded = scene(side), disc(side, 20) > 0.5, disc(side, 17)
    inner = erode(mask, 6 / side)
    found = matte(decoded, inner, mask, background, background)
    assert (found[inner] > 0.3).all() and found[dilate(inner.float(), 4 / side) == 0].max() < 0.05


@given(st.floats(0, 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 6))
def test_what_is_even_stays_even(value: float, height: int, width: int, radius: int) -> None:
    picture = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(height * 41 + width))
    values = torch.full((2, 1, height, width), value)
    assert torch.allclose(guided(values, picture, radius, 1e-4), values, atol=1e-4)


@given(st.integers(0, 1000))
def test_what_follows_the_colour_goes_on_doing_so(seed: int) -> None:
    picture = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(seed))
    values = (picture * torch.tensor([0.5, 0.3, 0.2]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert torch.allclose(guided(values, picture, 4, 1e-6), values, atol=1e-2)
