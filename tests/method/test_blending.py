"""The masks and Eq. 1 and 2 against the paper's formulas, value by value."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from layerfusion.method.blending import align_mean, blend_into_blended, blend_into_foreground, hard_mask, soft_mask

unit = st.floats(0, 1, width=32)
numbers = st.floats(-100, 100, width=32)


@given(st.lists(st.tuples(unit, unit), min_size=2, max_size=30))
def test_soft_mask_is_the_normalised_product(pairs):
    s, c = torch.tensor(pairs).T
    products = [float(a) * float(b) for a, b in zip(s, c, strict=True)]
    result = soft_mask(s[None], c[None])[0]
    if float((s * c).min()) == float((s * c).max()):
        assert torch.equal(result, torch.zeros(len(pairs)))
    elif max(products) - min(products) > 1e-30:  # below, float32 has no digits left to compare
        expected = [(p - min(products)) / (max(products) - min(products)) for p in products]
        torch.testing.assert_close(result, torch.tensor(expected), atol=1e-5, rtol=1e-3)


@given(unit, st.floats(0.1, 50))
def test_hard_mask_is_the_sigmoid(value, boundary):
    result = float(hard_mask(torch.tensor(value), boundary))
    assert math.isclose(result, 1 / (1 + math.exp(-boundary * (value - 0.5))), rel_tol=1e-4, abs_tol=1e-6)


def test_hard_mask_hardens_with_the_boundary():
    soft = torch.tensor([0.3, 0.5, 0.7])
    low, high = hard_mask(soft, 1), hard_mask(soft, 20)
    assert high[0] < low[0] and high[2] > low[2] and low[1] == high[1] == 0.5


@given(st.lists(st.tuples(unit, unit), min_size=2, max_size=30), st.floats(0, 0.5), st.floats(0.6, 1))
def test_a_quantile_range_fills_more_of_the_mask(pairs, low, high):
    s, c = torch.tensor(pairs).T[:, None]
    papers, ours = soft_mask(s, c), soft_mask(s, c, (low, high))
    assert ours.min() >= 0 and ours.max() <= 1
    order = (s * c)[0].argsort()
    assert (ours[0, order].diff() >= 0).all()
    if low == 0:
        assert (ours >= papers - 1e-6).all() or ours.max() == 0


def test_one_outlier_does_not_thin_a_quantile_mask():
    s = torch.tensor([[0.0] * 40 + [1.0] * 59 + [10.0]])
    assert soft_mask(s, torch.ones_like(s))[0, 50] == pytest.approx(0.1)
    assert soft_mask(s, torch.ones_like(s), (0.1, 0.9))[0, 50] == 1


@given(st.integers(0, 2**31), st.floats(0, 1))
def test_alignment_moves_the_masked_mean_and_nothing_else(seed, strength):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 3, 12, 5, generator=generator)
    soft = torch.rand(3, 12, 1, generator=generator)
    moved = align_mean(a, b, soft, strength)

    def mean(x):
        return (soft * x).sum(-2) / soft.sum(-2)

    torch.testing.assert_close(mean(moved), (1 - strength) * mean(a) + strength * mean(b), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(moved - moved.mean(-2, keepdim=True), a - a.mean(-2, keepdim=True), atol=1e-5, rtol=0)
    assert torch.equal(align_mean(a, b, torch.zeros_like(soft), strength), a)


@given(numbers, numbers, unit, unit)
def test_equations(a_foreground, a_blended, soft, hard):
    tensors = [torch.tensor([[x]], dtype=torch.float64) for x in (a_foreground, a_blended, soft, hard)]
    blended = blend_into_blended(tensors[0], tensors[1], tensors[2])
    assert float(blended) == pytest.approx(a_foreground * soft + a_blended * (1 - soft), abs=1e-9)
    foreground = blend_into_foreground(blended, tensors[0], tensors[3])
    assert float(foreground) == pytest.approx(float(blended) * hard + a_foreground * (1 - hard), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_ends_of_the_masks_are_exact(dtype):
    a, b = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    ones, zeros = torch.ones(3, 1, dtype=dtype), torch.zeros(3, 1, dtype=dtype)
    assert torch.equal(blend_into_blended(a, b, ones), a) and torch.equal(blend_into_blended(a, b, zeros), b)
    assert torch.equal(blend_into_foreground(b, a, ones), b) and torch.equal(blend_into_foreground(b, a, zeros), a)
