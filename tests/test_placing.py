"""Where foregrounds stand: boxes, and the small matrices that carry a frame into the scene and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from layerfusion import Foreground, LayerFusionConfig, LayerFusionError
from layerfusion.foregrounds import box_of, farthest_first
from layerfusion.placing import Place, Places, carrying, extent_of, looks

extents = st.builds(
    lambda x, y, w, h: (x * (1 - w), y * (1 - h), x * (1 - w) + w, y * (1 - h) + h),
    *[st.floats(0, 1)] * 2,
    *[st.floats(0.1, 1)] * 2,
)
boxes = st.builds(
    lambda x, y, w, h: (x * (1 - w), y * (1 - h), w, h), *[st.floats(0, 1)] * 2, *[st.floats(0.05, 1)] * 2
)


@given(boxes, extents, st.booleans())
def test_the_subject_fits_its_box_and_lies_in_the_middle(box, extent, flip):
    (sx, tx), (sy, ty) = Place(box, flip, extent).axes()
    left, right = sorted((sx * extent[0] + tx, sx * extent[2] + tx))
    top, bottom = sy * extent[1] + ty, sy * extent[3] + ty
    assert (left + right) / 2 == pytest.approx(box[0] + box[2] / 2, abs=1e-6)
    assert (top + bottom) / 2 == pytest.approx(box[1] + box[3] / 2, abs=1e-6)
    fills = ((right - left) / box[2], (bottom - top) / box[3])
    assert max(fills) == pytest.approx(1, abs=1e-6) and abs(sx) == sy and (sx < 0) == flip


@given(st.integers(1, 40))
def test_the_whole_frame_is_carried_as_it_is(n):
    axes = Place().axes()
    assert torch.allclose(carrying([axes[0]], n, n), torch.eye(n)[None], atol=1e-5)
    picture = torch.rand(2, 1, 3, n, n)
    mirrored = Places([[Place(flip=True)]]).to_scene(0, picture)
    assert torch.allclose(mirrored, picture.flip(-1), atol=1e-4)


@given(st.floats(0.05, 3), st.floats(-1, 1), st.integers(1, 40), st.integers(1, 40))
def test_what_is_even_stays_even_and_outside_is_nothing(scale, shift, out, n):
    rows = carrying([(scale, shift)], out, n)[0]
    centres = (torch.arange(out) + 0.5) / out
    inside = (centres > shift + 1e-6) & (centres < scale + shift - 1e-6)
    assert torch.allclose(rows.sum(-1)[inside], torch.ones(int(inside.sum())), atol=1e-5)
    outside = (centres < shift - 1e-6) | (centres > scale + shift + 1e-6)
    assert (rows[outside] == 0).all() and (rows >= 0).all()


def test_carried_there_and_back_a_smooth_picture_is_the_same():
    y, x = torch.meshgrid(*[(torch.arange(32) + 0.5) / 32] * 2, indexing="ij")
    picture = (torch.sin(3 * x) + torch.cos(2 * y))[None, None]
    places = Places([[Place((0.1, 0.2, 0.6, 0.6), True, (0.1, 0.1, 0.9, 0.9))]])
    back = places.to_frame(0, places.to_scene(0, picture))
    assert (back - picture)[..., 4:28, 4:28].abs().max() < 0.05


@given(st.integers(1, 100), st.floats(0, 1))
def test_every_run_is_looked_at_within_itself_and_after_it_was_blended(steps, start):
    after = looks(steps, start)
    assert 1 <= len(after) <= 2 and after == sorted(after)
    assert after[0] >= 1 and after[-1] <= steps
    config = LayerFusionConfig(blend_range=(start, 1.0))
    blended = [i for i in range(steps) if config.blends_at(i, steps)]
    assert not blended or after[0] > blended[0]
    assert looks(20) == [4, 13] and looks(20, 0.2) == [5, 13]


def test_an_extent_is_found_until_it_is_known():
    alpha = torch.zeros(1, 1, 20, 40)
    alpha[..., 5:15, 10:30] = 1
    assert extent_of(alpha[0, 0]) == (0.25, 0.25, 0.75, 0.75) and extent_of(torch.zeros(4, 4)) is None
    places = Places([[Place((0, 0, 0.5, 0.5))]])
    places.found(0, alpha)
    assert places.each[0][0].extent == (0.25, 0.25, 0.75, 0.75) and places.to_look(13, 20) == [0]
    places.fixed(0, 0, torch.ones(4, 4))
    places.found(0, alpha)
    assert places.each[0][0].extent == (0, 0, 1, 1) and places.to_look(13, 20) == []


@pytest.mark.parametrize(
    ("box", "sentence"),
    [
        ((0, 0, 1), "has not four numbers"),
        ((0.5, 0.5, 0.6, 0.2), "reaches out of the scene"),
        ((-0.1, 0, 0.5, 0.5), "reaches out of the scene"),
        ((0.1, 0.1, 0.5, 0), "has no room"),
        ((0.1, 0.1, float("nan"), 0.5), "has no room"),
    ],
)
def test_boxes_that_are_none_get_a_sentence(box, sentence):
    with pytest.raises(LayerFusionError, match=sentence):
        box_of(box)
    with pytest.raises(LayerFusionError, match="is empty"):
        Foreground(" ")


def test_the_order_is_by_z_and_else_as_given():
    a, b, c = Foreground("a"), Foreground("b", z=-1), Foreground("c")
    assert [one.prompt for _, one in farthest_first([a, b, c])] == ["b", "a", "c"]
    assert [number for number, _ in farthest_first([a, b, c])] == [1, 0, 2]
