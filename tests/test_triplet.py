"""A triplet to a folder, to layers, and back."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from layerfusion import LayerFusionError, layers
from layerfusion.triplet import PICTURES, WITH_ALPHA, Triplet


@pytest.fixture
def triplet() -> Triplet:
    draw = np.random.default_rng(0)
    pixels = {name: draw.integers(0, 256, (16, 24, 4 if name in WITH_ALPHA else 3), np.uint8) for name in PICTURES}
    return Triplet(**{name: Image.fromarray(values) for name, values in pixels.items()})


def test_a_folder_gives_it_back(triplet: Triplet, tmp_path):
    triplet.save(tmp_path / "new")
    assert {path.stem for path in (tmp_path / "new").iterdir()} == set(PICTURES)
    again = Triplet.open(tmp_path / "new")
    for name, picture in triplet.pictures().items():
        assert again.pictures()[name].mode == picture.mode
        assert np.array_equal(np.asarray(again.pictures()[name]), np.asarray(picture))


def test_a_folder_without_a_picture_is_refused(triplet: Triplet, tmp_path):
    triplet.save(tmp_path)
    (tmp_path / "blended.png").unlink()
    with pytest.raises(LayerFusionError, match=r"blended\.png does not exist"):
        Triplet.open(tmp_path)


def test_its_layers_are_those_of_its_folder(triplet: Triplet, tmp_path):
    triplet.save(tmp_path)
    ours, read = triplet.to_stack(), layers.read(tmp_path)
    assert [layer.name for layer in ours] == [layer.name for layer in read]
    for one, other in zip(ours, read, strict=True):
        assert np.array_equal(one.pixels, other.pixels) and one.visible == other.visible


def test_it_cannot_be_changed(triplet: Triplet):
    with pytest.raises(dataclasses.FrozenInstanceError):
        triplet.foreground = triplet.background  # type: ignore[misc]


def test_a_triplet_without_light_is_one_too(triplet: Triplet, tmp_path):
    plain = Triplet(*(getattr(triplet, name) for name in PICTURES[:4]))
    plain.save(tmp_path)
    again = Triplet.open(tmp_path)
    assert set(again.pictures()) == set(PICTURES[:4])
    assert [layer.name for layer in again.to_stack()] == ["background", "foreground", "blended"]
