"""What the embedded model must show of a triplet."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from layerfusion import LayerFusionOutput, LayerFusionPipeline
from layerfusion.evaluation.measures import wholeness
from layerfusion.models import MINI, Vocabulary, defaults_for, load_pipeline, read_vocabulary

PROMPTS = [("a penguin", "a snowy forest"), ("a red car", "a sunset sea")]
Generate = Callable[[int], LayerFusionOutput]


@pytest.fixture(scope="module")
def pipeline() -> LayerFusionPipeline:
    pipeline = load_pipeline("mini", device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def generate(pipeline: LayerFusionPipeline) -> Generate:
    defaults = defaults_for("mini")

    def run(seed: int) -> LayerFusionOutput:
        output = pipeline(
            [foreground for foreground, _ in PROMPTS],
            [background for _, background in PROMPTS],
            num_inference_steps=10,  # half of its own: quicker, and whole enough
            guidance_scale=defaults.guidance_scale,
            generator=[torch.Generator().manual_seed(seed + index) for index in range(len(PROMPTS))],
            output_type="np",
        )
        assert isinstance(output, LayerFusionOutput)
        return output

    return run


@pytest.fixture(scope="module")
def output(generate: Generate) -> LayerFusionOutput:
    return generate(7)


@pytest.fixture(scope="module")
def known() -> Vocabulary:
    vocabulary = read_vocabulary(MINI)
    assert vocabulary is not None
    return vocabulary


def test_the_foreground_is_cut_out(output: LayerFusionOutput) -> None:
    for alpha in np.asarray(output.foreground)[..., 3]:
        side = alpha.shape[0] // 16
        corners = [
            alpha[rows, columns] for rows in (np.s_[:side], np.s_[-side:]) for columns in (np.s_[:side], np.s_[-side:])
        ]
        assert float(np.mean(corners)) < 0.1
        assert 0.02 < float((alpha > 0.5).mean()) < 0.85


def test_the_blended_picture_is_more_than_a_paste(output: LayerFusionOutput) -> None:
    for alpha, blended, composite in zip(
        np.asarray(output.foreground)[..., 3], np.asarray(output.blended), np.asarray(output.composite), strict=True
    ):
        inside = alpha > 0.9
        assert float(abs(blended - composite)[inside].mean()) > 0.01


def test_a_seed_decides_the_pixels(output: LayerFusionOutput, generate: Generate) -> None:
    again, other = generate(7), generate(70)
    for name in ("foreground", "background", "blended"):
        assert np.array_equal(again[name], output[name])
        assert not np.array_equal(other[name], output[name])


def test_the_few_step_form_is_whole() -> None:
    pipeline = load_pipeline("mini", device="cpu", few_step=True)
    pipeline.set_progress_bar_config(disable=True)
    foregrounds, backgrounds = (list(part) for part in zip(*PROMPTS, strict=True))
    seeds = [torch.Generator().manual_seed(7 + index) for index in range(len(PROMPTS))]
    output = pipeline(foregrounds, backgrounds, generator=seeds, output_type="np")
    assert pipeline.num_timesteps == 6 and not pipeline.do_classifier_free_guidance
    test_the_foreground_is_cut_out(output)
    for rgba, blended in zip(np.asarray(output.foreground), np.asarray(output.blended), strict=True):
        assert wholeness(blended, rgba[..., :3], rgba[..., 3]) > 0.85


def test_it_knows_its_own_prompts_and_says_what_it_does_not_know(known: Vocabulary) -> None:
    for prompt in (prompt for pair in PROMPTS for prompt in pair):
        assert known.unknown_words(prompt) == {}
    unknown = known.unknown_words("a zeppelin in a snowy forest")
    assert list(unknown) == ["zeppelin"]


def test_the_package_stays_small() -> None:
    files = [path for path in Path(MINI).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 80_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".txt", ".md"}
