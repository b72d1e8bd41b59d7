"""Forests of every weather."""

from __future__ import annotations

import numpy as np

from recipes.mini.world.paint import Canvas, mix, rgb
from recipes.mini.world.scenes import parts
from recipes.mini.world.scenes.parts import WHITE, pick, spread


def snowy_forest(c: Canvas, rng: np.random.Generator) -> None:
    sky = pick(rng, "#a9c9ec", "#b9d3ea", "#c3cfe6")
    horizon = rng.uniform(0.5, 0.62)
    c.gradient([(0, sky), (horizon, mix(sky, WHITE, 0.7)), (1, WHITE)])
    c.blend(c.below(c.curve(rng, horizon - 0.14, 0.05, 4)), rgb("#b4cbe0"))
    for x in spread(rng, 9):
        parts.fir(c, x, horizon + 0.02, rng.uniform(0.22, 0.34), rgb("#86a7b8"), rgb("#dfeaf3"))
    ground = c.below(c.curve(rng, horizon, 0.02, 3))
    c.gradient([(horizon, rgb("#e3edf8")), (0.8, rgb("#f6f9fd")), (1, rgb("#d9e6f5"))], ground)
    c.tint(c.noise(rng, 5, 8), 0.05, ground)
    for x in spread(rng, 5, 0.4):
        if abs(x - 0.5) > 0.17 or rng.random() < 0.4:
            parts.fir(
                c,
                x,
                horizon + rng.uniform(0.03, 0.12),
                rng.uniform(0.42, 0.62),
                pick(rng, "#2f6656", "#38705a", "#2b5a58"),
                rgb("#f4f9ff"),
            )
    for _ in range(24):
        r = rng.uniform(0.010, 0.016)
        c.ellipse(rng.random(), rng.random() * 0.9, r, r, WHITE, 0.85, 0.5)


def tropical_rainforest(c: Canvas, rng: np.random.Generator) -> None:
    c.gradient([(0, rgb("#3d7a3a")), (0.35, rgb("#a5c65a")), (0.6, rgb("#4c8138")), (1, rgb("#20401f"))])
    c.tint(c.noise(rng, 6), 0.25)
    parts.rays(c, rng, rng.uniform(0.2, 0.8), rgb("#f0ffb0"), 0.35)
    for x in spread(rng, 5):
        parts.trunk(c, rng, x, rng.uniform(0.66, 0.74), rng.uniform(0.04, 0.07), rgb("#4b4a2c"))
    ground = c.below(c.curve(rng, 0.72, 0.03, 3))
    c.gradient([(0.68, rgb("#4d6b2b")), (1, rgb("#2a3b1a"))], ground)
    greens = [rgb(code) for code in ("#2f8f3c", "#1f6e36", "#57a83c", "#237d4a")]
    for x in spread(rng, 7):
        for angle in rng.uniform(-2.9, -0.25, 4):
            parts.frond(c, x, 0.76 + rng.uniform(-0.04, 0.04), angle, rng.uniform(0.14, 0.26), greens[rng.integers(4)])
    for side in (0.0, 1.0):
        for angle in np.linspace(0.15, 1.2, 4) if side == 0 else np.pi - np.linspace(0.15, 1.2, 4):
            parts.frond(
                c,
                side + rng.uniform(-0.05, 0.05),
                rng.uniform(-0.02, 0.3),
                angle,
                rng.uniform(0.3, 0.42),
                mix(greens[rng.integers(4)], (0, 0, 0), 0.2),
            )
    for x in rng.uniform(0, 1, 4):
        c.ellipse(x, rng.uniform(0.66, 0.78), 0.022, 0.02, pick(rng, "#e8487a", "#f2902d", "#f5d53d"))


def rainy_forest(c: Canvas, rng: np.random.Generator) -> None:
    c.gradient([(0, rgb("#76888c")), (0.45, rgb("#a3b0ae")), (0.62, rgb("#6b7f77"))])
    for x in spread(rng, 9):
        parts.trunk(c, rng, x, 0.62, rng.uniform(0.02, 0.04), rgb("#7d8d8b"))
    for x in spread(rng, 5, 0.45):
        parts.trunk(c, rng, x, rng.uniform(0.66, 0.74), rng.uniform(0.05, 0.08), pick(rng, "#3c4a45", "#47504a"))
    c.gradient([(0, rgb("#34504a")), (0.3, rgb("#4a6a60"))], 0.85 * (1 - c.below(c.curve(rng, 0.16, 0.07, 5), 4)))
    ground = c.below(c.curve(rng, 0.66, 0.02, 3))
    c.gradient([(0.64, rgb("#5d7062")), (1, rgb("#33443c"))], ground)
    for y in spread(rng, 4, 0.4, 0.72, 0.99):
        c.ellipse(rng.random(), y, rng.uniform(0.12, 0.2), 0.022, rgb("#98aaad"), 0.8, 0.3)
    for _ in range(34):
        x, y, long = rng.uniform(-0.1, 1), rng.uniform(-0.1, 0.95), rng.uniform(0.06, 0.12)
        c.poly(
            [(x, y), (x + 0.010, y), (x + 0.010 + 0.25 * long, y + long), (x + 0.25 * long, y + long)],
            rgb("#d8e4e6"),
            0.5,
        )


def sunny_forest(c: Canvas, rng: np.random.Generator) -> None:
    sun = rng.uniform(0.2, 0.8)
    c.gradient([(0, rgb("#a9d36a")), (0.4, rgb("#f1f3b0")), (0.6, rgb("#b5cf62")), (1, rgb("#5f8a35"))])
    c.glow(sun, 0.25, 0.25, rgb("#fff3b0"), 0.35)
    for x in spread(rng, 8):
        parts.trunk(c, rng, x, 0.6, rng.uniform(0.02, 0.035), rgb("#b09a62"))
    for x in spread(rng, 4, 0.45):
        parts.trunk(c, rng, x, rng.uniform(0.64, 0.7), rng.uniform(0.06, 0.085), rgb("#6e4f30"))
    for x in spread(rng, 7):
        parts.crown(c, rng, x, rng.uniform(-0.02, 0.07), 0.13, rgb("#5f9a35"), rgb("#b9dc55"))
    ground = c.below(c.curve(rng, 0.64, 0.02, 3))
    c.gradient([(0.62, rgb("#9fc24f")), (1, rgb("#4f8030"))], ground)
    c.tint(np.clip(c.noise(rng, 6, 10) * 1.6 - 0.3, 0, 1), 0.22, ground)
    parts.tufts(c, rng, 18, 0.68, [rgb("#6fa33a"), rgb("#a9ca4e")])
    parts.rays(c, rng, sun, rgb("#fff6b8"), 0.32)


def autumn_park(c: Canvas, rng: np.random.Generator) -> None:
    c.gradient([(0, pick(rng, "#a7cfe6", "#bcd6e2", "#d8d7c8")), (0.55, rgb("#f8e7c4"))])
    horizon = rng.uniform(0.56, 0.63)
    golds = [rgb(code) for code in ("#d9772a", "#e6a02e", "#c2492a", "#eebb3f")]
    for x in spread(rng, 8):
        parts.crown(c, rng, x, horizon - 0.08, 0.1, mix(golds[rng.integers(4)], rgb("#e8cfa8"), 0.4), rgb("#f5dca6"))
    ground = c.below(c.curve(rng, horizon, 0.012, 3))
    c.gradient([(horizon, rgb("#c9a24e")), (1, rgb("#a96a2c"))], ground)
    bend = rng.uniform(-0.2, 0.2)
    c.poly(
        [(0.48 + bend, horizon + 0.01), (0.54 + bend, horizon + 0.01), (0.86, 1.02), (0.2, 1.02)], rgb("#dcc49a"), 0.75
    )
    for x in spread(rng, 4, 0.3):
        if abs(x - 0.5 - bend) > 0.1:
            gold = golds[rng.integers(4)]
            parts.tree(
                c,
                rng,
                x,
                horizon + rng.uniform(0.02, 0.1),
                rng.uniform(0.48, 0.62),
                mix(gold, (0.3, 0.1, 0), 0.2),
                mix(gold, rgb("#ffd860"), 0.5),
            )
    parts.leaves(c, rng, 46, horizon + 0.04, golds)


def forest_floor(c: Canvas, rng: np.random.Generator) -> None:
    c.gradient([(0, rgb("#4a3b28")), (0.3, rgb("#7a5a33")), (1, rgb("#593c20"))])
    for x in spread(rng, 5):
        parts.trunk(c, rng, x, rng.uniform(0.2, 0.27), rng.uniform(0.07, 0.11), rgb("#3b2c1f"))
    c.blend(c.below(c.curve(rng, 0.22, 0.02, 3), 5), rgb("#6c4a28"))
    c.tint(c.noise(rng, 7), 0.25)
    parts.leaves(
        c, rng, 120, 0.22, [rgb(code) for code in ("#b5642a", "#8a4a22", "#d18f3a", "#a3772f", "#6d4524")], 0.055
    )


PAINTERS = {
    "snowy forest": snowy_forest,
    "tropical rainforest": tropical_rainforest,
    "rainy forest": rainy_forest,
    "sunny forest": sunny_forest,
    "autumn park": autumn_park,
    "forest floor with leaves": forest_floor,
}
