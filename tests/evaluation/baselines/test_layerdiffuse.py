"""The sequential pipeline on a tiny SDXL, with files of the published names, keys and forms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from layerfusion import LayerFusionPipeline
from layerfusion.defaults import Defaults
from layerfusion.errors import LayerFusionError
from layerfusion.evaluation.baselines import SYSTEMS, Missing, Scene
from layerfusion.evaluation.baselines.layerdiffuse import (
    CONDITIONS,
    EXTRACTION,
    SEQUENTIAL,
    Alone,
    SequentialLayerDiffuse,
    Stage,
    encode,
    file_of,
    staged,
    widen,
)
from tests import tiny
from tests.models.tiny_files import tiny_pipeline

SIZE = 64
STAGES: tuple[Stage, ...] = ("fg2ble", "fgble2bg")
PAIRS, SEEDS = [("a fox", "a forest"), ("a red fox", "a snowy forest")], [3, 4]


@pytest.fixture(scope="module")
def pipe() -> LayerFusionPipeline:
    pipe = tiny_pipeline(defaults=Defaults(steps=3, guidance_scale=2.0, size=(SIZE, SIZE)).to_dict())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def published(unet: UNet2DConditionModel, stage: Stage, scale: float = 0.02) -> dict[str, Tensor]:
    """Offsets as the published files hold them: of everything but attention, `conv_in` as wide as the stage's."""
    generator = torch.Generator().manual_seed(len(stage))
    found = {}
    for name, value in unet.state_dict().items():
        if "attentions." in name or "embedding." in name:
            continue
        shape = list(value.shape)
        if name == "conv_in.weight":
            shape[1] += 4 * CONDITIONS[stage]
        found[name] = scale * torch.randn(shape, generator=generator).half()
    return found


def test_a_widened_convolution_ignores_its_conditions_at_first(pipe: LayerFusionPipeline) -> None:
    unet = staged(pipe.unet, {"conv_in.weight": torch.zeros(pipe.unet.conv_in.out_channels, 12, 3, 3)}, "fgble2bg")
    unet.conv_in.condition = torch.randn(1, 8, 8, 8)
    latents = torch.randn(2, 4, 8, 8)
    assert torch.allclose(unet.conv_in(latents), pipe.unet.conv_in(latents), atol=1e-6)
    assert unet.config.in_channels == 4


def test_conditions_reach_every_row_of_the_guidance_halves(pipe: LayerFusionPipeline) -> None:
    unet = staged(pipe.unet, published(pipe.unet, "fg2ble"), "fg2ble")
    condition, latents = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    unet.conv_in.condition = condition
    both = unet.conv_in(latents.repeat(2, 1, 1, 1))
    assert torch.equal(both[:2], both[2:])
    expected = torch.nn.functional.conv2d(
        torch.cat([latents, condition], 1), unet.conv_in.weight, unet.conv_in.bias, padding=1
    )
    assert torch.allclose(both[:2], expected)


def test_offsets_are_added_to_the_base_and_leave_it_alone(pipe: LayerFusionPipeline) -> None:
    before = {name: value.clone() for name, value in pipe.unet.state_dict().items()}
    offsets = published(pipe.unet, "fg2ble")
    own = staged(pipe.unet, offsets, "fg2ble").state_dict()
    for name, value in pipe.unet.state_dict().items():
        assert torch.equal(value, before[name])
        if name in offsets and name != "conv_in.weight":
            assert torch.allclose(own[name], value + offsets[name].float(), atol=1e-5)


@pytest.mark.parametrize("stage", ["fg2ble", "fgble2bg"])
def test_weights_of_another_stage_are_refused_in_a_sentence(pipe: LayerFusionPipeline, stage: Stage) -> None:
    other: Stage = "fgble2bg" if stage == "fg2ble" else "fg2ble"
    with pytest.raises(LayerFusionError, match=f"weights for {stage} do not fit this model: conv_in.weight is"):
        staged(pipe.unet, published(pipe.unet, other), stage)
    with pytest.raises(LayerFusionError, match=r"no conv_in\.weight"):
        staged(pipe.unet, {}, stage)
    with pytest.raises(LayerFusionError, match=r"nowhere.weight is .* no such weight"):
        staged(pipe.unet, published(pipe.unet, stage) | {"nowhere.weight": torch.zeros(1)}, stage)


def test_published_files_make_triplets(pipe: LayerFusionPipeline, tmp_path: Path) -> None:
    missing = SEQUENTIAL.prepare(tmp_path, pipe)
    assert isinstance(missing, Missing)
    assert missing.file == "diffuser_layer_xl_fg2ble.safetensors"
    for stage in ("fg2ble", "fgble2bg"):
        save_file(published(pipe.unet, stage), tmp_path / file_of(stage))
    system = SEQUENTIAL.prepare(tmp_path, pipe)
    found = system.generate(PAIRS, SEEDS)
    assert {name: picture.shape for name, picture in found.items()} == {
        "foreground": (2, SIZE, SIZE, 4),
        "background": (2, SIZE, SIZE, 3),
        "blended": (2, SIZE, SIZE, 3),
    }
    # One seed, one picture, whatever the batch.
    alone = system.generate(PAIRS[1:], SEEDS[1:])
    for name, picture in found.items():
        assert np.abs(alone[name][0] - picture[1]).max() < 2e-3


def test_the_stages_see_what_is_there_already(pipe: LayerFusionPipeline) -> None:
    offsets = {stage: published(pipe.unet, stage, 0.05) for stage in STAGES}
    system = SequentialLayerDiffuse(pipe, offsets)
    noise = torch.rand(2, 1, 3, SIZE, SIZE)
    one, two = (encode(pipe, picture) for picture in noise)
    blended = [system._conditioned("fg2ble", ["a fox"], [1], condition) for condition in (one, two)]
    assert (blended[0] - blended[1]).abs().max() > 1e-3


def test_the_base_goes_on_alone_after_the_hand_over(pipe: LayerFusionPipeline) -> None:
    offsets = {stage: published(pipe.unet, stage, 0.05) for stage in STAGES}
    condition = torch.randn(1, 8, 8, 8)
    never, late = (
        SequentialLayerDiffuse(pipe, offsets, share)._conditioned("fgble2bg", ["a forest"], [1], condition)
        for share in (1.0, 0.34)
    )
    assert (never - late).abs().max() > 1e-3
    system = SequentialLayerDiffuse(pipe, offsets, 0.34)
    again = [system._conditioned("fgble2bg", ["a forest"], [1], condition) for _ in range(2)]
    assert torch.equal(*again)  # its own UNet is back in place


def test_extraction_takes_the_pictures_own_background(pipe: LayerFusionPipeline, tmp_path: Path) -> None:
    assert isinstance(EXTRACTION.prepare(tmp_path, pipe), Missing)
    save_file(published(pipe.unet, "bgble2fg"), tmp_path / file_of("bgble2fg"))
    picture, background = np.random.default_rng(0).random((2, SIZE, SIZE, 3), np.float32)
    found = EXTRACTION.prepare(tmp_path, pipe).extract(picture, Scene("a fox", 1, background))
    assert found.shape == (SIZE, SIZE, 4)


def test_the_foreground_alone_is_the_pipelines_without_blending(pipe: LayerFusionPipeline) -> None:
    from recipes.mini.triplets import INDEPENDENT

    found = Alone(pipe, passes=1)
    out = pipe(
        ["a fox"], ["a forest"], generator=[tiny.seeded(5)], config=INDEPENDENT, transparency_passes=1, output_type="np"
    )
    assert np.abs(found.foregrounds(["a fox"], [5])[0].movedim(0, -1).numpy() - out.foreground[0]).max() < 2e-3
    assert np.abs(found.pictures(["a forest"], [5])[0].movedim(0, -1).numpy() - out.background[0]).max() < 2e-3


def test_widening_keeps_the_bias() -> None:
    unet = tiny.tiny_unet()
    bias = unet.conv_in.bias.detach().clone()
    assert torch.equal(widen(unet, 1).bias, bias)


def test_both_are_among_the_systems() -> None:
    assert {SEQUENTIAL.name, EXTRACTION.name} <= set(SYSTEMS)
