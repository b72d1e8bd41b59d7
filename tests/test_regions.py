"""Regions round a subject: they cover it, and end."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfusion.regions import dilate, erode, reach


@settings(max_examples=20)
@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 1000))
def test_the_reach_covers_the_subject_and_ends(height, width, seed):
    alpha = (torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed)) > 0.97).float()
    near = reach(alpha)
    assert near.min() >= 0 and near.max() <= 1 + 1e-6
    assert (near[alpha > 0] > 0.99).all()
    assert (near[dilate(alpha, 0.125 + 1.5 / height) == 0] == 0).all()


def test_eroding_undoes_dilating_of_a_rectangle():
    region = torch.zeros(1, 1, 40, 40)
    region[..., 12:28, 10:30] = 1
    assert torch.equal(erode(dilate(region, 0.1) > 0.5, 0.1), region > 0.5)
