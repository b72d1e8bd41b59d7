"""The commands of the figures on a tiny model, and that what is drawn and counted is what was asked."""

import json
import sys
from functools import partialmethod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from layerfusion import LayerFusionPipeline
from layerfusion.evaluation import paper
from recipes.paper import bench, figure3, figure8, figure9
from tests.models.tiny_files import tiny_pipeline


@pytest.fixture(scope="module")
def pipe() -> LayerFusionPipeline:
    pipe = tiny_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe


RUN = bench.Bench.run


def run(
    command: ModuleType, pipe: LayerFusionPipeline, monkeypatch: pytest.MonkeyPatch, where: Path, *words: str
) -> dict[str, Any]:
    name = command.__name__.rpartition(".")[2]
    monkeypatch.setattr(bench, "load_pipeline", lambda _: pipe)
    monkeypatch.setattr(bench.Bench, "run", partialmethod(RUN, num_inference_steps=3, height=64, width=64))
    monkeypatch.setattr(sys, "argv", [name, "--seeds", "2", *words])
    monkeypatch.chdir(where)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0
    page = Path(f"docs/evidence/{name}.md").read_text()
    for picture in Path("docs/images/evidence").glob(f"{name}*.webp"):
        assert picture.name in page
    found: dict[str, Any] = json.loads(Path(f"docs/evidence/{name}.json").read_text())
    return found


def test_figure_3(pipe: LayerFusionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(figure3, pipe, monkeypatch, tmp_path)
    assert list(found["rows"]) == ["a car", "a glass bottle"]
    assert set(found["rows"]["a car"]) == set(figure3.LABELS.values())


def test_the_step_nearest_to_a_time_is_taken(pipe: LayerFusionPipeline) -> None:
    one = bench.Bench(pipe, "tiny", False, (1,), 1, bench.Pictures(Path("nowhere")), Path("nowhere"))
    output = one.run([bench.Case(("a car", "a meadow"), 1)], figure8.PAPER, return_maps=True, num_inference_steps=5)
    times = [step.timestep / 1000 for step in output.maps or []]
    taken = figure3.step_at(output.maps or [], 1000).timestep / 1000
    assert abs(taken - 0.8) == min(abs(time - 0.8) for time in times)


def test_figure_9(pipe: LayerFusionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(figure9, pipe, monkeypatch, tmp_path)
    assert all(layer.endswith("attn1") for layer in found["rows"]) and len(found["rows"]) > 1
    for row in found["rows"].values():
        assert set(row) == set(figure9.NAMES)


@pytest.mark.parametrize("command", [figure3, figure9])
def test_maps_are_not_made_again(
    command: ModuleType, pipe: LayerFusionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(command, pipe, monkeypatch, tmp_path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("what is kept was made again")

    monkeypatch.setattr(sys.modules[__name__], "RUN", never)
    assert run(command, pipe, monkeypatch, tmp_path)["rows"] == first["rows"]


def test_figure_8_goes_on_where_it_was_stopped(
    pipe: LayerFusionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: paper.Figure("", (), (), paper.figure(name).mini[:1]) for name in ("8a", "8b", "8c", "8d")}
    monkeypatch.setattr(paper, "figure", few.__getitem__)
    monkeypatch.setattr(figure8, "BOUNDARIES", (1.0, 10.0))
    found = run(figure8, pipe, monkeypatch, tmp_path)
    names = [name[:3] for name in found["rows"]]
    assert [names.count(f"({part})") for part in "abcd"] == [1, 2, 3, 2]
    # By construction: the same layers, laid over one another.
    row = found["rows"]["(b) alpha blending"]
    assert row["change around it, of 255"]["value"] < 3
    # d = 10 and both priors are the paper's own configuration: the same prompts give the same figures.
    assert found["rows"]["(c) both"]["wholeness"] == found["rows"]["(d) d = 10"]["wholeness"]
    monkeypatch.setattr(sys.modules[__name__], "RUN", lambda *_, **__: pytest.fail("made again"))
    assert run(figure8, pipe, monkeypatch, tmp_path)["rows"].keys() == found["rows"].keys()


def test_counted_tells_a_leak_from_none() -> None:
    rng = np.random.default_rng(0)
    foreground = np.zeros((2, 64, 64, 4), np.float32)
    foreground[:, 12:52, 12:52] = [0.5, 0.6, 0.7, 1]
    foreground[..., :3] *= rng.uniform(0.8, 1, (2, 64, 64, 1))
    clean = {"foreground": foreground, "blended": foreground[..., :3] * 0.5}
    leaky = {"foreground": foreground.copy(), "blended": rng.uniform(0, 1, (2, 64, 64, 3)).astype(np.float32)}
    leaky["foreground"][:, 40:, :, 3] = 0.5
    good, bad = (figure8.counted(each, clean) for each in (clean, leaky))
    assert good[figure8.WHOLE]["value"] == pytest.approx(1) and bad[figure8.WHOLE]["value"] < 0.2
    assert good[figure8.KEPT]["value"] == 1 and bad[figure8.KEPT]["value"] < 0.8
    assert good[figure8.SOFT]["value"] == 0 and bad[figure8.SOFT]["value"] > 0.4
    assert good[figure8.PALE]["value"] == 1 and bad[figure8.PALE]["value"] < 0.9
