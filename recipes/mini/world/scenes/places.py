"""Places that people made."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from recipes.mini.world.paint import Canvas, mix, rgb
from recipes.mini.world.scenes.parts import WHITE, pick, spread


def city_street(c: Canvas, rng: np.random.Generator) -> None:
    sky = pick(rng, "#a9c6e2", "#b8c8d8", "#e3c9b4")
    c.gradient([(0, sky), (0.5, mix(sky, WHITE, 0.6))])
    horizon, vanish = rng.uniform(0.5, 0.56), rng.uniform(0.42, 0.58)
    for x in spread(rng, 6):
        tall = rng.uniform(0.16, 0.3)
        c.box(x - 0.07, horizon - tall, x + 0.07, horizon, mix(sky, rgb("#5f6e86"), 0.45))
    for side in (-1, 1):
        edge = 0.0 if side < 0 else 1.0
        steps = [edge, edge + (vanish - edge) * 0.38, edge + (vanish - edge) * 0.66]
        for near, far in pairwise(steps):
            tall = rng.uniform(0.5, 0.68)
            _facade(c, rng, near, far, vanish, horizon, tall)
    c.poly([(vanish - 0.1, horizon), (vanish + 0.1, horizon), (1.4, 1.02), (-0.4, 1.02)], rgb("#b9b3ab"))
    c.poly([(vanish - 0.06, horizon), (vanish + 0.06, horizon), (1.05, 1.02), (-0.05, 1.02)], rgb("#5b5e67"))
    for t in (0.12, 0.3, 0.55, 0.85):
        y0, y1 = horizon + (1 - horizon) * t, horizon + (1 - horizon) * (t + 0.1 + 0.08 * t)
        w0, w1 = 0.006 + 0.022 * t, 0.008 + 0.028 * t
        x0, x1 = vanish + (0.5 - vanish) * t, vanish + (0.5 - vanish) * (t + 0.15)
        c.poly([(x0 - w0, y0), (x0 + w0, y0), (x1 + w1, y1), (x1 - w1, y1)], rgb("#f2ead2"))


def _facade(
    c: Canvas, rng: np.random.Generator, near: float, far: float, vanish: float, horizon: float, tall: float
) -> None:
    """A row of windows seen at a slant, from x = near to x = far."""

    def at(x: float, up: float) -> tuple[float, float]:
        depth = abs(x - vanish) / 0.5
        return x, horizon + depth * (0.3 * (1 - up) - tall * up)

    wall = pick(rng, "#b5654a", "#c9a57c", "#8d94a3", "#d7c0a0", "#a0786a")
    c.poly(
        [at(near, 0), at(near, 1), at(far, 1), at(far, 0)], wall if near in (0.0, 1.0) else mix(wall, (0, 0, 0), 0.08)
    )
    glass = pick(rng, "#4d6684", "#f3dc9a", "#6f8aa8")
    for column in (0.2, 0.6):
        for row in (0.36, 0.6, 0.82):
            a, b = near + (far - near) * column, near + (far - near) * (column + 0.24)
            c.poly([at(a, row), at(a, row + 0.12), at(b, row + 0.12), at(b, row)], glass)


def wooden_table(c: Canvas, rng: np.random.Generator) -> None:
    wall = pick(rng, "#d9c9ae", "#c7b8a6", "#b9c2b4", "#cbb09a")
    edge = rng.uniform(0.46, 0.54)
    c.gradient([(0, mix(wall, WHITE, 0.2)), (edge, mix(wall, (0, 0, 0), 0.18))])
    x = rng.choice([0.18, 0.82]) + rng.uniform(-0.06, 0.06)
    c.glow(x, 0.1, 0.25, rgb("#fff0c8"), 0.3)
    wood = pick(rng, "#a9693a", "#8f5730", "#bb7c45")
    table = c.below(edge)
    c.gradient([(edge, mix(wood, WHITE, 0.22)), (1, mix(wood, (0, 0, 0), 0.08))], table)
    grain = np.sin((c.noise(rng, 3, 5) * 2.2 + (c.x - 0.5) / (c.y - edge + 0.55) * 2.5) * 5)
    c.tint(0.5 + 0.5 * grain, 0.08, table)
    for k in np.arange(-6, 7) + rng.uniform(-0.4, 0.4):
        c.stroke([(0.5 + k * 0.12, edge), (0.5 + k * 0.27, 1.02)], 0.008, mix(wood, (0, 0, 0), 0.5), 0.8)
    c.box(0, edge - 0.006, 1, edge + 0.01, mix(wood, WHITE, 0.4))


def kitchen(c: Canvas, rng: np.random.Generator) -> None:
    wall, doors = pick(rng, "#f3efe4", "#e4eeee", "#f5e6d3"), pick(rng, "#5b93a8", "#7fa56f", "#d9d4ca", "#c96f54")
    c.image[:] = wall
    counter = rng.uniform(0.6, 0.66)
    tile = 0.09
    for y in np.arange(counter - 4 * tile, counter, tile):
        for x in np.arange(-0.02, 1, tile):
            c.box(
                x + 0.006,
                y + 0.006,
                x + tile - 0.006,
                y + tile - 0.006,
                mix(wall, pick(rng, "#a9cdd2", "#c7dcd6", "#b7c9d8"), 0.75),
            )
    wx = rng.uniform(0.3, 0.7)
    c.box(wx - 0.17, 0.02, wx + 0.17, 0.32, rgb("#ffffff"))
    for sx in (-1, 1):
        c.box(wx + (0.08 * sx) - 0.07, 0.045, wx + (0.08 * sx) + 0.07, 0.295, rgb("#a9dcf5"))
    for side in (-0.02, wx + 0.22):
        wide = wx - 0.2 if side < 0 else 1.02 - side
        c.box(side, -0.02, side + wide, 0.2, doors)
        c.box(side + 0.02, -0.02, side + wide - 0.02, 0.18, mix(doors, WHITE, 0.18))
    for x in (rng.uniform(0.03, 0.12), rng.uniform(0.88, 0.97)):
        colour = pick(rng, "#d9583f", "#f0b93a", "#5f8fb5", "#f4f0e8")
        c.box(x - 0.045, counter - 0.12, x + 0.045, counter, colour)
        c.ellipse(x, counter - 0.12, 0.045, 0.018, mix(colour, WHITE, 0.35))
    top = pick(rng, "#c79a66", "#e2ddd4", "#6f6a66")
    c.gradient([(counter, mix(top, WHITE, 0.2)), (1, top)], c.below(counter))
    c.box(0, counter - 0.005, 1, counter + 0.014, mix(top, WHITE, 0.5))
    c.tint(c.noise(rng, 4, 6), 0.05, c.below(counter))


def library_shelf(c: Canvas, rng: np.random.Generator) -> None:
    wood = pick(rng, "#6d452a", "#835431", "#573622")
    c.image[:] = mix(wood, (0, 0, 0), 0.45)
    floor = rng.uniform(0.7, 0.76)
    for top in (-0.06, floor / 3 - 0.02, 2 * floor / 3 - 0.02):
        low, x = top + floor / 3, rng.uniform(-0.03, 0)
        while x < 1:
            wide, tall = rng.uniform(0.035, 0.065), rng.uniform(0.7, 0.95) * (floor / 3 - 0.03)
            book = pick(rng, "#a83a32", "#2f5f7f", "#3f7a4a", "#c99a3a", "#6a4a86", "#d8cbb0", "#7a2f2f")
            c.box(x, low - tall, x + wide - 0.006, low, book)
            c.box(x, low - tall * 0.8, x + wide - 0.006, low - tall * 0.68, mix(book, rgb("#f3d88a"), 0.6))
            x += wide
        c.box(0, low - 0.008, 1, low + 0.022, mix(wood, WHITE, 0.12))
    c.gradient([(floor, mix(wood, WHITE, 0.25)), (1, wood)], c.below(floor))
    c.box(0, floor, 1, floor + 0.015, mix(wood, WHITE, 0.4))
    c.glow(rng.uniform(0.2, 0.8), 0.2, 0.35, rgb("#ffdf9a"), 0.18)


PAINTERS = {
    "city street": city_street,
    "wooden table": wooden_table,
    "kitchen": kitchen,
    "library shelf": library_shelf,
}
