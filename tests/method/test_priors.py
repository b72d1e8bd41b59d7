"""Algorithms 1 and 2 against a direct transcription that holds every probability."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from layerfusion.method import priors
from layerfusion.method.priors import (
    content_confidence,
    minmax,
    quantile_range,
    resize_to_tokens,
    sparsity,
    structure_prior,
    token_grid,
)


def naive_probabilities(query: Tensor, key: Tensor) -> Tensor:
    """softmax(QKᵀ/√d), (heads, M, T), of one picture."""
    return torch.softmax(query.double() @ key.double().transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1)


def naive_structure_prior(query: Tensor, key: Tensor) -> Tensor:
    m = naive_probabilities(query, key).mean(dim=0)
    s = torch.tensor([1 / sum(float(p) ** 2 for p in row) for row in m])
    return 1 - (s - s.min()) / (s.max() - s.min())


def naive_content_confidence(query: Tensor, key: Tensor, eos: int) -> Tensor:
    return naive_probabilities(query, key).mean(dim=0)[:, eos]


shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 40), st.integers(1, 8))


@given(shapes, st.integers(0, 2**31), st.sampled_from([64, 1000, priors.BLOCK_VALUES]))
def test_structure_prior_equals_the_naive_one(shape, seed, block_values):
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, *shape, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(priors, "BLOCK_VALUES", block_values)  # odd blocks must not show
        result = structure_prior(query, key)
    for image in range(shape[0]):
        expected = naive_structure_prior(query[image], key[image])
        torch.testing.assert_close(result[image], expected.float(), atol=2e-4, rtol=0)


@given(shapes, st.integers(1, 12), st.integers(0, 2**31))
def test_content_confidence_equals_the_naive_one(shape, text_tokens, seed):
    batch, heads, _, dim = shape
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(shape, generator=generator)
    key = torch.randn(batch, heads, text_tokens, dim, generator=generator)
    eos = torch.randint(text_tokens, (batch,), generator=generator)
    result = content_confidence(query, key, eos)
    for image in range(batch):
        expected = naive_content_confidence(query[image], key[image], int(eos[image]))
        torch.testing.assert_close(result[image], expected.float(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs_are_worked_on_in_float32(dtype):
    query, key = (5 * torch.randn(2, 1, 2, 64, 8, generator=torch.Generator().manual_seed(0))).to(dtype)
    for result, expected in (
        (structure_prior(query, key), structure_prior(query.float(), key.float())),
        (
            content_confidence(query, key, torch.tensor([3])),
            content_confidence(query.float(), key.float(), torch.tensor([3])),
        ),
    ):
        assert result.dtype == torch.float32
        assert torch.equal(result, expected)


def test_the_sign_turns_the_prior_round():
    query, key = torch.randn(2, 2, 2, 16, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(structure_prior(query, key, sign=-1), 1 - structure_prior(query, key))


def test_flat_maps_give_zeros():
    query, key = torch.zeros(1, 2, 16, 4), torch.randn(1, 2, 16, 4)
    assert torch.equal(structure_prior(query, key), torch.zeros(1, 16))
    assert torch.equal(minmax(torch.full((2, 5), 3.0)), torch.zeros(2, 5))


def test_sparsity_counts_the_tokens_attended_to():
    # Orthogonal keys, one hot query: all the weight on one token; zero query: on all sixteen.
    key = torch.eye(16)[None, None]
    assert torch.allclose(sparsity(1000 * key, key), torch.ones(1, 16))
    assert torch.allclose(sparsity(0 * key, key), torch.full((1, 16), 16.0))


@given(st.integers(1, 3), st.integers(2, 30), st.integers(0, 2**31))
def test_minmax_reaches_both_ends(batch, tokens, seed):
    values = torch.randn(batch, tokens, generator=torch.Generator().manual_seed(seed))
    result = minmax(values)
    assert result.min(dim=1).values.eq(0).all() and result.max(dim=1).values.eq(1).all()
    assert torch.equal(result.argsort(dim=1), values.argsort(dim=1))


def peak_bytes(run):
    """What a call returns, and the most bytes it held at once."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = run()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return result, peak


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_priors_of_a_large_picture_stay_within_20_mb_and_equal_the_full_ones(dtype):
    """4,096 tokens and 10 heads: the full self-attention probabilities would be 671 MB."""
    generator = torch.Generator().manual_seed(0)
    query, key = (2 * torch.randn(2, 1, 10, 4096, 64, generator=generator)).to(dtype)
    structure, peak = peak_bytes(lambda: structure_prior(query, key))
    assert 4e6 < peak < 20e6
    prompt, eos = torch.randn(1, 10, 77, 64, generator=generator).to(dtype), torch.tensor([9])
    content, peak = peak_bytes(lambda: content_confidence(query, prompt, eos))
    assert 4e6 < peak < 20e6
    # The same formulas in one piece, head by head to spare the test machine.
    query, key, prompt = query.float(), key.float(), prompt.float()
    mean = sum(torch.softmax(query[0, h] @ key[0, h].T / 8, dim=-1) for h in range(10)) / 10
    torch.testing.assert_close(structure[0], 1 - minmax(1 / mean.square().sum(dim=-1)), atol=1e-5, rtol=0)
    expected = torch.softmax(query[0] @ prompt[0].mT / 8, dim=-1)[..., 9].mean(0)
    torch.testing.assert_close(content[0], expected)


def test_content_of_a_token_that_nothing_attends_to_is_zero():
    query, key = torch.ones(1, 1, 4, 2), torch.tensor([[[[0.0, 0.0], [1e3, 1e3]]]])
    assert torch.equal(content_confidence(query, key, torch.tensor([0])), torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("size", "tokens", "grid"),
    [
        ((128, 128), 4096, (64, 64)),
        ((112, 144), 56 * 72, (56, 72)),
        ((144, 112), 36 * 28, (36, 28)),
        ((16, 16), 256, (16, 16)),
        ((8, 24), 2 * 6, (2, 6)),
    ],
)
def test_token_grids_come_from_the_latent(size, tokens, grid):
    assert token_grid(size, tokens) == grid


def test_resizing_keeps_rows_and_columns_apart():
    columns = torch.linspace(0, 1, 24).expand(1, 8, 24)
    resized = resize_to_tokens(columns, (8, 24), 4 * 12).unflatten(1, (4, 12))
    assert torch.allclose(resized[0, 0], resized[0, 3])
    assert (resized[0, 0].diff() > 0).all()
    assert torch.equal(resize_to_tokens(columns, (8, 24), 8 * 24), columns.flatten(1))


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40))
def test_the_whole_quantile_range_is_minmax_to_the_bit(values):
    rows = torch.tensor([values, values[::-1]])
    assert torch.equal(quantile_range(rows, 0.0, 1.0), minmax(rows))


def test_a_quantile_range_is_cut_at_its_quantiles():
    ramp = torch.arange(101.0)[None]
    result = quantile_range(ramp, 0.1, 0.8)[0]
    assert (result[:11] == 0).all() and (result[80:] == 1).all()
    torch.testing.assert_close(result[10:81], torch.linspace(0, 1, 71))
    assert torch.equal(quantile_range(torch.full((1, 5), 0.3), 0.1, 0.8), torch.zeros(1, 5))
