from typing import Any

import numpy as np
import pytest
import torch

from layerfusion import LayerFusionOutput, LayerFusionPipeline
from layerfusion.errors import LayerFusionError
from layerfusion.evaluation.figures import priors_figure, short_name, structure_figure
from layerfusion.evaluation.priors import LatentsNear
from tests.models.tiny_files import tiny_pipeline

STEPS = 8


@pytest.fixture(scope="module")
def pipeline() -> LayerFusionPipeline:
    pipeline = tiny_pipeline()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def run(pipeline: LayerFusionPipeline) -> tuple[LayerFusionOutput, LatentsNear]:
    steps: list[int] = []
    seen = LatentsNear(0.8, lambda: steps.append(1))
    output: Any = pipeline(
        "a red fox",
        "a snowy forest",
        num_inference_steps=STEPS,
        height=64,
        width=128,
        generator=[torch.Generator().manual_seed(seed) for seed in (1, 2)],
        num_images_per_prompt=2,
        return_maps=True,
        callback_on_step_end=seen,
    )
    assert len(steps) == STEPS
    return output, seen


def test_the_figure_of_priors_has_a_row_for_each_time(run: tuple[LayerFusionOutput, LatentsNear]) -> None:
    output, _ = run
    triplet = {name: output[name][1] for name in ("foreground", "background", "blended", "composite")}
    heights = [
        priors_figure(triplet, output.maps or [], 1, 1000, times).height
        for times in ((0.8,), (0.8, 0.5), (0.8, 0.5, 0.2), (0.8, 0.79))
    ]
    assert heights[0] < heights[1] < heights[2]
    assert heights[3] == heights[0]  # both are the same step
    with pytest.raises(LayerFusionError, match="no priors to draw"):
        priors_figure(triplet, [], 0, 1000, (0.8,))


def test_the_figure_of_layers_frames_the_chosen_one(run: tuple[LayerFusionOutput, LatentsNear]) -> None:
    priors = {f"up_blocks.{i}.attentions.0.transformer_blocks.0.attn1": torch.rand(4, 8) for i in range(3)}
    foreground = run[0].foreground[0]
    plain = structure_figure(foreground, priors, 0.8, "")
    framed = structure_figure(foreground, priors, 0.8, next(iter(priors)))
    assert plain.size == framed.size
    assert np.asarray(plain).tobytes() != np.asarray(framed).tobytes()


def test_layers_have_short_names() -> None:
    assert short_name("up_blocks.1.attentions.2.transformer_blocks.0.attn1") == "up 1.2.0"
    assert short_name("mid_block.attentions.0.transformer_blocks.3.attn1") == "mid 0.3"
