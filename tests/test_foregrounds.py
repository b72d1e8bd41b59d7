"""Several foregrounds in the pipeline, on the tiny SDXL."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfusion import Foreground, LayerFusionConfig, LayerFusionError, LayerFusionPipeline
from layerfusion.placing import Places, extent_of
from tests.test_holding import picture, seeded

SCENE = "a snowy forest"
FOX = Foreground("a red fox", box=(0.0, 0.25, 0.5, 0.5))
BEAR = Foreground("a bear", box=(0.5, 0.25, 0.5, 0.5))
STREAMS = ("foreground", "background", "blended", "relit", "shadow", "light", "layered", "composite")


@pytest.fixture(scope="module")
def pipe(tiny, tiny_offsets, tiny_decoder, tiny_encoder):
    pipe = LayerFusionPipeline(
        **tiny, foreground=tiny_offsets, transparent_decoder=tiny_decoder, transparent_encoder=tiny_encoder
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe, foregrounds, **kwargs):
    arguments = {"num_inference_steps": 2, "guidance_scale": 3.0, "generator": [seeded()], "output_type": "np"}
    arguments |= {"transparency_passes": 1, "height": 64, "width": 64, "background_prompt": SCENE}
    return pipe(foregrounds=foregrounds, **arguments | kwargs)


@pytest.mark.parametrize("config", [None, LayerFusionConfig(detail=1.0, align=0.5, mask_range=(0.1, 0.9))])
@pytest.mark.parametrize("count", [1, 2])
def test_one_in_the_whole_frame_is_the_foreground_prompt_to_the_bit(pipe, config, count):
    generators = [[seeded(i) for i in range(count)] for _ in range(2)]
    plain = run(
        pipe, None, foreground_prompt="a red fox", config=config, generator=generators[0], num_images_per_prompt=count
    )
    listed = run(pipe, [Foreground("a red fox")], config=config, generator=generators[1], num_images_per_prompt=count)
    for stream in STREAMS:
        assert np.array_equal(getattr(plain, stream), getattr(listed, stream))
    assert listed.subjects is None


def test_each_has_its_own_layer_in_its_place(pipe):
    output = run(pipe, [FOX, BEAR], output_type="pil")
    triplet = output.triplet()
    assert len(triplet.subjects) == 2
    stack = triplet.to_stack()
    assert [layer.name for layer in stack] == [
        "background",
        *("shadow", "light", "foreground", "foreground (unlit)"),
        *("shadow 2", "light 2", "foreground 2", "foreground 2 (unlit)"),
        "blended",
    ]
    for name, one in (("foreground (unlit)", FOX), ("foreground 2 (unlit)", BEAR)):
        layer = stack[name]
        found = extent_of(torch.from_numpy(layer.pixels[..., 3] / 255))
        (left, top), (right, bottom) = (layer.placement(64 * x, 64 * y) for x, y in (found[:2], found[2:]))
        x, y, width, height = (64 * number for number in one.box)
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((x + width / 2, y + height / 2), abs=0.1)
        assert max((right - left) / width, (bottom - top) / height) == pytest.approx(1, abs=0.01)
    moved = stack.edited("foreground 2", lambda layer: layer.moved(5, 0))
    assert moved["shadow 2"].placement.c == 5 and moved["shadow"].placement.c == 0


@settings(max_examples=4)
@given(
    st.integers(41, 90), st.integers(41, 90), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.3, 0.5), st.booleans()
)
def test_a_box_is_a_part_of_the_scene_of_any_size(pipe, height, width, left, top, side, flip):
    """A scene of odd sides is padded while it is denoised; a box is a fraction of what was given."""
    asked = Foreground("a red fox", box=(left, top, side, side), flip=flip)
    scene = picture(2, height, width)
    output = run(pipe, [asked, BEAR], background_image=scene, height=None, width=None, output_type="pil")
    assert np.array_equal(np.asarray(output.background[0]), scene)
    stack = output.triplet().to_stack()
    assert (stack.width, stack.height) == (width, height)
    first, second, third, fourth = stack["foreground (unlit)"].bounds()
    centre = (left + side / 2) * width, (top + side / 2) * height
    assert ((first + third) / 2, (second + fourth) / 2) == pytest.approx(centre, abs=1.5)
    assert (third - first) / width <= side + 3 / width and (fourth - second) / height <= side + 3 / height


@pytest.mark.parametrize(
    ("detail_range", "encoded"), [((0.0, 0.0), 0), ((0.0, 0.6), 0), ((0.0, 0.8), 2), ((0.0, 1.0), 2)]
)
def test_how_subjects_stand_is_encoded_only_where_detail_follows(pipe, monkeypatch, detail_range, encoded):
    """Of four steps, both are looked at after one, for the extent alone, and after three, in pixels where it helps."""
    taken = []
    encode = pipe.in_scene_of
    monkeypatch.setattr(pipe, "in_scene_of", lambda *scene: taken.append(scene) or encode(*scene))
    run(pipe, [FOX, BEAR], num_inference_steps=4, config=LayerFusionConfig(detail=1.0, detail_range=detail_range))
    assert len(taken) == encoded


def test_an_extent_is_first_taken_from_the_mask(pipe, monkeypatch):
    sizes = []
    found = Places.found
    monkeypatch.setattr(Places, "found", lambda self, i, alpha: sizes.append(alpha.shape[-2:]) or found(self, i, alpha))
    run(pipe, [FOX, BEAR], num_inference_steps=4, config=LayerFusionConfig(detail=1.0, detail_range=(0.0, 1.0)))
    latent, pixels = sizes[0], sizes[-1]
    assert sizes == [latent] * 2 + [pixels] * 4 and pixels[0] == 8 * latent[0]


def test_a_batch_of_lists_equals_each_alone(pipe):
    lists = [[FOX, BEAR], [Foreground("a fox"), Foreground("a fox", box=(0.2, 0.2, 0.4, 0.4), flip=True)]]
    together = run(
        pipe, lists, background_prompt=[SCENE, "a forest"], output_type="latent", generator=[seeded(0), seeded(1)]
    )
    for index, (foregrounds, scene) in enumerate(zip(lists, (SCENE, "a forest"), strict=True)):
        alone = run(pipe, foregrounds, background_prompt=scene, output_type="latent", generator=[seeded(index)])
        for stream in ("background", "blended"):
            torch.testing.assert_close(
                getattr(together, stream)[index], getattr(alone, stream)[0], atol=2e-3, rtol=2e-3
            )
        torch.testing.assert_close(together.foreground[:, index], alone.foreground[:, 0], atol=2e-3, rtol=2e-3)


def test_two_of_one_prompt_are_two(pipe):
    output = run(
        pipe, [Foreground("a fox"), Foreground("a fox")], output_type="latent", config=LayerFusionConfig(blend=False)
    )
    assert (output.foreground[0] - output.foreground[1]).abs().mean() > 0.01


def test_a_seed_makes_a_foreground_its_own(pipe):
    independent = LayerFusionConfig(blend=False)
    one = run(pipe, [Foreground("a fox", seed=5)], output_type="latent", config=independent, generator=[seeded(1)])
    two = run(pipe, [Foreground("a fox", seed=5)], output_type="latent", config=independent, generator=[seeded(2)])
    assert torch.equal(one.foreground, two.foreground) and not torch.equal(one.background, two.background)


def test_a_nearer_one_hides_a_farther_one(pipe):
    """The nearest lies over the others, whatever its place in the list."""
    front = Foreground("a bear", z=1.0)
    there, back = (
        run(pipe, each, output_type="pil").triplet()
        for each in ([front, Foreground("a fox", z=0.0)], [Foreground("a fox"), Foreground("a bear")])
    )
    for triplet in (there, back):
        alpha = np.asarray(triplet.subjects[1].foreground)[..., 3]
        seen = np.asarray(triplet.foreground)[alpha == 255]
        assert np.array_equal(seen, np.asarray(triplet.subjects[1].foreground)[alpha == 255])


def test_given_cutouts_stay_as_they_are(pipe):
    cutout, photo = picture(1, alpha=True), picture(2)
    output = run(
        pipe,
        [Foreground("a fox", cutout, box=(0.1, 0.1, 0.4, 0.4)), BEAR],
        background_image=photo,
        output_type="pil",
        height=None,
        width=None,
    )
    assert np.array_equal(np.asarray(output.subjects[0].foreground[0]), cutout)
    assert np.array_equal(np.asarray(output.background[0]), photo)
    left, top, right, bottom = output.triplet().to_stack()["foreground (unlit)"].bounds()
    assert (left, top, right, bottom) == pytest.approx((6.4, 6.4, 32, 32), abs=1.5)


def test_layers_of_placed_subjects_add_up(pipe):
    boxed = [Foreground("a fox", picture(1, 33, 21, alpha=True), box=(0.1, 0.3, 0.5, 0.6), flip=True), BEAR]
    triplet = run(pipe, boxed, output_type="pil").triplet()
    assert triplet.layered.tobytes() == triplet.to_stack().composite().convert("RGB").tobytes()


def test_a_cutout_of_any_size_is_put_in_its_box(pipe):
    output = run(
        pipe, [Foreground("a fox", picture(1, 33, 21, alpha=True), box=(0.5, 0.5, 0.5, 0.5))], output_type="pil"
    )
    left, top, right, bottom = output.triplet().to_stack()["foreground (unlit)"].bounds()
    assert (left + right) / 2 == pytest.approx(48, abs=1.5) and (top + bottom) / 2 == pytest.approx(48, abs=1.5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"foregrounds": [FOX], "foreground_prompt": "a fox"}, "beside foreground_prompt"),
        ({"foregrounds": []}, "give 1 to 16"),
        ({"foregrounds": [FOX] * 17}, "give 1 to 16"),
        ({"foregrounds": [[FOX], [FOX, BEAR]]}, "as many for each pair"),
        ({"foregrounds": ["a fox"]}, "give a list of Foreground"),
        ({"foregrounds": FOX}, "give a list of Foreground"),
        ({"foregrounds": [FOX, [BEAR]]}, "give a list of Foreground"),
        ({"foregrounds": [FOX], "negative_foreground_prompt": ["x", "y"]}, "2 negative foreground prompts for 1 pairs"),
        ({"foregrounds": [FOX], "mask": picture(2)[..., 0]}, "beside mask"),
    ],
)
def test_contradictions_get_a_sentence(pipe, arguments, sentence):
    with pytest.raises(LayerFusionError, match=sentence):
        run(pipe, **arguments)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"z": "front"}, "the z of 'a fox' is 'front'; give a number"),
        ({"z": float("nan")}, "the z of 'a fox' is nan"),
        ({"seed": 2**65}, "the seed of 'a fox' is"),
        ({"box": 0.5}, "the box 0.5 has not four numbers"),
        ({"box": "abcd"}, "the box 'abcd' has not four numbers"),
    ],
)
def test_a_foreground_that_is_none_gets_a_sentence(values, sentence):
    with pytest.raises(LayerFusionError, match=sentence):
        Foreground("a fox", **values)


def test_a_cutout_that_fills_the_frame_decides_the_size(pipe):
    cutout = picture(1, 48, 40, alpha=True)
    own = {"height": None, "width": None, "output_type": "pil"}
    listed = run(pipe, [Foreground("a fox", cutout)], **own)
    single = run(pipe, None, foreground_prompt="a fox", foreground_image=cutout, **own)
    assert listed.blended[0].size == single.blended[0].size == (40, 48)
    assert listed.blended[0].tobytes() == single.blended[0].tobytes()


def test_negative_prompts_of_foregrounds_go_with_every_pair(pipe):
    def latents(negative, foreground, scenes):
        generator = [seeded(i) for i in range(len(scenes))]
        output = run(
            pipe,
            [foreground],
            background_prompt=scenes,
            negative_foreground_prompt=negative,
            generator=generator,
            output_type="latent",
        )
        return output.foreground

    scenes = ["a beach", "a pond"]
    plain, told = latents(None, FOX, scenes), latents("orange", FOX, scenes)
    assert (plain - told).abs().amax(dim=(1, 2, 3)).min() > 1e-3
    assert torch.equal(told, latents(["orange", "orange"], FOX, scenes))
    assert torch.equal(told, latents(None, replace(FOX, negative_prompt="orange"), scenes))
    mixed = latents(["orange", ""], FOX, scenes)
    assert torch.equal(mixed[0], told[0]) and not torch.equal(mixed[1], told[1])


def test_a_placed_subject_shows_its_own_pixels_in_the_blended_picture(pipe):
    """As it is relit, and nothing of the painting where it is opaque."""
    cutout = picture(1, alpha=True)
    cutout[8:56, 8:56, 3] = 255
    output = run(pipe, [Foreground("a fox", cutout, box=(0.1, 0.1, 0.4, 0.4)), BEAR])
    inside = output.foreground[0, ..., 3] > 0.9999
    assert inside.sum() > 100
    np.testing.assert_allclose(output.blended[0][inside], output.relit[0][inside][:, :3], atol=0.51 / 255)
