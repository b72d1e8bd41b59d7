"""Scenes at, on and under water."""

from __future__ import annotations

import numpy as np

from recipes.mini.world.paint import Canvas, mix, rgb
from recipes.mini.world.scenes import parts
from recipes.mini.world.scenes.parts import WHITE, pick, spread


def coral_reef(c: Canvas, rng: np.random.Generator) -> None:
    c.gradient([(0, rgb("#6fd3ef")), (0.35, rgb("#2a9fd6")), (0.75, rgb("#1470ad")), (1, rgb("#0f5590"))])
    parts.rays(c, rng, rng.uniform(0.3, 0.7), rgb("#c8f6ff"), 0.3, 6, 0.8)
    c.blend(c.below(c.curve(rng, 0.7, 0.06, 3), 4), rgb("#1b6d9e"))
    sand = c.below(c.curve(rng, 0.8, 0.025, 3))
    c.gradient([(0.76, rgb("#a5cdbd")), (1, rgb("#5c9aa8"))], sand)
    for x in spread(rng, 9):
        if rng.random() < 0.75 or abs(x - 0.5) > 0.25:
            _coral(c, rng, x, rng.uniform(0.78, 0.9), rng.uniform(0.1, 0.19) * (0.75 + 0.6 * abs(x - 0.5)))
    for _ in range(8):
        r = rng.uniform(0.010, 0.02)
        c.ellipse(rng.random(), rng.random() * 0.7, r, r, rgb("#d9f8ff"), 0.5, 0.3)


def _coral(c: Canvas, rng: np.random.Generator, x: float, base: float, size: float) -> None:
    colour = pick(rng, "#f0597a", "#f58a3c", "#b65cc9", "#f2c14a", "#e8434f")
    shape = rng.integers(3)
    if shape == 0:  # fingers
        for angle in np.linspace(-0.8, 0.8, 4):
            tip = (x + np.sin(angle) * size, base - np.cos(angle) * size)
            c.stroke([(x, base), tip], 0.034, colour)
            c.ellipse(*tip, 0.022, 0.022, mix(colour, WHITE, 0.3))
    elif shape == 1:  # a brain
        c.ellipse(x, base, size * 0.8, size * 0.62, mix(colour, (0, 0.1, 0.3), 0.2))
        c.ellipse(x - size * 0.15, base - size * 0.18, size * 0.5, size * 0.34, mix(colour, WHITE, 0.25), 0.8, 0.6)
    else:  # weed
        for k in (-1, 0, 1):
            parts.frond(
                c, x + k * 0.025, base, -np.pi / 2 + 0.25 * k, size * 1.5, pick(rng, "#2fa66a", "#58b948"), 0.16
            )


def sandy_beach(c: Canvas, rng: np.random.Generator) -> None:
    sky, horizon = pick(rng, "#57b4ee", "#6cc0f0", "#7fc4e4"), rng.uniform(0.36, 0.46)
    c.gradient([(0, sky), (horizon, mix(sky, WHITE, 0.75))])
    parts.clouds(c, rng, 3, 0.06, horizon - 0.1, WHITE, 0.85)
    sea = c.below(horizon)
    c.gradient([(horizon, rgb("#1f8fc0")), (horizon + 0.2, rgb("#5fd0d6"))], sea)
    parts.ripples(c, rng, horizon, horizon + 0.18, 10, rgb("#d5f6f6"), 0.6)
    shore = c.curve(rng, horizon + 0.2, 0.035, 2)
    c.blend(c.below(shore - 0.03, 3), rgb("#f4ffff"))
    sand = c.below(shore)
    c.gradient([(horizon + 0.15, rgb("#e6c98c")), (horizon + 0.28, rgb("#f7e2ae")), (1, rgb("#e9c987"))], sand)
    c.tint(c.noise(rng, 4, 9), 0.06, sand)
    if rng.random() < 0.6:
        x = rng.choice([0.06, 0.94]) + rng.uniform(-0.04, 0.04)
        c.stroke([(x, 0.86), (x + 0.02, 0.5), (x + 0.05 * np.sign(0.5 - x), 0.2)], 0.035, rgb("#8a643c"))
        for angle in np.linspace(-3.0, -0.15, 6):
            parts.frond(c, x + 0.05 * np.sign(0.5 - x), 0.2, angle, 0.26, pick(rng, "#3f9c45", "#2f8540"))


def beach_at_night(c: Canvas, rng: np.random.Generator) -> None:
    horizon = rng.uniform(0.38, 0.47)
    c.gradient([(0, rgb("#0c1638")), (horizon, rgb("#2c4680"))])
    parts.stars(c, rng, 26, horizon - 0.03)
    x = rng.uniform(0.15, 0.85)
    parts.moon(c, rng, x, rng.uniform(0.1, 0.2), 0.06)
    c.gradient([(horizon, rgb("#274273")), (horizon + 0.22, rgb("#16294f"))], c.below(horizon))
    for y in np.linspace(horizon + 0.015, horizon + 0.2, 9):
        c.ellipse(x + rng.uniform(-0.03, 0.03), y, rng.uniform(0.03, 0.09), 0.01, rgb("#b9c9ec"), 0.6, 0.5)
    shore = c.curve(rng, horizon + 0.21, 0.035, 2)
    c.blend(0.7 * c.below(shore - 0.025, 3), rgb("#8ea6d4"))
    sand = c.below(shore)
    c.gradient([(horizon + 0.2, rgb("#45517a")), (1, rgb("#2b3258"))], sand)
    c.tint(c.noise(rng, 4, 9), 0.1, sand)


def mountain_lake(c: Canvas, rng: np.random.Generator) -> None:
    sky, shore = pick(rng, "#6fb2ea", "#8fc3ea", "#a9cbe6"), rng.uniform(0.5, 0.56)
    c.gradient([(0, sky), (shore, mix(sky, WHITE, 0.7))])
    parts.clouds(c, rng, 2, 0.05, 0.16, WHITE, 0.8)
    for x in spread(rng, 4, 0.3, -0.1, 1.1):
        peak, wide = shore - rng.uniform(0.24, 0.4), rng.uniform(0.24, 0.32)
        c.poly([(x - wide, shore), (x, peak), (x + wide, shore)], rgb("#6d84a6"))
        c.poly([(x, peak), (x + wide, shore), (x + 0.1 * wide, shore)], rgb("#56698c"))
        k = 0.4
        c.poly(
            [
                (x, peak),
                (x - wide * k, peak + (shore - peak) * k),
                (x - 0.1 * wide, peak + (shore - peak) * 0.28),
                (x + 0.05 * wide, peak + (shore - peak) * 0.42),
                (x + wide * k * 0.9, peak + (shore - peak) * k * 0.9),
            ],
            rgb("#f7fbff"),
        )
    for x in spread(rng, 16):
        parts.fir(c, x, shore + 0.012, rng.uniform(0.08, 0.14), pick(rng, "#2f5f55", "#3a6b5b"))
    water = c.below(shore)
    c.image = (
        c.image * (1 - water[..., None]) + np.roll(c.image[::-1], round((2 * shore - 1) * c.size), 0) * water[..., None]
    )
    c.gradient([(shore, rgb("#6fa8cf")), (0.8, rgb("#3f86b8"))], water * 0.5)
    parts.ripples(c, rng, shore, 0.8, 12, rgb("#e2f3fb"), 0.45)
    bank = c.below(c.curve(rng, 0.8, 0.025, 3))
    c.gradient([(0.77, rgb("#86a25a")), (1, rgb("#5e8440"))], bank)
    parts.tufts(c, rng, 14, 0.83, [rgb("#6d9448"), rgb("#9ab562")])
    for x in rng.uniform(0, 1, 3):
        parts.rock(c, rng, x, rng.uniform(0.8, 0.86), rng.uniform(0.03, 0.055), rgb("#a0a5a8"))


def sunset_sea(c: Canvas, rng: np.random.Generator) -> None:
    horizon, x = rng.uniform(0.46, 0.56), rng.uniform(0.25, 0.75)
    top = pick(rng, "#5b3a7e", "#7a3f78", "#42407f")
    c.gradient([(0, top), (horizon * 0.55, rgb("#e0605a")), (horizon, rgb("#ffc25e"))])
    for y in spread(rng, 5, 0.4, 0.08, horizon - 0.08):
        c.ellipse(
            rng.random(),
            y,
            rng.uniform(0.15, 0.3),
            rng.uniform(0.014, 0.028),
            pick(rng, "#f08a62", "#b4527a", "#ffb070"),
            0.75,
            0.7,
        )
    sun = horizon - rng.uniform(0.0, 0.07)
    c.glow(x, sun, 0.16, rgb("#ffb347"), 0.55)
    c.ellipse(x, sun, 0.085, 0.085, rgb("#fff0b0"))
    c.gradient([(horizon, rgb("#f0924f")), (horizon + 0.12, rgb("#b3506a")), (1, rgb("#4a2c63"))], c.below(horizon))
    for y in np.linspace(horizon + 0.012, 0.98, 15):
        near = (y - horizon) / (1 - horizon)
        c.ellipse(
            x + rng.uniform(-0.05, 0.05) * (0.3 + near),
            y,
            rng.uniform(0.04, 0.1) * (0.6 + near),
            0.010 + 0.008 * near,
            rgb("#ffd27a"),
            0.7,
            0.4,
        )
    parts.ripples(c, rng, horizon, 1.0, 12, rgb("#d9748a"), 0.4)


def village_pond(c: Canvas, rng: np.random.Generator) -> None:
    sky, shore = pick(rng, "#9fd0ee", "#b9dbec", "#c9dfe2"), rng.uniform(0.46, 0.53)
    c.gradient([(0, sky), (shore, mix(sky, WHITE, 0.7))])
    c.gradient([(shore - 0.12, rgb("#86b45e")), (shore, rgb("#6a9c48"))], c.below(c.curve(rng, shore - 0.08, 0.03, 3)))
    for x in spread(rng, 3, 0.3):
        _cottage(c, rng, x, shore - 0.015, rng.uniform(0.13, 0.17))
    for x in spread(rng, 4, 0.5):
        parts.tree(c, rng, x, shore, rng.uniform(0.16, 0.24), rgb("#3f7a3a"), rgb("#86b94c"))
    water = c.below(c.curve(rng, shore, 0.01, 2))
    c.gradient([(shore, rgb("#93b9a4")), (shore + 0.15, rgb("#6b9d8f")), (1, rgb("#4b7f79"))], water)
    parts.ripples(c, rng, shore, 1.0, 10, rgb("#c9e2d6"), 0.5)
    for _ in range(7):
        y = rng.uniform(shore + 0.1, 0.97)
        c.ellipse(
            rng.random(), y, 0.035 + 0.03 * (y - shore), 0.017 + 0.012 * (y - shore), pick(rng, "#5fa34a", "#7cb657")
        )
    for side in (rng.uniform(0, 0.12), rng.uniform(0.88, 1)):
        for x in side + rng.uniform(-0.08, 0.08, 6):
            top = rng.uniform(0.52, 0.68)
            c.stroke([(x, 1.0), (x + rng.uniform(-0.03, 0.03), top)], 0.016, pick(rng, "#4f8a3a", "#6ba346"))
            c.ellipse(x, top + 0.02, 0.016, 0.05, rgb("#6d4a2a"), float(rng.random() < 0.5))


def _cottage(c: Canvas, rng: np.random.Generator, x: float, base: float, size: float) -> None:
    wall = pick(rng, "#f2e3c6", "#e9d0b0", "#f7efe0")
    c.box(x - size / 2, base - size * 0.5, x + size / 2, base, wall)
    c.poly(
        [
            (x - size * 0.62, base - size * 0.48),
            (x - size * 0.3, base - size),
            (x + size * 0.3, base - size),
            (x + size * 0.62, base - size * 0.48),
        ],
        pick(rng, "#b5523c", "#8f5a3a", "#a9743f"),
    )
    c.box(x - size * 0.12, base - size * 0.3, x + size * 0.08, base, rgb("#6f4a30"))
    c.box(x + size * 0.2, base - size * 0.34, x + size * 0.38, base - size * 0.15, rgb("#8fb6c9"))


def rocky_tide_pool(c: Canvas, rng: np.random.Generator) -> None:
    horizon = rng.uniform(0.22, 0.3)
    c.gradient([(0, rgb("#a7c7d9")), (horizon, rgb("#e4edef"))])
    c.gradient([(horizon, rgb("#4f8ba3")), (0.45, rgb("#7fb4bd"))], c.below(horizon))
    parts.ripples(c, rng, horizon, horizon + 0.12, 6, WHITE, 0.6)
    rocks = c.below(c.curve(rng, horizon + 0.14, 0.03, 5, True))
    c.gradient([(horizon + 0.1, rgb("#7d7468")), (1, rgb("#575049"))], rocks)
    c.tint(c.noise(rng, 8), 0.25, rocks)
    c.ellipse(0.5, 0.78, rng.uniform(0.4, 0.5), 0.2, rgb("#3f6f74"))
    c.ellipse(0.5, 0.785, 0.41, 0.175, rgb("#5fb3b5"), 1.0, 0.5)
    parts.ripples(c, rng, 0.64, 0.92, 6, rgb("#d9f5f2"), 0.5)
    for angle in np.linspace(0, 2 * np.pi, 13)[:-1] + rng.uniform(0, 0.4):
        parts.rock(
            c,
            rng,
            0.5 + 0.5 * np.cos(angle),
            0.78 + 0.22 * np.sin(angle),
            rng.uniform(0.07, 0.12),
            pick(rng, "#857b6e", "#6f675d", "#978b7a"),
        )
    for x in rng.uniform(0.15, 0.85, 4):
        c.ellipse(
            x,
            rng.choice([0.62, 0.95]) + rng.uniform(-0.03, 0.03),
            0.03,
            0.024,
            pick(rng, "#e2673a", "#b65cae", "#5f9a4a"),
        )


PAINTERS = {
    "coral reef": coral_reef,
    "sandy beach": sandy_beach,
    "beach at night": beach_at_night,
    "mountain lake": mountain_lake,
    "sunset sea": sunset_sea,
    "village pond": village_pond,
    "rocky tide pool": rocky_tide_pool,
}
