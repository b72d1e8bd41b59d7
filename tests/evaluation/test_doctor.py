"""The doctor on the embedded model: healthy as it is, and each illness told from the others."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.cli import app
from layerfusion.evaluation.doctor import Finding, _backdrop, _border, _fringe, examine, report
from layerfusion.models import load_pipeline


@pytest.fixture(scope="module")
def healthy() -> LayerFusionPipeline:
    pipeline = load_pipeline("mini", device="cpu")
    pipeline.set_progress_bar_config(disable=True)
    pipeline.defaults = replace(pipeline.defaults, steps=8)
    return pipeline


def findings_of(pipeline: LayerFusionPipeline) -> dict[str, Finding]:
    return {finding.about: finding for finding in examine(pipeline, "a penguin", "a snowy forest")}


def test_the_embedded_model_is_healthy(healthy: LayerFusionPipeline) -> None:
    findings = findings_of(healthy)
    assert set(findings) == {
        *("parts", "type", "speed", "numbers", "memory", "pictures"),
        *("subject", "backdrop", "border", "fringe", "masks"),
    }
    assert {finding.verdict for about, finding in findings.items() if about != "border"} == {"good"}
    text = report(list(findings.values()), {"model": "mini"})
    assert len(text.splitlines()) == 12 and "mini" in text.splitlines()[0]


def poisoned(pipeline: LayerFusionPipeline) -> None:
    pipeline.unet.conv_out.bias.data.fill_(float("nan"))


def blank_vae(pipeline: LayerFusionPipeline) -> None:
    pipeline.vae.decoder.conv_out.weight.data.zero_()


def blind_decoder(pipeline: LayerFusionPipeline) -> None:
    pipeline.transparent_decoder.conv_out.weight.data.zero_()
    pipeline.transparent_decoder.conv_out.bias.data.fill_(-1)


def blind_masks(pipeline: LayerFusionPipeline) -> None:
    config = LayerFusionConfig(mask="self", structure_sign=-pipeline.config.structure_sign)
    pipeline.defaults = replace(pipeline.defaults, config=config)


def without_encoder(pipeline: LayerFusionPipeline) -> None:
    pipeline.transparent_encoder = None


@pytest.mark.parametrize(
    ("illness", "about", "verdict"),
    [
        (poisoned, "numbers", "bad"),
        (blank_vae, "pictures", "bad"),
        (blind_decoder, "subject", "bad"),
        (blind_masks, "masks", "look"),
        (without_encoder, "parts", "look"),
    ],
)
def test_each_illness_is_found(
    healthy: LayerFusionPipeline, illness: Callable[[LayerFusionPipeline], None], about: str, verdict: str
) -> None:
    components = {
        name: copy.deepcopy(part) if isinstance(part, torch.nn.Module) else part
        for name, part in healthy.components.items()
    }
    structure = {name: healthy.config[name] for name in ("structure_layer", "structure_sign")}
    ill = LayerFusionPipeline(**components, **structure, defaults=healthy.defaults.to_dict())
    ill.set_progress_bar_config(disable=True)
    illness(ill)
    found = findings_of(ill)
    assert found[about].verdict == verdict
    assert all(finding.says.endswith((".", ").")) for finding in found.values())


def test_another_backdrop_than_grey_is_seen() -> None:
    alpha = torch.zeros(16, 16)
    alpha[4:12, 4:12] = 1
    assert _backdrop(torch.full((3, 16, 16), 0.52), alpha).verdict == "good"
    assert _backdrop(torch.full((3, 16, 16), 0.8), alpha).verdict == "bad"


def test_what_remains_along_the_border_is_seen() -> None:
    alpha = torch.zeros(32, 32)
    assert _border(alpha).verdict == "good"
    alpha[0] = 14 / 255
    assert "14 of 255" in _border(alpha).says and _border(alpha).verdict == "look"


def test_a_fringe_is_seen() -> None:
    alpha = torch.zeros(32, 32)
    alpha[8:24, 8:24], alpha[8:24, 24:26] = 1, 0.5
    red = torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 32, 32)
    assert _fringe(torch.cat([red, alpha[None]])).verdict == "good"
    grey_edge = torch.where(alpha == 0.5, torch.full_like(red, 0.5), red)
    assert _fringe(torch.cat([grey_edge, alpha[None]])).verdict == "look"


def test_the_command_reports_and_says_what_is_not_there() -> None:
    ran = CliRunner().invoke(app, ["doctor", "--device", "cpu"])
    assert ran.exit_code == 0, ran.output
    assert "backdrop" in ran.stdout and "torch" in ran.stdout
    # The page shows a report; numbers, versions and the machine differ.
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    shown = page.split("Of the embedded model it says\n\n```text\n")[1].split("```")[0]
    told, printed = ([re.sub(r"[\d.]+", "#", line) for line in text.splitlines()] for text in (shown, ran.stdout))
    assert told[1] == printed[1] and told[4:] == printed[4:]
    assert CliRunner().invoke(app, ["doctor", "--seed", str(2**64)]).exit_code == 2  # more than a generator takes
    missing = CliRunner().invoke(app, ["doctor", "--model", "nowhere/"])
    assert missing.exit_code == 2 and "there is no model" in missing.stderr
