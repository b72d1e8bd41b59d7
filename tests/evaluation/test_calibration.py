"""Calibration: planted layers and ranges are found, the choice keeps the light, the command keeps it with the model."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from layerfusion import LayerFusionConfig, LayerFusionError, LayerFusionPipeline
from layerfusion.cli import app
from layerfusion.evaluation.calibration import (
    BlendScore,
    Observed,
    choose_blend,
    choose_structure,
    score_layers,
    score_ranges,
)
from layerfusion.method import AttentionPriors
from layerfusion.models.presets import MINI, read_defaults, write_config
from tests.models.tiny_files import tiny_pipeline

LAYERS = tuple(f"up_blocks.{i}.attentions.0.transformer_blocks.0.attn1" for i in range(3))


def planted() -> Observed:
    """Alphas, and three self-attentions: noise, one that spreads inside, one that spreads outside, and knows best."""
    generator = torch.Generator().manual_seed(0)
    alpha = torch.zeros(3, 1, 32, 32)
    alpha[:, :, 8:24, 10:26] = 1
    inside = torch.nn.functional.interpolate(alpha, (16, 16), mode="area")[:, 0]
    noise = torch.rand(3, 3, 16, 16, generator=generator)
    content = 0.5 + 0.5 * inside
    content[:, 0, 0] = 3  # an outlier, which a min–max mask is scaled by
    sparsities = (noise[0], inside + 3 * noise[1], 1 - inside + 0.2 * noise[2])
    priors = [AttentionPriors(name, s, content) for name, s in zip(LAYERS, sparsities, strict=True)]
    return Observed([priors], alpha)


def test_the_planted_layer_and_its_sign_are_found() -> None:
    observed = planted()
    scores = score_layers(observed, (LAYERS[0], 1))
    assert [score.layer for score in scores] == list(LAYERS)
    assert 0.4 < scores[0].structure[0] < 0.6 and scores[2].structure[0] > 0.95
    # s' = 1 − minmax(s): what spreads inside the subject has the wrong sign.
    assert scores[1].structure[0] < 0.5
    assert choose_structure(scores) == (LAYERS[2], 1)
    assert choose_structure(scores[:2]) == (LAYERS[1], -1)
    assert score_layers(observed, (LAYERS[2], 1))[0].soft[0] > scores[0].soft[0]


def test_a_range_that_leaves_the_outlier_out_is_nearer_to_alpha() -> None:
    errors = score_ranges(planted(), (LAYERS[2], 1))
    assert min(errors, key=lambda each: errors[each]) != (0.0, 1.0)
    assert all(0 <= error <= 1 for error in errors.values())


def test_the_blend_is_the_simplest_of_the_most_whole_that_keep_the_light() -> None:
    def blend(name: str, whole: float, light: float, lost: float = 0.0) -> BlendScore:
        return BlendScore(name, LayerFusionConfig(), whole, light, lost)

    tried = [blend("paper", 0.8, 1), blend("dull", 0.99, 0.6), blend("first", 0.971, 1.1), blend("best", 0.974, 1.2)]
    assert choose_blend(tried).name == "first"
    assert choose_blend(tried[:2]).name == "paper"
    assert choose_blend([blend("paper", float("nan"), float("nan"))]).name == "paper"
    # What is left of a blend that loses subjects may be as whole as it likes.
    kept = [blend("paper", 0.8, 1, lost=0.25), blend("whole", 0.99, 1, lost=0.25), blend("all there", 0.9, 1)]
    assert choose_blend(kept).name == "all there"
    assert choose_blend([*kept, blend("dull", 0.99, 0.6)]).name == "all there"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline().save_pretrained(folder)
    return folder


def test_the_choice_is_kept_in_a_saved_pipeline_and_read_from_it(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "copy")
    before = json.loads((folder / "model_index.json").read_text())
    layer = before["structure_layer"] or "mid_block.attentions.0.transformer_blocks.0.attn1"
    config = LayerFusionConfig(structure_layer=layer, structure_sign=-1, detail=1.0)
    assert write_config(folder, config) == folder / "model_index.json"
    pipeline = LayerFusionPipeline.from_pretrained(folder)
    assert (pipeline.config.structure_layer, pipeline.config.structure_sign) == (layer, -1)
    assert pipeline.defaults.config == LayerFusionConfig(detail=1.0)
    after = json.loads((folder / "model_index.json").read_text())
    changed = {"structure_layer", "structure_sign", "defaults"}
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in before.items() if k not in changed}


def test_the_choice_is_kept_beside_any_other_model(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    (tmp_path / "layerfusion.json").write_text('{"steps": 7}')
    config = LayerFusionConfig(structure_layer="mid_block.attentions.0.transformer_blocks.0.attn1", detail=0.5)
    assert write_config(tmp_path, config) == tmp_path / "layerfusion.json"
    from layerfusion.defaults import Defaults

    found = read_defaults(tmp_path, Defaults(guidance_scale=3.0))
    assert (found.config, found.steps, found.guidance_scale) == (config, 7, 3.0)
    with pytest.raises(LayerFusionError, match="is a single file"):
        write_config(tmp_path / "layerfusion.json", config)


def test_the_command_measures_a_model_and_keeps_the_choice_where_asked(tmp_path: Path) -> None:
    """On the embedded model, at two steps: what is measured is rough, what is printed and kept is whole."""
    folder = shutil.copytree(MINI, tmp_path / "mini")
    index = json.loads((folder / "model_index.json").read_text())
    index["defaults"] = {**index["defaults"], "steps": 2, "size": [64, 64]}
    index["structure_layer"] = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
    (folder / "model_index.json").write_text(json.dumps(index))
    call = ["calibrate", "--model", str(folder), "--device", "cpu", "--count", "2"]
    ran = CliRunner().invoke(app, call)
    assert ran.exit_code == 0, ran.output
    assert "nothing was changed" in ran.output
    assert json.loads((folder / "model_index.json").read_text()) == index
    for heading in ("structure", "quantile range", "wholeness", "choice: structure layer"):
        assert heading in ran.output
    ran = CliRunner().invoke(app, [*call, "--save"])
    assert ran.exit_code == 0, ran.output
    kept = json.loads((folder / "model_index.json").read_text())
    assert kept["structure_layer"] in ran.output.replace("\n", "")
    assert kept["defaults"]["steps"] == 2 and kept["vocabulary"] == index["vocabulary"]
