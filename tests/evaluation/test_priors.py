from typing import Any

import pytest
import torch

from layerfusion import LayerFusionOutput, LayerFusionPipeline
from layerfusion.evaluation.priors import LatentsNear, observe_priors
from layerfusion.method import self_attention_layers
from layerfusion.method.blocks import transformer_blocks
from tests.models.tiny_files import tiny_pipeline

Run = tuple[LayerFusionOutput, LatentsNear]


@pytest.fixture(scope="module")
def pipeline() -> LayerFusionPipeline:
    pipeline = tiny_pipeline()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def run(pipeline: LayerFusionPipeline) -> Run:
    steps: list[int] = []
    seen = LatentsNear(0.8, lambda: steps.append(1))
    output: Any = pipeline(
        "a red fox",
        "a snowy forest",
        num_inference_steps=8,
        height=64,
        width=128,
        generator=[torch.Generator().manual_seed(seed) for seed in (1, 2)],
        num_images_per_prompt=2,
        return_maps=True,
        callback_on_step_end=seen,
        output_type="latent",
    )
    assert len(steps) == 8
    return output, seen


def test_the_latents_of_the_step_nearest_to_the_time_are_kept(pipeline: LayerFusionPipeline, run: Run) -> None:
    timesteps = pipeline.scheduler.timesteps
    assert run[1].timestep == timesteps[int((timesteps - 800).abs().argmin())]


def test_the_priors_of_a_step_are_those_its_masks_were_made_of(pipeline: LayerFusionPipeline, run: Run) -> None:
    output, seen = run
    used = next(step for step in output.maps or [] if step.timestep == float(seen.timestep))
    assert used.structure is not None
    priors = {each.layer: each for each in observe_priors(pipeline, ["a red fox"] * 2, seen.latents, seen.timestep)}
    last = self_attention_layers(pipeline.unet)[-1]
    torch.testing.assert_close(priors[last].structure(), used.structure[0], atol=1e-4, rtol=1e-4)
    # Another seed, another prior: the comparison above can fail.
    assert not torch.allclose(used.structure[0, 0], used.structure[0, 1], atol=1e-2)
    # The first attention's content is taken before anything has been blended.
    first = used.attentions[0]
    torch.testing.assert_close(priors[first.layer].content, first.content[0], atol=1e-5, rtol=1e-4)


def test_one_pass_sees_every_attention(
    pipeline: LayerFusionPipeline, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    forward = pipeline.unet.forward
    monkeypatch.setattr(pipeline.unet, "forward", lambda *args, **kwargs: passes.append(1) or forward(*args, **kwargs))
    before = dict(pipeline.unet.attn_processors)
    priors = observe_priors(pipeline, ["a fox", "a cat"], run[1].latents, run[1].timestep)
    assert len(passes) == 1
    paths = [path for path, _ in transformer_blocks(pipeline.unet)]
    assert [each.layer for each in priors] == [f"{path}.{name}" for path in paths for name in ("attn1", "attn2")]
    for each in priors:
        assert (each.sparsity is None) == each.layer.endswith("attn2")
        assert each.content.shape[0] == 2 and each.content.shape[2] == 2 * each.content.shape[1]
    assert pipeline.unet.attn_processors == before


def test_the_signs_are_opposite(pipeline: LayerFusionPipeline, run: Run) -> None:
    first = observe_priors(pipeline, ["a fox", "a cat"], run[1].latents, run[1].timestep)[0]
    torch.testing.assert_close(first.structure(1), 1 - first.structure(-1))
    assert first.structure(1).flatten(1).amin(1).tolist() == [0, 0]
    assert first.structure(1).flatten(1).amax(1).tolist() == [1, 1]
