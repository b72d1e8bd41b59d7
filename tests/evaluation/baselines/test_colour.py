from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.exposure import match_histograms

from layerfusion.evaluation.baselines import SYSTEMS, Harmonizer, Missing, Scene, systems_for


def composite(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    picture = rng.uniform(0.4, 0.6, (32, 32, 3)).astype(np.float32)
    mask = np.zeros((32, 32), np.float32)
    mask[8:24, 8:24] = 1
    picture[8:24, 8:24] = rng.uniform(0.2, 0.9, (16, 16, 3)) * (0.9, 0.5, 0.4)
    return picture, mask


def ready(name: str) -> Harmonizer:
    return SYSTEMS[name].prepare(Path(), None)


def test_paste_leaves_the_composite_as_it_is() -> None:
    picture, mask = composite()
    assert ready("plain paste").harmonize(picture, mask, Scene()) is picture


def test_reinhard_gives_the_subject_the_surroundings_mean_and_deviation_in_lab() -> None:
    picture, mask = composite()
    lab = rgb2lab(ready("Reinhard").harmonize(picture, mask, Scene()).astype(float))
    inside = mask > 0.5
    assert lab[inside].mean(0) == pytest.approx(lab[~inside].mean(0), abs=0.05)
    assert lab[inside].std(0) == pytest.approx(lab[~inside].std(0), rel=0.02)


def test_histogram_is_scikit_images_over_the_subject() -> None:
    picture, mask = composite()
    result = ready("histogram matching").harmonize(picture, mask, Scene())
    inside = mask > 0.5
    for channel in range(3):
        values = match_histograms(picture[inside][:, channel], picture[~inside][:, channel])
        assert result[inside][:, channel] == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize("name", ["plain paste", "Reinhard", "histogram matching"])
def test_surroundings_stay(name: str) -> None:
    picture, mask = composite()
    result = ready(name).harmonize(picture, mask, Scene())
    assert np.array_equal(result[mask == 0], picture[mask == 0])


@pytest.mark.parametrize("name", ["Reinhard", "histogram matching"])
@pytest.mark.parametrize("cover", [0.0, 1.0])
def test_without_subject_or_surroundings_nothing_happens(name: str, cover: float) -> None:
    picture, _ = composite()
    assert np.array_equal(ready(name).harmonize(picture, np.full((32, 32), cover, np.float32), Scene()), picture)


def test_what_is_missing_is_a_sentence() -> None:
    missing = Missing("weights.pth", "https://example.org", "MIT", 20)
    assert str(missing) == "missing: weights.pth (about 20 MB, MIT) from https://example.org"


def test_systems_are_found_by_their_task() -> None:
    assert {system.name for system in systems_for("harmonize")} >= {"plain paste", "Reinhard", "histogram matching"}
