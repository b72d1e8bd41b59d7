import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from layerfusion.models import MINI
from recipes.mini.kept import fingerprint_of
from recipes.paper import kept


def test_pictures_are_made_once_and_go_on_where_they_were_stopped(tmp_path: Path) -> None:
    asked: list[int] = []

    def make(cases: Sequence[int]) -> dict[str, np.ndarray]:
        asked.extend(cases)
        if len(asked) > 4:
            raise KeyboardInterrupt
        return {"picture": np.stack([np.full((2, 2, 3), case / 255) for case in cases])}

    pictures = kept.Pictures(tmp_path, "model")
    with pytest.raises(KeyboardInterrupt):
        pictures.of("greys", list(range(6)), make, batch=2)
    assert asked == [0, 1, 2, 3, 4, 5]
    asked[:] = []
    found = pictures.of("greys", list(range(6)), make, batch=2)["picture"]
    assert asked == [4, 5]
    assert found[:, 0, 0, 0] == pytest.approx(np.arange(6) / 255)
    asked[:] = []
    kept.Pictures(tmp_path, "another model").of("greys", list(range(2)), make, batch=2)
    assert asked == [0, 1]


def test_what_is_kept_belongs_to_the_weights_and_not_to_the_name_of_a_model(tmp_path: Path) -> None:
    before = fingerprint_of("mini")
    assert before == fingerprint_of(str(MINI))  # the same weights by their folder
    retrained = tmp_path / "mini"
    shutil.copytree(MINI, retrained)
    assert fingerprint_of(str(retrained)) == before
    save_file({"weight": np.ones(1, np.float32)}, retrained / "unet" / "diffusion_pytorch_model.safetensors")
    assert fingerprint_of(str(retrained)) != before
    assert fingerprint_of("owner/name") != fingerprint_of("owner/another")


def test_the_gate_tells_what_fell_beyond_its_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.json"

    def run(commit: str, high: tuple[float, float, float], low: tuple[float, float, float]) -> list[str]:
        monkeypatch.setattr(kept, "conditions", lambda: {"commit": commit, "date": "2026-01-01"})
        names = ("low", "value", "high")
        rows = {
            "a": {
                "score": {**dict(zip(names, high, strict=True)), "better": "high"},
                "distance": {**dict(zip(names, low, strict=True)), "better": "low"},
            }
        }
        return kept.keep(path, rows, {})

    assert run("one", (0.8, 0.9, 1.0), (1, 2, 3)) == []
    assert run("two", (0.7, 0.8, 0.9), (2, 3, 4)) == []  # within the noise
    assert run("two", (0.1, 0.2, 0.3), (7, 8, 9)) == []  # a second run of the same commit
    assert run("three", (0.8, 0.9, 1.0), (10, 11, 12)) == ["distance of a is worse: 11, 8 at two."]
    assert [entry["commit"] for entry in json.loads(path.read_text())["history"]] == ["one", "two"]


def test_other_cases_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "light.json"

    def run(commit: str, digest: str, value: float) -> list[str]:
        monkeypatch.setattr(kept, "conditions", lambda: {"commit": commit, "date": "2026-01-01"})
        measure = {"low": value - 0.1, "value": value, "high": value + 0.1, "better": "high"}
        return kept.keep(path, {"a": {"score": measure}}, {"digest": digest})

    assert run("one", "a set", 0.9) == []
    assert run("two", "a set", 0.5) == ["score of a is worse: 0.5, 0.9 at one."]
    assert run("three", "a harder set", 0.1) == []
    assert [entry["digest"] for entry in json.loads(path.read_text())["history"]] == ["a set", "a set"]
    assert run("four", "a harder set", 0.05) == []  # within its noise


def test_a_measure_is_shown_with_its_interval() -> None:
    values = np.arange(100.0)
    found = kept.measured(lambda at: float(values[at].mean()), 100)
    assert found["value"] == 49.5
    assert found["low"] < 49.5 < found["high"]
    assert kept.shown({"value": 1.0, "low": 0.5, "high": 1.5}, "{:.1f}") == "1.0 (0.5 to 1.5)"


def test_what_is_no_number_is_kept_as_json_has_it(tmp_path: Path) -> None:
    found = kept.measured(lambda _: float("nan"), 10)
    assert kept.shown(found) == kept.shown(found | {"value": None}) == "–" and not kept.known(found)
    for _ in range(2):
        assert kept.keep(tmp_path / "table.json", {"a": {"score": found}}, {"list": [float("inf"), 1]}) == []
    written = json.loads((tmp_path / "table.json").read_text(), parse_constant=pytest.fail)
    assert written["rows"]["a"]["score"]["value"] is None and written["list"] == [None, 1]
