"""Given pictures: kinds, sizes, numbers, and what contradicts."""

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfusion import LayerFusionError
from layerfusion.given import Given, pad_to

RGB, RGBA = torch.rand(3, 8, 12), torch.rand(4, 8, 12)
MASK = torch.ones(1, 8, 12)


def of(foreground=None, background=None, blended=None, mask=None, strength=None):
    return Given.of(foreground, background, blended, mask, strength)


@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_every_kind_of_picture_is_the_same_picture(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    expected = torch.from_numpy(pixels).movedim(-1, 0) / 255
    kinds = [PIL.Image.fromarray(pixels), pixels, pixels.astype(np.float32) / 255, expected, expected.double()]
    for picture in [*kinds, pixels[None], expected[None]]:
        read = of(foreground=picture).foreground
        assert len(read) == 1 and torch.equal(read[0], expected)
    # And the bytes come back.
    assert np.array_equal((read[0].movedim(0, -1) * 255).round().to(torch.uint8).numpy(), pixels)


def test_masks_have_one_channel_or_none():
    mask = np.eye(5, dtype=np.float32)
    for kind in (mask, mask[..., None], PIL.Image.fromarray((mask * 255).astype(np.uint8))):
        assert torch.equal(of(background=torch.rand(3, 5, 5), mask=kind).mask[0], torch.eye(5)[None])


def test_one_goes_with_many_and_none_is_none():
    given = of(background=[RGB, None, RGB], mask=MASK)
    assert given.count == 3 and given.background[1] is None and all(m is not None for m in given.mask)
    repeated = of(background=[RGB, None]).repeated(pairs=2, images=2)
    assert [p is None for p in repeated.background] == [False, False, True, True]
    assert not of() and not of(background=[None]) and of().count == 0
    assert of().repeated(3, 2).count == 6


def test_padding_repeats_the_last_pixels():
    padded = pad_to(RGB[None], (16, 16))
    assert padded.shape == (1, 3, 16, 16) and torch.equal(padded[..., :8, :12], RGB[None])
    assert torch.equal(padded[0, :, 15, 15], RGB[:, 7, 11])


@pytest.mark.parametrize(
    ("pictures", "sentence"),
    [
        ({"foreground": RGBA, "background": RGB, "blended": RGB}, "all given; leave one out"),
        ({"mask": MASK}, "the mask says where the subject is"),
        ({"mask": MASK, "foreground": RGBA, "background": RGB}, "no foreground, whose alpha says it already"),
        ({"background": RGB, "strength": 0.5}, "strength acts on the blend"),
        ({"foreground": RGBA, "background": RGB, "strength": 0.0}, "strength is 0.0; give a number above 0"),
        ({"foreground": RGBA, "background": torch.rand(3, 8, 8)}, "the background is 8x8, another picture 12x8"),
    ],
)
def test_what_is_contradictory_is_a_sentence(pictures, sentence):
    with pytest.raises(LayerFusionError) as error:
        of(**pictures).check(has_encoder=True, has_decoder=True)
    assert sentence in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("pictures", "sentence"),
    [
        ({"foreground": PIL.Image.new("RGB", (8, 8))}, "has no transparency; cut its subject out first"),
        ({"foreground": RGB}, "the foreground is no picture of 4 channels"),
        ({"background": "photo.png"}, "the background is no picture of 3 channels"),
        ({"background": PIL.Image.new("RGBA", (8, 8), (9, 9, 9, 200))}, "the background is transparent in places"),
        ({"background": PIL.Image.new("F", (8, 8))}, "no agreed white"),
        ({"background": RGB + 1}, "values outside 0 to 1"),
        ({"background": RGB * float("nan")}, "values outside 0 to 1"),
        ({"background": [RGB, RGB], "foreground": [RGBA] * 3}, "there are 2 of the background for 3 pairs"),
    ],
)
def test_what_is_no_picture_is_a_sentence(pictures, sentence):
    with pytest.raises(LayerFusionError) as error:
        of(**pictures)
    assert sentence in str(error.value) and str(error.value).endswith(".")


def test_files_are_read_as_the_command_reads_them():
    """Turned as EXIF says, 16 bits scaled, a mask white where it is both white and there."""
    upright = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8))
    turned = upright.transpose(PIL.Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    assert torch.equal(of(background=turned).background[0], of(background=upright).background[0])
    deep = PIL.Image.fromarray(np.full((8, 12), 32768, np.uint16))
    assert of(background=deep).background[0].max() == pytest.approx(0.5, abs=0.01)
    mask = PIL.Image.new("RGBA", (12, 8), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (0, 0, 6, 8))
    assert of(background=RGB, mask=mask).mask[0].mean() == 0.5


def test_a_model_without_transparency_says_what_it_lacks():
    with pytest.raises(LayerFusionError, match="no transparent_encoder"):
        of(foreground=RGBA).check(has_encoder=False, has_decoder=True)
    with pytest.raises(LayerFusionError, match="no transparent_decoder"):
        of(background=RGB).check(has_encoder=True, has_decoder=False)
