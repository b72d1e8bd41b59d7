"""The pipeline with given pictures, on the tiny SDXL: any of them, any scheduler, odd sizes, batches that differ."""

import diffusers
import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfusion import LayerFusionConfig, LayerFusionError, LayerFusionPipeline
from layerfusion.method import StreamLayout

PROMPTS = ("a red fox", "a snowy forest")
STREAMS = ("foreground", "background", "blended")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def pipe(tiny, tiny_offsets, tiny_decoder, tiny_encoder):
    pipe = LayerFusionPipeline(
        **tiny, foreground=tiny_offsets, transparent_decoder=tiny_decoder, transparent_encoder=tiny_encoder
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(seed, height=64, width=64, alpha=False):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4 if alpha else 3), np.uint8)
    if alpha:
        pixels[..., 3] = 0
        pixels[height // 4 : height // 2, width // 4 : width // 2, 3] = 200
    return pixels


def pictures_of(height=64, width=64):
    mask = picture(0, height, width, alpha=True)[..., 3]
    return {
        "foreground_image": picture(1, height, width, alpha=True),
        "background_image": picture(2, height, width),
        "blended_image": picture(3, height, width),
        "mask": (mask > 0).astype(np.uint8) * 255,
    }


def given_of(names, height=64, width=64):
    return {name: value for name, value in pictures_of(height, width).items() if name in names}


COMBINATIONS = [
    ("background_image",),
    ("background_image", "mask"),
    ("foreground_image",),
    ("foreground_image", "background_image"),
    ("blended_image", "mask"),
    ("blended_image",),
    ("foreground_image", "blended_image"),
    ("background_image", "blended_image", "mask"),
]


INDEPENDENT = LayerFusionConfig(blend=False, share_attention=False)


def run(pipe, names=(), size=(64, 64), **kwargs):
    arguments = {"num_inference_steps": 2, "guidance_scale": 3.0, "generator": [seeded()], "output_type": "np"}
    arguments |= {"transparency_passes": 1} | given_of(names, *size)
    return pipe(*PROMPTS, **(arguments | kwargs))


@settings(max_examples=14)
@given(st.sampled_from(COMBINATIONS), st.integers(41, 90), st.integers(41, 90))
def test_given_pictures_come_back_bit_for_bit_at_any_size(pipe, names, height, width):
    output = run(pipe, names, (height, width), num_inference_steps=1, output_type="pil", return_premultiplied=True)
    for stream in STREAMS:
        found = np.asarray(getattr(output, stream)[0])
        assert found.shape[:2] == (height, width)
        if f"{stream}_image" in names:
            assert np.array_equal(found, pictures_of(height, width)[f"{stream}_image"])
    assert output.composite[0].size == output.premultiplied[0].size == (width, height)


@pytest.mark.parametrize(
    "kind", ["EulerAncestralDiscrete", "DPMSolverMultistep", "UniPCMultistep", "DDIM", "PNDM", "HeunDiscrete", "LCM"]
)
@pytest.mark.parametrize("names", [("background_image",), ("foreground_image", "background_image")])
def test_every_scheduler_holds(pipe, tiny, kind, names):
    kind = getattr(diffusers, f"{kind}Scheduler")
    ours = LayerFusionPipeline(**pipe.components | {"scheduler": kind.from_config(tiny["scheduler"].config)})
    ours.set_progress_bar_config(disable=True)
    output = run(ours, names, num_inference_steps=5)
    assert np.isfinite(output.blended).all() and output.blended.std() > 0
    assert np.array_equal((output.background[0] * 255).round().astype(np.uint8), picture(2))


def test_a_batch_whose_triplets_differ_equals_each_alone(pipe):
    """None held, a photo, a cut-out, both, a blended picture: together and one at a time."""
    kinds = [(), ("background_image",), ("foreground_image",), COMBINATIONS[3], COMBINATIONS[4]]
    each = [given_of(names) for names in kinds]
    lists = {name: [one.get(name) for one in each] for name in pictures_of()}
    generators = [seeded(i) for i in range(len(kinds))]
    together = run(pipe, generator=generators, output_type="latent", **lists)
    for index, one in enumerate(each):
        alone = run(pipe, generator=[seeded(index)], output_type="latent", height=64, width=64, **one)
        for stream in STREAMS:
            torch.testing.assert_close(
                getattr(together, stream)[index], getattr(alone, stream)[0], atol=2e-4, rtol=2e-4
            )


@pytest.mark.parametrize("names", [("foreground_image",), ("foreground_image", "background_image")])
def test_a_given_subject_shows_its_own_pixels_in_the_blended_picture(pipe, names):
    """As it is relit, and nothing of the painting where it is opaque."""
    rgba = pictures_of()["foreground_image"].copy()
    rgba[16:48, 16:48, 3] = 255
    output = run(pipe, names, foreground_image=rgba)
    inside = rgba[..., 3] == 255
    np.testing.assert_allclose(output.blended[0][inside], output.relit[0][inside][:, :3], atol=0.51 / 255)
    painted = run(pipe, names, foreground_image=rgba, config=INDEPENDENT)
    assert np.abs(painted.blended[0][inside] - painted.relit[0][inside][:, :3]).max() > 0.05  # streams that never meet


def test_an_empty_cutout_leaves_the_photo(pipe):
    """Nothing is out of hold, so nothing is left to predict."""
    empty = np.zeros((64, 64, 4), np.uint8)
    output = run(pipe, ("background_image",), foreground_image=empty, output_type="pil")
    assert np.array_equal(np.asarray(output.blended[0]), picture(2))


@pytest.mark.parametrize(
    ("names", "config", "rows"),
    [
        ((), None, 6),
        (("background_image", "mask"), None, 5),
        (("foreground_image",), None, 5),
        (("foreground_image", "background_image"), None, 4),
        (("blended_image", "mask"), None, 5),
        (("foreground_image", "blended_image"), None, 4),
        (("background_image", "mask"), INDEPENDENT, 4),
        (("foreground_image",), INDEPENDENT, 4),
        (("foreground_image", "background_image"), INDEPENDENT, 2),
        (("foreground_image", "blended_image"), INDEPENDENT, 2),
    ],
)
def test_held_streams_take_only_the_rows_that_others_see(pipe, monkeypatch, names, config, rows):
    """No unconditional half of what is held, and no row of what nothing attends to."""
    taken, forward = [], pipe.unet.forward
    monkeypatch.setattr(
        pipe.unet, "forward", lambda x, *args, **kwargs: (taken.append(len(x)), forward(x, *args, **kwargs))[1]
    )
    run(pipe, names, config=config, height=64, width=64)
    assert max(taken) == rows


@pytest.mark.parametrize("names", [("background_image", "mask"), ("foreground_image",), COMBINATIONS[3]])
def test_what_is_left_is_as_with_all_rows(pipe, monkeypatch, names):
    arguments = {"config": INDEPENDENT, "output_type": "latent", "num_inference_steps": 3}
    few = run(pipe, names, **arguments)
    monkeypatch.setattr(StreamLayout, "attended", lambda layout, *_: set(layout.names))
    every = run(pipe, names, **arguments)
    for stream in STREAMS:
        torch.testing.assert_close(getattr(few, stream), getattr(every, stream), atol=1e-5, rtol=1e-5)


def test_none_for_every_triplet_is_nothing_given(pipe):
    plain = run(pipe, height=64, width=64)
    nothing = run(pipe, height=64, width=64, background_image=[None], mask=None)
    for stream in STREAMS:
        assert np.array_equal(getattr(plain, stream), getattr(nothing, stream))


def test_the_blended_picture_is_the_photo_out_of_the_subjects_reach(pipe):
    output = run(pipe, ("background_image", "mask"), (64, 96), output_type="pil")
    same = (np.asarray(output.blended[0]) == picture(2, 64, 96)).all(-1)
    rows, columns = (
        np.flatnonzero(pictures_of(64, 96)["mask"].any(1)),
        np.flatnonzero(pictures_of(64, 96)["mask"].any(0)),
    )
    reach = round(0.125 * 64) + 1
    outside = np.ones((64, 96), bool)
    outside[max(0, rows[0] - reach) : rows[-1] + reach + 1, max(0, columns[0] - reach) : columns[-1] + reach + 1] = (
        False
    )
    assert same[outside].all() and not same[rows[0] : rows[-1], columns[0] : columns[-1]].all()


def test_the_cutout_of_a_picture_is_what_differs_from_its_background(pipe):
    """Of a picture with one square before its background, the decoded alpha is replaced by what both speak of."""
    photo = np.full((64, 64, 3), 40, np.uint8)
    subject, mask = photo.copy(), np.zeros((64, 64), np.uint8)
    subject[24:40, 24:40], mask[12:52, 12:52] = 220, 255
    given = {"background_image": photo, "blended_image": subject, "mask": mask}
    cut = run(pipe, **given).foreground[0, ..., 3]
    assert cut[:10].max() == cut[54:].max() == 0 and cut[26:38, 26:38].min() > 0.9


def test_the_first_pass_draws_nothing_from_the_runs_generator(pipe):
    with_pass, without = seeded(5), seeded(5)
    run(pipe, ("background_image",), generator=with_pass)
    run(pipe, ("background_image", "mask"), generator=without)
    assert torch.equal(with_pass.get_state(), without.get_state())


def test_where_the_subject_is_the_priors_say_and_leave_the_run_alone(pipe):
    """A mask from the priors is that of the triplet alone, and its run draws what a run with that mask draws."""
    from layerfusion.seen import seen_subject

    inputs = pipe.check_inputs(
        foreground_prompt=["a fox", "a forest"],
        background_prompt=PROMPTS[1],
        generator=[seeded(), seeded(1)],
        height=64,
        width=64,
        guidance_scale=3.0,
        num_inference_steps=2,
    )
    sampler = pipe.prepare(inputs, pipe.encode(inputs))
    pictures = torch.from_numpy(np.stack([picture(3), picture(4)])).movedim(-1, 1) / 255
    masks = seen_subject(sampler, pipe.vae, pipe.scheduler, pictures)
    assert masks.shape == (2, 1, 64, 64) and set(masks.unique().tolist()) <= {0.0, 1.0} and 0 < masks.mean() < 1
    found, told = (
        pipe(
            "a fox",
            PROMPTS[1],
            blended_image=picture(3),
            generator=[seeded()],
            guidance_scale=3.0,
            num_inference_steps=2,
            output_type="np",
            transparency_passes=1,
            **more,
        )
        for more in ({}, {"mask": masks[0, 0].numpy()})
    )
    for stream in STREAMS:
        np.testing.assert_allclose(getattr(found, stream), getattr(told, stream), atol=2e-3)


def test_strength_skips_the_steps_in_which_all_is_held(pipe):
    seen = []

    def count(pipeline, step, timestep, tensors):
        seen.append(step)
        return {}

    both = ("foreground_image", "background_image")
    for strength, first in ((1.0, 0), (0.5, 5), (0.1, 9)):
        seen.clear()
        run(pipe, both, strength=strength, num_inference_steps=10, callback_on_step_end=count)
        assert seen == list(range(first, 10))


def test_a_little_strength_changes_little(pipe):
    both = ("foreground_image", "background_image")
    latents = [
        run(pipe, both, strength=strength, num_inference_steps=8, output_type="latent").blended
        for strength in (0.1, 1.0)
    ]
    rgba, photo = (pictures_of()[name].astype(np.float32) / 255 for name in both)
    composite = rgba[..., :3] * rgba[..., 3:] + photo * (1 - rgba[..., 3:])
    start = pipe.vae.encode(torch.from_numpy(2 * composite - 1).movedim(-1, 0)[None]).latent_dist.mode()
    near, far = ((x - start * pipe.vae.config.scaling_factor).square().mean() for x in latents)
    assert near < far / 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"background_image": picture(2), "height": 128, "width": 64}, "the given pictures are 64x64"),
        ({"background_image": [picture(2)] * 2, "foreground_prompt": ["a", "b", "c"]}, "and 2 given pictures"),
        ({"strength": 0.5}, "strength acts on the blend"),
    ],
)
def test_contradictions_are_said_before_any_work(pipe, arguments, sentence, monkeypatch):
    monkeypatch.setattr(pipe.unet, "forward", None)
    prompts = {"foreground_prompt": "a fox", "background_prompt": "a wood"}
    with pytest.raises(LayerFusionError) as error:
        pipe(**prompts | arguments)
    assert sentence in str(error.value) and str(error.value).endswith(".")


def test_a_scheduler_that_cannot_noise_a_picture_says_so(pipe):
    class Bare:
        pass

    scheduler, pipe.scheduler = pipe.scheduler, Bare()
    try:
        inputs = pipe.check_inputs(
            **dict(zip(("foreground_prompt", "background_prompt"), PROMPTS, strict=True)),
            background_image=PIL.Image.fromarray(picture(2)),
        )
        with pytest.raises(LayerFusionError, match="a Bare cannot noise"):
            pipe.hold(None, inputs)
    finally:
        pipe.scheduler = scheduler
