"""Ratios with intervals, their history, and the gate."""

import json

import numpy as np
import pytest

from benchmarks import machine, triplet
from tests.tiny import quiet, tiny_pipeline


def row(median: float, spread: float = 0.02) -> dict[str, list[float]]:
    return {"ratio": [median, median - spread, median + spread]}


@pytest.fixture
def commits(monkeypatch, tmp_path):
    """Results of their own, and commits that a test names."""
    current = ["a"]
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    monkeypatch.setattr(machine, "commit", lambda: current[0])
    return current


def test_what_grew_by_a_tenth_since_the_last_commit_is_named(commits):
    assert machine.remember("triplet", {"exact": row(1.0), "default": row(1.0)}) == []
    commits[0] = "b"
    (sentence,) = machine.remember("triplet", {"exact": row(1.2), "default": row(1.09)})
    assert sentence.startswith("exact is slower: 1.2") and sentence.endswith("1.0 at a.")
    # Measured again: still against the commit before, and one entry for each.
    assert machine.remember("triplet", {"exact": row(1.05)}) == []
    assert machine.remember("growth", {"exact": row(2.0)}) == []
    (path,) = (machine.RESULTS / "history").glob("*.json")
    kept = [(entry["benchmark"], entry["conditions"]["commit"]) for entry in json.loads(path.read_text())]
    assert kept == [("triplet", "a"), ("triplet", "b"), ("growth", "b")]


def test_what_may_be_noise_passes_the_gate(commits):
    machine.remember("triplet", {"exact": row(1.0, spread=0.3)})
    commits[0] = "b"
    assert machine.remember("triplet", {"exact": row(1.2, spread=0.1)}) == []


def test_ratios_are_to_the_first_turn_by_turn():
    found = triplet.summary(np.array([[2.0, 1.0], [4.0, 1.0], [9.0, 1.0]]), np.array([[2.0, 1], [2.0, 1], [2.1, 1]]))
    assert found == {"seconds": 4.0, "ratio": [2.0, 2.0, 2.1], "processor ratio": [1.0, 1.0, 1.0]}


def test_every_mode_runs():
    pipeline = quiet(tiny_pipeline())
    pipeline.defaults = triplet.replace(pipeline.defaults, steps=1, size=(64, 64))
    rows = triplet.measured(triplet.modes(pipeline, pipeline), rounds=1)
    assert rows["three pictures"]["ratio"] == [1.0, 1.0, 1.0]
    assert all(row["ratio"][0] > 0 for row in rows.values()) and "few steps" in rows
    assert "default" in triplet.table(rows)
