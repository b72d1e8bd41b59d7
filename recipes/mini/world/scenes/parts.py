"""Parts that several scenes share: trees, hills, clouds, stars, rocks, grass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recipes.mini.world.paint import Canvas, Colour, mix, rgb

WHITE = rgb("#ffffff")


def pick(rng: np.random.Generator, *codes: str) -> np.ndarray:
    """One of several colours, at random."""
    return rgb(codes[rng.integers(len(codes))])


def spread(
    rng: np.random.Generator, count: int, jitter: float = 0.35, low: float = 0.0, high: float = 1.0
) -> np.ndarray:
    """`count` positions between `low` and `high`, evenly spaced but for some jitter."""
    return low + (high - low) * (np.arange(count) + 0.5 + rng.uniform(-jitter, jitter, count)) / count


def clouds(
    c: Canvas, rng: np.random.Generator, count: int, top: float, bottom: float, colour: Colour, alpha: float
) -> None:
    """Heaps of soft discs."""
    for x in spread(rng, count, 0.5):
        y, size = rng.uniform(top, bottom), rng.uniform(0.05, 0.1)
        for k in range(4):
            c.ellipse(x + (k - 1.5) * size, y - size * 0.35 * (k in (1, 2)), size * 1.1, size * 0.6, colour, alpha, 0.7)


def stars(c: Canvas, rng: np.random.Generator, count: int, low: float) -> None:
    """Points of light, the brighter the larger, above y = `low`."""
    for _ in range(count):
        radius = rng.uniform(0.008, 0.016)
        c.ellipse(rng.random(), rng.random() * low, radius, radius, (1, 0.98, 0.9), rng.uniform(0.6, 1.0), 0.6)


def moon(c: Canvas, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    """A full moon with its halo."""
    c.glow(x, y, radius * 2.4, (0.55, 0.6, 0.75), 0.45)
    c.ellipse(x, y, radius, radius, rgb("#fdf8e4"))
    for _ in range(3):
        dx, dy = rng.uniform(-0.5, 0.5, 2) * radius
        c.ellipse(x + dx, y + dy, radius * 0.24, radius * 0.2, rgb("#e2dcc4"), 0.8)


def fir(c: Canvas, x: float, base: float, height: float, colour: Colour, snow: Colour | None = None) -> None:
    """A conifer of four tiers, with snow on its left-hand edges when a snow colour is given."""
    c.box(x - 0.03 * height, base - 0.12 * height, x + 0.03 * height, base, mix(colour, rgb("#3a2a20"), 0.6))
    for tier in range(4):
        low, high = base - height * (0.08 + 0.22 * tier), base - height * (0.42 + 0.195 * tier)
        wide = height * (0.27 - 0.052 * tier)
        c.poly([(x - wide, low), (x, high), (x + wide, low)], mix(colour, WHITE, 0.03 * tier))
        if snow is not None:
            c.poly(
                [
                    (x - wide, low),
                    (x, high),
                    (x + 0.45 * wide, low - 0.45 * (low - high)),
                    (x - 0.2 * wide, low - 0.3 * (low - high)),
                ],
                snow,
            )


def trunk(
    c: Canvas, rng: np.random.Generator, x: float, base: float, width: float, colour: Colour, top: float = -0.05
) -> None:
    """A tree trunk that leaves the picture at the top, lit from one side."""
    lean = rng.uniform(-0.03, 0.03)
    edge = [(x - 0.8 * width, base), (x - 0.5 * width, base - 0.06), (x - 0.4 * width + lean, top)]
    other = [(x + 0.4 * width + lean, top), (x + 0.5 * width, base - 0.06), (x + 0.8 * width, base)]
    c.poly(edge + other, colour)
    c.poly(
        [
            (x - 0.5 * width, base - 0.06),
            (x - 0.4 * width + lean, top),
            (x - 0.1 * width + lean, top),
            (x - 0.15 * width, base - 0.04),
        ],
        mix(colour, WHITE, 0.2),
        0.7,
    )


def crown(
    c: Canvas, rng: np.random.Generator, x: float, y: float, radius: float, colour: Colour, light: Colour
) -> None:
    """The leaves of a broad-leaved tree: dark heaps below, light ones above."""
    for k in range(9):
        angle = 2 * np.pi * k / 9
        dx, dy = np.cos(angle) * radius * 0.6, np.sin(angle) * radius * 0.5
        size = radius * rng.uniform(0.42, 0.6)
        shade = mix(colour, light, float(np.clip(0.45 - dy / radius, 0, 1)))
        c.ellipse(x + dx, y + dy, size, size * 0.9, shade, 1.0, 0.12)
    c.ellipse(x, y - radius * 0.1, radius * 0.55, radius * 0.5, mix(colour, light, 0.5), 0.9, 0.3)


def tree(
    c: Canvas, rng: np.random.Generator, x: float, base: float, height: float, colour: Colour, light: Colour
) -> None:
    """A broad-leaved tree."""
    c.poly(
        [
            (x - 0.05 * height, base),
            (x - 0.025 * height, base - height * 0.5),
            (x + 0.025 * height, base - height * 0.5),
            (x + 0.05 * height, base),
        ],
        rgb("#5b4130"),
    )
    crown(c, rng, x, base - height * 0.66, height * 0.36, colour, light)


def frond(c: Canvas, x: float, y: float, angle: float, length: float, colour: Colour, width: float = 0.22) -> None:
    """A bending leaf, from its root at (x, y)."""
    steps = np.linspace(0, 1, 9)
    bend = angle + np.sign(np.cos(angle) or 1) * steps * 0.9
    xs, ys = x + np.cumsum(np.cos(bend)) * length / 9, y + np.cumsum(np.sin(bend)) * length / 9
    half = width * length * np.sin(np.pi * np.clip(steps * 0.96 + 0.02, 0, 1)) / 2
    normal = np.stack([-np.sin(bend), np.cos(bend)], -1)
    spine = np.stack([xs, ys], -1)
    c.poly(np.concatenate([spine + normal * half[:, None], (spine - normal * half[:, None])[::-1]]), colour)
    c.stroke(list(zip(xs[:-1], ys[:-1], strict=True)), 0.008, mix(colour, WHITE, 0.25), 0.6)


def rock(c: Canvas, rng: np.random.Generator, x: float, y: float, size: float, colour: Colour) -> None:
    """A boulder: a dark body with a lit top plane."""
    angles = np.linspace(np.pi, 2 * np.pi, 7)
    radii = size * rng.uniform(0.8, 1.1, 7)
    top = [(x + np.cos(a) * r, y + np.sin(a) * r * 0.7) for a, r in zip(angles, radii, strict=True)]
    c.poly([*top, (x + size * 0.9, y + size * 0.12), (x - size * 0.9, y + size * 0.12)], mix(colour, (0, 0, 0), 0.22))
    c.poly(
        [(px - 0.08 * size + 0.25 * (x - px), py + 0.25 * (y - py) - 0.05 * size) for px, py in top[1:6]]
        + [(x - 0.1 * size, y - 0.1 * size)],
        mix(colour, WHITE, 0.18),
    )


def tufts(
    c: Canvas, rng: np.random.Generator, count: int, top: float, colours: Sequence[Colour], height: float = 0.06
) -> None:
    """Tufts of grass over the ground, larger towards the eye."""
    for y in np.sort(rng.uniform(top, 1.02, count)):
        size = height * (0.35 + 0.9 * (y - top) / (1.02 - top))
        x, colour = rng.random(), colours[int(rng.integers(len(colours)))]
        for k in (-1, 0, 1):
            tip = (x + k * size * 0.55, y - size * (1 - 0.25 * abs(k)))
            c.poly([(x + (k - 0.6) * size * 0.2, y), tip, (x + (k + 0.6) * size * 0.2, y)], colour)


def leaves(
    c: Canvas, rng: np.random.Generator, count: int, top: float, colours: Sequence[Colour], size: float = 0.03
) -> None:
    """Fallen leaves: small leaning diamonds, larger towards the eye."""
    for y in np.sort(rng.uniform(top, 1.02, count)):
        r = size * (0.45 + 0.85 * (y - top) / (1.02 - top))
        x, a = rng.random(), rng.uniform(0, np.pi)
        dx, dy = np.cos(a) * r, np.sin(a) * r * 0.6
        c.poly(
            [(x + dx, y + dy), (x - dy * 0.6, y + dx * 0.4), (x - dx, y - dy), (x + dy * 0.6, y - dx * 0.4)],
            colours[int(rng.integers(len(colours)))],
        )


def rays(
    c: Canvas, rng: np.random.Generator, x: float, colour: Colour, strength: float, count: int = 5, reach: float = 0.9
) -> None:
    """Shafts of light from above, fading downwards."""
    angle = (c.x - x) / (c.y + 0.35)
    field = np.zeros_like(angle)
    for centre in spread(rng, count, 0.4, -0.9, 0.9):
        field += np.clip(1 - np.abs(angle - centre) / rng.uniform(0.06, 0.13), 0, 1)
    fade = np.clip(1 - c.y / reach, 0, 1)
    c.image += (np.clip(field, 0, 1) * fade * strength)[..., None] * np.asarray(colour, np.float32)


def ripples(
    c: Canvas, rng: np.random.Generator, top: float, bottom: float, count: int, colour: Colour, alpha: float
) -> None:
    """Flat streaks of light on water, longer towards the eye."""
    for y in np.sort(rng.uniform(top + 0.01, bottom, count)):
        near = (y - top) / (bottom - top + 1e-6)
        long = 0.04 + 0.11 * near * rng.uniform(0.5, 1)
        c.ellipse(rng.random(), y, long, 0.009 + 0.007 * near, colour, alpha, 0.5)
