"""What blending from a step on loses, counted."""

import numpy as np

from recipes.mini import beginning
from recipes.mini.triplets import Case, Triplets
from recipes.mini.world import World


def subjects(*sides: int) -> np.ndarray:
    rgba = np.zeros((len(sides), 64, 64, 4), np.float32)
    for picture, side in zip(rgba, sides, strict=True):
        picture[16 : 16 + side, 16 : 16 + side] = 1
    return rgba


class OneName:
    """Finds a fox in every picture that shows anything."""

    def name(self, pictures):
        return [("fox" if picture.any() else "nothing", "meadow") for picture in pictures]


def test_the_hard_seed_is_counted_apart():
    cases = (
        Case(beginning.HARD[0], "meadow", beginning.HARD[1]),
        Case("fox", "meadow", 5),
        Case("fox", "dark cave", 5),
    )
    flat = subjects(32, 32, 32)[..., :3]

    def triplets(foreground: np.ndarray) -> Triplets:
        shown = foreground[..., :3] * np.linspace(0.2, 1, 64)[:, None]
        return Triplets(cases, foreground, flat, shown, shown)

    row = beginning.measured(World(64), OneName(), triplets(subjects(0, 32, 0)), triplets(subjects(32, 32, 32)))
    assert row["lost at the hard seed"] == "1 of 1" and row["lost at others"] == "1 of 2"
    assert row["subject found in blended"][0] == 0.5
    assert row["alpha IoU with no blending"][0] == 0.5


def test_every_opaque_object_is_drawn_twice_on_fresh_seeds():
    world = World(64)
    usual = [case for case in beginning.cases_of(world) if (case.obj, case.seed) != beginning.HARD]
    opaque = {spec.key for spec in world.objects if not spec.see_through}
    assert {case.obj for case in usual} == opaque and len(usual) == 2 * len(opaque)
    assert len({(case.obj, case.scene) for case in usual}) == len(usual)
