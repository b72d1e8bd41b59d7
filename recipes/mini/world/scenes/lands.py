"""Open land, and what lies above and below it."""

from __future__ import annotations

import numpy as np

from recipes.mini.world.paint import Canvas, mix, rgb
from recipes.mini.world.scenes import parts
from recipes.mini.world.scenes.parts import WHITE, pick, spread


def desert(c: Canvas, rng: np.random.Generator) -> None:
    sky, horizon = pick(rng, "#5aaee0", "#74b6dd", "#f0c27a"), rng.uniform(0.4, 0.5)
    c.gradient([(0, sky), (horizon, rgb("#fbe6bb"))])
    c.glow(rng.uniform(0.1, 0.9), 0.12, 0.08, rgb("#fff5cf"), 0.9)
    if rng.random() < 0.6:
        x = rng.uniform(0.1, 0.9)
        c.poly(
            [
                (x - 0.2, horizon + 0.03),
                (x - 0.15, horizon - 0.12),
                (x + 0.1, horizon - 0.12),
                (x + 0.16, horizon + 0.03),
            ],
            rgb("#c8764a"),
        )
    tones = ("#e3a75c", "#eab669", "#d9974c", "#f0c277")
    for k in range(4):
        line = c.curve(rng, horizon + 0.02 + 0.13 * k, 0.045, 2 + k % 2)
        mask = c.below(line)
        c.gradient(
            [(horizon + 0.13 * k, mix(rgb(tones[k]), WHITE, 0.18)), (horizon + 0.13 * k + 0.3, rgb(tones[k]))], mask
        )
        ridge = np.clip(np.gradient(line) * 60, -0.25, 0.25)[None, :] * np.exp(-np.clip(c.y - line[None], 0, 1) * 9)
        c.image *= (1 - ridge * mask)[..., None]
    for x in rng.uniform(0, 1, rng.integers(1, 4)):
        base, tall = horizon + rng.uniform(0.06, 0.14), rng.uniform(0.1, 0.16)
        green = rgb("#4f8050")
        c.stroke([(x, base), (x, base - tall)], 0.03, green)
        c.stroke([(x, base - tall * 0.35), (x + 0.05, base - tall * 0.4), (x + 0.05, base - tall * 0.7)], 0.022, green)


def meadow(c: Canvas, rng: np.random.Generator) -> None:
    sky, horizon = pick(rng, "#63b5f0", "#7fc4f2", "#96cdf0"), rng.uniform(0.42, 0.52)
    c.gradient([(0, sky), (horizon, mix(sky, WHITE, 0.8))])
    parts.clouds(c, rng, 3, 0.07, 0.24, WHITE, 0.9)
    c.blend(c.below(c.curve(rng, horizon - 0.06, 0.05, 2)), rgb("#8fc27c"))
    ground = c.below(c.curve(rng, horizon, 0.035, 2))
    c.gradient([(horizon, rgb("#a5d65c")), (1, rgb("#56a03a"))], ground)
    c.tint(c.noise(rng, 4, 8), 0.1, ground)
    parts.tufts(c, rng, 22, horizon + 0.1, [rgb("#4f9a38"), rgb("#8cc94f"), rgb("#6db444")])
    for y in np.sort(rng.uniform(horizon + 0.06, 1.0, 26)):
        r, x = 0.010 + 0.017 * (y - horizon), rng.random()
        c.ellipse(x, y, r, r, pick(rng, "#f25c7a", "#ffffff", "#f7d23e", "#b06be0", "#f25c7a"))


def starry_night(c: Canvas, rng: np.random.Generator) -> None:
    c.gradient([(0, rgb("#120f38")), (0.4, rgb("#2d2368")), (0.7, rgb("#6b4290"))])
    a, b = rng.uniform(-0.6, 0.6), rng.uniform(0.2, 0.4)
    band = np.exp(-(((c.y - b - a * (c.x - 0.5)) / 0.12) ** 2)) * (0.5 + c.noise(rng, 6))
    c.image += (band * 0.2)[..., None] * rgb("#b79ae8")
    parts.stars(c, rng, 60, 0.66)
    c.blend(c.below(c.curve(rng, 0.68, 0.05, 3)), rgb("#2b2352"))
    hill = c.below(c.curve(rng, 0.76, 0.03, 2))
    c.gradient([(0.72, rgb("#262a50")), (1, rgb("#15182f"))], hill)
    for x in spread(rng, 3, 0.5):
        parts.fir(c, x, 0.77, rng.uniform(0.1, 0.18), rgb("#171833"))
    parts.tufts(c, rng, 12, 0.84, [rgb("#333a66"), rgb("#1f2548")])


def moon_surface(c: Canvas, rng: np.random.Generator) -> None:
    c.image[:] = rgb("#07080f")
    horizon = rng.uniform(0.42, 0.52)
    parts.stars(c, rng, 26, horizon)
    x, y = rng.uniform(0.15, 0.85), rng.uniform(0.1, 0.22)
    c.glow(x, y, 0.12, rgb("#3d7fd0"), 0.35)
    c.ellipse(x, y, 0.085, 0.085, rgb("#2f6fc4"))
    c.ellipse(x - 0.025, y - 0.015, 0.035, 0.028, rgb("#5fae62"), 1.0, 0.3)
    c.ellipse(x + 0.03, y + 0.03, 0.04, 0.018, rgb("#f2f7ff"), 0.9, 0.4)
    ground = c.below(c.curve(rng, horizon, 0.04, 4, True))
    c.gradient([(horizon, rgb("#85878f")), (0.7, rgb("#b3b4ba")), (1, rgb("#8b8c94"))], ground)
    c.tint(c.noise(rng, 6, 10), 0.12, ground)
    for y in np.sort(rng.uniform(horizon + 0.08, 1.0, 9)):
        size, x = 0.03 + 0.13 * (y - horizon), rng.random()
        c.ellipse(x, y, size, size * 0.36, rgb("#6d6f78"))
        c.ellipse(x, y + size * 0.1, size * 0.86, size * 0.25, rgb("#9a9ca5"), 1.0, 0.4)
        c.ellipse(x, y + size * 0.33, size * 0.8, size * 0.06, rgb("#d3d4d9"), 0.8, 0.6)


def dark_cave(c: Canvas, rng: np.random.Generator) -> None:
    c.image[:] = rgb("#2a1e1c")
    c.tint(c.noise(rng, 5), 0.35)
    x, y = rng.uniform(0.3, 0.7), rng.uniform(0.36, 0.46)
    c.glow(x, y, 0.2, rgb("#d98a4a"), 0.55)
    c.ellipse(x, y, 0.17, 0.2, rgb("#f0b777"), 0.55, 0.8)
    floor = c.below(c.curve(rng, 0.66, 0.03, 4))
    c.gradient([(0.63, rgb("#5d4236")), (1, rgb("#33241f"))], floor)
    c.tint(c.noise(rng, 7, 9), 0.2, floor)
    dark = rgb("#1b1314")
    for px in spread(rng, 8, 0.4):
        long, wide = rng.uniform(0.12, 0.34) * (0.5 + abs(px - x)), rng.uniform(0.035, 0.06)
        c.poly([(px - wide, -0.02), (px + wide, -0.02), (px + 0.1 * wide, long)], dark)
        c.poly([(px - wide * 0.3, -0.02), (px + 0.2 * wide, -0.02), (px + 0.1 * wide, long)], rgb("#46322b"))
    for px in spread(rng, 6, 0.4):
        if abs(px - 0.5) > 0.2:
            tall, base = rng.uniform(0.08, 0.2), rng.uniform(0.7, 0.82)
            c.poly([(px - 0.05, base), (px, base - tall), (px + 0.05, base)], rgb("#2a1c19"))
            c.poly([(px - 0.02, base), (px, base - tall), (px + 0.01, base)], rgb("#6a4a3a"))
    edge = np.clip((np.sqrt(((c.x - 0.5) / 0.62) ** 2 + ((c.y - 0.5) / 0.66) ** 2) - 0.65) * 2, 0, 0.85)
    c.blend(edge, rgb("#120c0e"))


def foggy_moor(c: Canvas, rng: np.random.Generator) -> None:
    fog = pick(rng, "#c3c9ca", "#bfc4c8", "#cdccc6")
    c.gradient([(0, mix(fog, rgb("#8f9aa0"), 0.3)), (0.5, fog)])
    for k, amount in enumerate((0.75, 0.55, 0.3, 0.12)):
        c.blend(c.below(c.curve(rng, 0.42 + 0.12 * k, 0.035, 2), 3), mix(rgb("#5f6a52"), fog, amount))
        c.blend(0.55 * np.clip(c.noise(rng, 3, 6), 0, 1) * c.below(0.4 + 0.12 * k, 9), fog)
    if rng.random() < 0.7:
        x = rng.choice([0.15, 0.85]) + rng.uniform(-0.06, 0.06)
        bare = mix(rgb("#3b3a36"), fog, 0.35)
        c.stroke([(x, 0.64), (x + 0.01, 0.34)], 0.028, bare)
        for angle in (-2.5, -2.0, -1.1, -0.6):
            c.stroke([(x + 0.005, 0.45), (x + np.cos(angle) * 0.13, 0.42 + np.sin(angle) * 0.13)], 0.014, bare)
    parts.tufts(c, rng, 26, 0.76, [rgb("#6f7652"), rgb("#8b865c"), rgb("#565f45")], 0.075)


def backyard_garden(c: Canvas, rng: np.random.Generator) -> None:
    sky = pick(rng, "#83c8f2", "#a5d6f0")
    c.gradient([(0, sky), (0.4, mix(sky, WHITE, 0.7))])
    for x in spread(rng, 3, 0.4):
        parts.crown(c, rng, x, rng.uniform(0.2, 0.28), 0.15, rgb("#3f8238"), rgb("#8cc653"))
    fence, top = pick(rng, "#f7f2e8", "#d9b98a", "#c79a68"), rng.uniform(0.34, 0.4)
    c.box(0, top + 0.06, 1, top + 0.085, mix(fence, (0, 0, 0), 0.15))
    for x in np.arange(0, 1.01, 0.085) + rng.uniform(-0.04, 0.04):
        c.poly(
            [(x - 0.03, 0.62), (x - 0.03, top + 0.02), (x, top - 0.02), (x + 0.03, top + 0.02), (x + 0.03, 0.62)], fence
        )
    for x in spread(rng, 9):
        parts.crown(c, rng, x, 0.58, rng.uniform(0.055, 0.075), rgb("#3f8a3c"), rgb("#79bb4c"))
        for dx, dy in rng.uniform(-0.045, 0.045, (3, 2)):
            c.ellipse(x + dx, 0.57 + dy, 0.017, 0.017, pick(rng, "#f0567a", "#fff6f0", "#f5c93c", "#c26be0"))
    lawn = c.below(c.curve(rng, 0.62, 0.006, 2))
    stripes = 0.5 + 0.5 * np.sign(np.sin((c.x - 0.5) / (c.y + 0.1) * 16))
    c.gradient([(0.62, rgb("#93cc58")), (1, rgb("#5fae3f"))], lawn)
    c.tint(np.broadcast_to(stripes, lawn.shape), 0.05, lawn)


PAINTERS = {
    "desert": desert,
    "meadow": meadow,
    "starry night": starry_night,
    "moon surface": moon_surface,
    "dark cave": dark_cave,
    "foggy moor": foggy_moor,
    "backyard garden": backyard_garden,
}
