"""What a saving costs is measured against the exact mode."""

import numpy as np

from layerfusion import LayerFusionConfig
from recipes.mini import cheaper


def a_case(seed: int, gain: float = 1.0, shift: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    alpha = np.zeros((64, 64))
    alpha[16:48, 16 + shift : 48 + shift] = 1
    rgb = 0.2 + 0.3 * rng.random((64, 64, 3))
    light = np.array([1.0, 0.6 + 0.05 * seed, 0.8 - 0.05 * seed]) * gain
    return {"foreground": np.dstack([rgb, alpha]), "blended": rgb * light}


def test_the_exact_mode_against_itself_is_perfect():
    exact = [a_case(seed) for seed in range(4)]
    row = cheaper.compared(exact, exact)
    assert row["alpha IoU"] == [1, 1, 1] and row["wholeness, less the exact one's"] == [0, 0, 0]
    assert row["slope of gains on the exact ones"] == row["r"] == 1


def test_what_a_saving_changes_shows():
    exact = [a_case(seed) for seed in range(4)]
    moved = cheaper.compared([a_case(seed, shift=4) for seed in range(4)], exact)
    assert moved["alpha IoU"][0] < 0.8
    unlit = [case | {"blended": case["foreground"][..., :3]} for case in exact]
    assert abs(cheaper.compared(unlit, exact)["slope of gains on the exact ones"]) < 0.01


def test_each_saving_is_another_mode():
    tried = cheaper.savings(LayerFusionConfig.paper())
    assert len(set(tried.values())) == len(tried)
