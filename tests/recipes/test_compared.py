"""The sheets of Figures 5 to 7 and the list of systems, on a tiny model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layerfusion import LayerFusionPipeline
from layerfusion.evaluation.baselines import SYSTEMS, Missing, System
from recipes.paper import compared, systems
from recipes.paper.bench import Bench, Case
from recipes.paper.kept import Pictures


@pytest.fixture
def bench(pipe: LayerFusionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(compared, "WEIGHTS", tmp_path)
    return Bench(pipe, "tiny", True, (1,), 2, Pictures(tmp_path / "kept", "tiny"), tmp_path)


@pytest.mark.parametrize(("figure", "task"), [("5", "generate"), ("6", "extract"), ("7", "harmonize")])
def test_every_system_is_a_column_or_a_row_of_what_is_missing(
    bench: Bench, figure: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    channels = {"foreground": 4, "background": 3, "blended": 3, "composite": 3}
    ours = {name: rng.random((2, 64, 64, count), np.float32) for name, count in channels.items()}
    cases = [Case(("a fox", "a forest"), 1), Case(("a red fox", "a forest"), 1)]

    class Still:
        """A base that leaves the composite as it is, for a model too small to be worth a run."""

        def harmonize(self, composite: np.ndarray, mask: np.ndarray, scene: object) -> np.ndarray:
            return composite

    monkeypatch.setattr(compared, "prepared", prepared_without_runs(Still()))
    columns, missing = compared.FIGURES[figure](bench, cases, ours)
    asked = {
        system.name.split(", ")[-1] if figure == "5" else system.name
        for system in SYSTEMS.values()
        if task in system.tasks
    }
    named = {column.split("\n")[-1] for column in columns} | {
        each.split(", ")[-1] if figure == "5" else each for each in missing
    }
    assert asked <= named
    assert all(len(column) == len(cases) for column in columns.values())
    assert compared.draw(figure, cases, columns).width > 64


def prepared_without_runs(still: object) -> Callable[..., Any]:
    real = compared.prepared

    def prepared(bench: Bench, asked: list[System]) -> tuple[dict[str, Any], dict[str, Missing]]:
        ready, missing = real(bench, asked)
        return {name: still if name == "SDEdit" else each for name, each in ready.items()}, missing

    return prepared


def test_the_list_names_every_system_and_both_networks(tmp_path: Path) -> None:
    page = "\n".join(systems.lines(tmp_path))
    assert all(f"| {name} |" in page for name in SYSTEMS)
    assert page.count("missing: ") >= 9
