"""The light benchmark as the world writes it."""

from pathlib import Path

import numpy as np

from layerfusion.evaluation.light import LightSet
from recipes.mini import light
from recipes.mini.world import World


def test_the_same_set_is_the_same_file(small: World, tmp_path: Path) -> None:
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    light.write(small, 7, one)
    light.write(small, 7, other)
    assert one.read_bytes() == other.read_bytes()
    made = LightSet(one)
    assert len(made) == 7 and made.version == light.VERSION
    for case in made:
        alpha = np.asarray(case.mask)
        background, truth = np.asarray(case.background, int), np.asarray(case.truth, int)
        assert case.background.size == (64, 64) and 0 < (alpha > 127).mean() < 1
        assert np.abs(truth - background)[alpha > 127].mean() > 3


def test_every_scene_has_other_subjects_in_turn(small: World) -> None:
    cases = light.cases_of(small, 12)
    assert [case.scene for case in cases[:3]] == [scene.key for scene in small.scenes]
    for scene in small.scenes:
        assert len({case.obj for case in cases if case.scene == scene.key}) == 4
    assert len({case.seed for case in cases}) == 12
