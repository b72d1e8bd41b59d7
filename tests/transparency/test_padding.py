"""RGB padding: exact where opaque, smooth and within the visible colours elsewhere."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfusion.transparency import alpha_and_padded_rgb, pad_rgb, pad_rgb_batch


def random_rgba(seed: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rgba = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    rgba[..., 3] = rng.choice(np.array([0, 0, 128, 255], np.uint8), (height, width))
    return rgba


shapes = {"seed": st.integers(0, 10_000), "height": st.integers(1, 33), "width": st.integers(1, 33)}


@settings(max_examples=40, deadline=None)
@given(**shapes)
def test_opaque_pixels_keep_their_colour(seed: int, height: int, width: int) -> None:
    rgba = random_rgba(seed, height, width)
    opaque = rgba[..., 3] == 255
    padded = pad_rgb(rgba)
    assert padded.shape == (height, width, 3) and padded.dtype == np.uint8
    np.testing.assert_array_equal(padded[opaque], rgba[opaque][:, :3])


@settings(max_examples=40, deadline=None)
@given(**shapes)
def test_colours_stay_within_the_visible_ones(seed: int, height: int, width: int) -> None:
    rgba = random_rgba(seed, height, width)
    visible = rgba[rgba[..., 3] > 0][:, :3]
    if len(visible):
        padded = pad_rgb(rgba).reshape(-1, 3)
        assert (padded.min(0) >= visible.min(0).astype(int) - 1).all()
        assert (padded.max(0) <= visible.max(0).astype(int) + 1).all()


@settings(max_examples=20, deadline=None)
@given(colour=st.tuples(*[st.integers(0, 255)] * 3), **shapes)
def test_one_colour_fills_everything(colour: tuple[int, int, int], seed: int, height: int, width: int) -> None:
    rgba = random_rgba(seed, height, width)
    rgba[..., :3] = colour
    rgba[0, 0, 3] = 255
    assert np.abs(pad_rgb(rgba).astype(int) - np.array(colour)).max() <= 1


def test_invisible_colour_does_not_leak() -> None:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[..., :3] = (0, 255, 0)
    rgba[4:8, 4:8] = (200, 30, 10, 255)
    padded = pad_rgb(rgba)
    assert (padded == (200, 30, 10)).all()


def test_near_colour_wins_over_far_colour() -> None:
    rgba = np.zeros((16, 64, 4), np.uint8)
    rgba[:, :4] = (255, 0, 0, 255)
    rgba[:, -4:] = (0, 0, 255, 255)
    padded = pad_rgb(rgba)[8].astype(int)
    assert (padded[6] - padded[57])[0] > 100 and (padded[57] - padded[6])[2] > 100


def test_nothing_visible_is_black() -> None:
    assert not pad_rgb(np.zeros((8, 8, 4), np.uint8)).any()


def test_batch_equals_one_by_one() -> None:
    rgba = torch.from_numpy(np.stack([random_rgba(seed, 24, 40) for seed in range(3)])).movedim(-1, 1).float() / 255
    torch.testing.assert_close(pad_rgb_batch(rgba), torch.cat([pad_rgb_batch(one) for one in rgba.split(1)]))


def published_padding(rgba: np.ndarray) -> np.ndarray:
    """What LayerDiffuse's encoder was trained with, from its description, on OpenCV as there: (H, W, 3) in [0, 1]."""
    levels = [np.dstack([rgba[..., :3] * rgba[..., 3:], rgba[..., 3]])]
    while min(levels[-1].shape[:2]) > 1:
        height, width = levels[-1].shape[:2]
        smaller = cv2.resize(levels[-1], (int(width / 1.2), int(height / 1.2)), interpolation=cv2.INTER_AREA)
        levels.append(smaller)
    colour = (levels[-1][..., :3].sum((0, 1)) / max(levels[-1][..., 3].sum(), 1e-8))[None, None]
    for level in reversed(levels):
        upsampled = cv2.resize(colour, level.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        colour = level[..., :3] + upsampled * (1 - level[..., 3:])
    return colour


@pytest.mark.parametrize("size", [(64, 64), (128, 96), (37, 101)])
def test_padding_is_that_of_the_published_encoder(size: tuple[int, int]) -> None:
    rgba = np.zeros((*size, 4), np.float32)
    rgba[...] = cv2.GaussianBlur(np.random.default_rng(0).random((*size, 4), np.float32), (0, 0), 3)
    rgba[..., 3] = np.clip(60 * (rgba[..., 3] - 0.5), 0, 1)
    assert (rgba[..., 3] == 0).mean() > 0.2 and (rgba[..., 3] == 1).mean() > 0.1
    ours = pad_rgb_batch(torch.from_numpy(rgba).movedim(-1, 0)[None])[0].movedim(0, -1).numpy()
    np.testing.assert_allclose(ours, published_padding(rgba), atol=1e-5)


def test_padding_is_as_exact_where_a_training_loop_rounds() -> None:
    rgba = torch.rand(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = pad_rgb_batch(rgba)
    assert torch.equal(rounded, pad_rgb_batch(rgba))


def test_the_encoder_sees_alpha_first() -> None:
    rgba = torch.rand(2, 4, 16, 16)
    pixels = alpha_and_padded_rgb(rgba)
    assert torch.equal(pixels[:, 0], rgba[:, 3]) and torch.equal(pixels[:, 1:], pad_rgb_batch(rgba))
