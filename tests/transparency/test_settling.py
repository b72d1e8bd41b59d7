"""Clean alpha: a veil goes, glass stays, and so does colour."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from layerfusion.transparency import settle_alpha
from layerfusion.transparency.settling import CEILING, FLOOR, RAMP


def picture(alpha: torch.Tensor) -> torch.Tensor:
    """(1, 4, H, W) of that alpha (H, W), with some colour."""
    rgb = torch.rand(3, *alpha.shape, generator=torch.Generator().manual_seed(0))
    return torch.cat([rgb, alpha[None]])[None]


def test_the_veil_goes_and_the_solid_is_solid() -> None:
    alpha = torch.full((64, 64), 9 / 255)
    alpha[:, 0] = 12 / 255
    alpha[20:40, 20:40] = 249 / 255
    settled = settle_alpha(picture(alpha))
    assert torch.equal(settled[0, 3], (alpha > 0.5).float())
    assert torch.equal(settled[:, :3], picture(alpha)[:, :3])


@given(st.floats(RAMP * FLOOR, 1 - RAMP * (1 - CEILING)))
def test_see_through_things_keep_their_alpha(value: float) -> None:
    alpha = torch.full((8, 8), value)
    assert torch.allclose(settle_alpha(picture(alpha))[0, 3], alpha, atol=1e-6)


def test_the_curve_is_continuous_and_rises() -> None:
    alpha = torch.linspace(0, 1, 1024).repeat(256, 1)
    alpha[::8] = 1  # so that nothing is a speck that is alone
    settled = settle_alpha(picture(alpha))[0, 3, 1]
    steps = settled.diff()
    assert settled[0] == 0 and settled[-1] == 1
    assert steps.min() >= 0 and steps.max() < 2 / 1023


def test_a_faint_speck_goes_only_where_it_is_alone() -> None:
    alpha = torch.zeros(64, 64)
    alpha[4:8, 4:8] = 0.15
    alpha[30:50, 30:50] = 1
    alpha[24:30, 30:50] = 0.15
    settled = settle_alpha(picture(alpha))[0, 3]
    assert settled[:16, :16].max() == 0
    assert torch.allclose(settled[24:30, 30:50], alpha[24:30, 30:50])


def test_a_lone_faint_pixel_goes_and_a_soft_edge_stays() -> None:
    alpha = torch.zeros(64, 64)
    alpha[30:50, 30:50] = 1
    alpha[30:50, 26:30] = torch.tensor([14, 16, 18, 20]) / 255
    settled = settle_alpha(picture(alpha))[0, 3]
    assert (settled[30:50, 26:30] > 0).all()
    alpha[20, 40] = alpha[19, 41] = 15 / 255
    assert torch.equal(settle_alpha(picture(alpha))[0, 3], settled)


def test_a_picture_that_is_faint_all_over_is_no_speck() -> None:
    smoke = torch.full((32, 32), 0.16)
    assert torch.allclose(settle_alpha(picture(smoke))[0, 3], smoke)


def test_it_can_be_turned_off() -> None:
    alpha = torch.rand(16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(settle_alpha(picture(alpha), floor=0, ceiling=1), picture(alpha))
