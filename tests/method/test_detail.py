"""Detail transfer: where it acts, what it moves, and that it knows what each scheduler's predictions mean."""

import pytest
import torch
from diffusers import DDIMScheduler, EDMEulerScheduler, EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from layerfusion import LayerFusionConfig, LayerFusionError
from layerfusion.method.clean import clean_from_prediction
from layerfusion.method.detail import SceneSubject, subject_mask, transfer_detail, trim_mask
from tests.models.tiny_files import tiny_pipeline

SIZE = (16, 32)


def planted(rows: int, columns: int, grids=((16, 32), (8, 16), (16, 32))) -> tuple[list, torch.Tensor]:
    """Noisy masks, at several grids, of a subject of rows x columns in the middle."""
    truth = torch.zeros(1, 1, *SIZE)
    top, left = (SIZE[0] - rows) // 2, (SIZE[1] - columns) // 2
    truth[..., top : top + rows, left : left + columns] = 1
    generator = torch.Generator().manual_seed(0)
    masks = []
    for k, grid in enumerate(grids):
        mask = torch.nn.functional.interpolate(truth, grid, mode="area")
        # Each attention has a scale of its own, noise, and one outlier.
        mask = (0.1 + (0.2 + 0.1 * k) * mask + 0.03 * torch.randn(mask.shape, generator=generator)).flatten(2)
        mask[..., -1] = 1
        masks.append(mask)
    return masks, truth[0]


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (8, 8), (12, 24)])
def test_the_subject_is_found_however_large_it_is(rows, columns):
    masks, truth = planted(rows, columns)
    found = subject_mask(masks, SIZE)
    assert found.shape == (1, 1, *SIZE)
    assert found[0][truth == 1].mean() > 0.8
    assert found[0][truth == 0].mean() < 0.1


def test_empty_masks_find_nothing():
    assert torch.equal(subject_mask([torch.zeros(2, 3, 512)], SIZE), torch.zeros(2, 3, *SIZE))


def test_a_mask_is_cut_back_to_the_outline():
    generator = torch.Generator().manual_seed(0)
    subject = torch.zeros(2, 1, 32, 32)
    subject[..., 8:24, 10:22] = 1
    foreground = 0.5 + 0.05 * torch.randn(2, 4, 32, 32, generator=generator)  # the backdrop
    foreground = foreground + subject * torch.tensor([2.0, -1, 1, -2]).view(4, 1, 1)
    foreground[..., 14:18, 14:18] = 0.5  # a part of the subject that is of its colour
    wide = torch.nn.functional.max_pool2d(subject, 5, 1, 2)
    trimmed = trim_mask(wide, foreground)
    assert (trimmed <= wide).all()
    rim = (wide == 1) & (subject == 0)
    assert trimmed[rim].mean() < 0.3 and trimmed[subject == 1].min() > 0.9


@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_an_empty_and_a_full_mask_stay_what_they_are(mask):
    flat = torch.full((1, 1, 16, 16), mask)
    assert torch.equal(trim_mask(flat, torch.zeros(1, 4, 16, 16)), flat)


def streams(seed: int) -> tuple:
    generator = torch.Generator().manual_seed(seed)
    foreground, blended = torch.randn(2, 2, 4, *SIZE, generator=generator)
    return foreground, blended, torch.rand(2, 1, *SIZE, generator=generator)


@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1))
def test_outside_the_mask_nothing_changes(seed, strength, light):
    foreground, blended, mask = streams(seed)
    mask = (mask > 0.6).float()
    result = transfer_detail(foreground, blended, mask, strength, light)
    outside = (mask == 0).expand_as(blended)
    assert torch.equal(result[outside], blended[outside])
    assert torch.equal(transfer_detail(foreground, blended, mask, 0.0, light), blended)


@given(st.integers(0, 2**31), st.floats(0, 1))
def test_inside_it_is_the_foreground_under_the_light_asked_for(seed, light):
    foreground, blended, mask = streams(seed)
    mask = (mask > 0.4).float()
    result = transfer_detail(foreground, blended, mask, 1.0, light)
    shift = result - foreground
    for picture in range(2):
        inside = mask[picture, 0] == 1
        moved = shift[picture][:, inside]
        assert (moved - moved[:, :1]).abs().max() < 1e-5, "every detail is the foreground's"
        means = [x[picture][:, inside].mean(1) for x in (result, foreground, blended)]
        torch.testing.assert_close(means[0], (1 - light) * means[1] + light * means[2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "own",
    [
        DDIMScheduler(prediction_type="epsilon", clip_sample=False),
        DDIMScheduler(prediction_type="v_prediction", clip_sample=False),
        DDIMScheduler(prediction_type="sample", clip_sample=False),
        EulerDiscreteScheduler(prediction_type="epsilon"),
        EulerDiscreteScheduler(prediction_type="v_prediction"),
    ],
)
def test_the_clean_latent_is_the_schedulers_own(own):
    own.set_timesteps(10)
    t = own.timesteps[4]
    latent, out = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    latent = latent * own.init_noise_sigma
    expected_input = own.scale_model_input(latent, t)
    expected = own.step(out, t, latent).pred_original_sample
    a, b = clean_from_prediction(own, t)
    torch.testing.assert_close(a * expected_input + b * out, expected, atol=1e-3, rtol=1e-3)


def test_what_is_known_of_some_triplets_leaves_the_others_and_is_renewed():
    def laid(value: float, *known: bool) -> SceneSubject:
        return SceneSubject(
            torch.full((2, 4, 8, 8), float(value)), torch.full((2, 1, 8, 8), value / 10), torch.tensor(known)
        )

    colour, alpha = laid(1, True, False).over(torch.zeros(2, 4, 8, 8), torch.zeros(2, 1, 8, 8))
    assert colour[:, 0, 0, 0].tolist() == [1, 0] and alpha[:, 0, 0, 0].tolist() == pytest.approx([0.1, 0])
    both = laid(2, False, True).renewed(laid(1, True, False))
    assert both.known.all() and both.colour[:, 0, 0, 0].tolist() == [1, 2]
    assert both.alpha[:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.2])


def test_another_family_of_schedulers_is_refused():
    with pytest.raises(LayerFusionError, match="detail cannot be transferred with a EDMEulerScheduler"):
        clean_from_prediction(EDMEulerScheduler(), torch.tensor(1.0))


def test_only_the_blended_stream_takes_detail():
    pipeline = tiny_pipeline()
    pipeline.set_progress_bar_config(disable=True)

    def run(**switches):
        return pipeline(
            "a red fox",
            "a snowy forest",
            num_inference_steps=4,
            height=64,
            width=128,
            generator=torch.Generator().manual_seed(1),
            config=LayerFusionConfig(**switches),
            output_type="latent",
        )

    # In the last step alone: what comes of it reaches no other stream any more.
    without, last = run(), run(detail=1.0, detail_range=(0.75, 1.0))
    assert torch.equal(without.foreground, last.foreground) and torch.equal(without.background, last.background)
    assert (without.blended - last.blended).abs().max() > 0.05
    # Where Eq. 1 does not act there are no masks to transfer detail by.
    early = run(detail=1.0, detail_range=(0.75, 1.0), blend_range=(0.0, 0.5))
    assert torch.equal(early.blended, run(blend_range=(0.0, 0.5)).blended)
