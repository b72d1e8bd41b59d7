"""What a scene does to a thing that stands in it: light, shadow, weather, and what covers its feet."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from recipes.mini.world.paint import Canvas, mix, rgb
from recipes.mini.world.vocabulary import ObjectSpec, SceneSpec

WET = 0.86  # how much darker rain makes things
FIRE = rgb("#ff9a3c")


@dataclass(frozen=True)
class Placed:
    """A thing in the frame: premultiplied `rgba` (S, S, 4) float32 and its box (x0, y0, x1, y1) in the frame."""

    spec: ObjectSpec
    rgba: np.ndarray
    box: tuple[float, float, float, float]

    @property
    def centre(self) -> float:
        """The middle of the box, 0 left to 1 right."""
        return (self.box[0] + self.box[2]) / 2

    @property
    def alpha(self) -> np.ndarray:
        """Coverage (S, S)."""
        return self.rgba[..., 3]


def total_gain(scene: SceneSpec, spec: ObjectSpec, grade: np.ndarray) -> np.ndarray:
    """The factor (3,) on a thing's sRGB values: ambient × time of day × wetness, less what it emits itself."""
    gain = np.array(scene.light.gain, np.float32) * grade
    if scene.light.weather == "rain":
        gain = gain * WET
    return gain + (1 - gain) * spec.emits


def shading(canvas: Canvas, box: tuple[float, float, float, float], key: int) -> np.ndarray:
    """A gradient (S, S) about 1 across the thing: bright towards the key light."""
    x0, y0, x1, y1 = box
    if key:
        return 1 + 0.17 * key * (2 * np.clip((canvas.x - x0) / (x1 - x0), 0, 1) - 1) + 0 * canvas.y
    return 1 + 0.15 * (1 - 2 * np.clip((canvas.y - y0) / (y1 - y0), 0, 1)) + 0 * canvas.x


def shadow(canvas: Canvas, placed: Placed, scene: SceneSpec, key: int) -> None:
    """Darken the ground: under the feet for standing things, faint and lower for floating ones."""
    x0, _, x1, y1 = placed.box
    wide, strength = (x1 - x0) * 0.5, scene.light.shadow
    if placed.spec.see_through:
        strength *= 0.3 if placed.spec.emits else 0.55
    x = (x0 + x1) / 2 - key * 0.28 * wide
    if placed.spec.rests == "ground":
        canvas.ellipse(x, y1 - 0.012, wide * 1.2, 0.06, canvas.image.mean((0, 1)) * 0.12, strength * 1.5, 1.0)
    else:
        canvas.ellipse(x, 0.93, wide * 0.85, 0.04, canvas.image.mean((0, 1)) * 0.12, strength * 0.7, 1.0)


def snow_cap(canvas: Canvas, placed: Placed, rng: np.random.Generator, gain: np.ndarray) -> None:
    """Snow lying on the top edges."""
    depth = max(2, round(0.04 * canvas.size))
    above = np.zeros_like(placed.alpha)
    above[depth:] = placed.alpha[:-depth]
    edge = cv2.GaussianBlur(np.clip(placed.alpha - above, 0, 1), (0, 0), canvas.size / 160)
    patchy = np.clip(canvas.noise(rng, 6) * 2.2 - 0.35, 0, 1)
    canvas.blend(edge * patchy * 0.95, np.clip(rgb("#f8fbff") * gain, 0, 1))


def falling(canvas: Canvas, rng: np.random.Generator, weather: str) -> None:
    """Snowflakes or rain between the thing and the eye."""
    for _ in range(9):
        x, y = rng.random(), rng.random()
        if weather == "snow":
            r = rng.uniform(0.010, 0.017)
            canvas.ellipse(x, y, r, r, (1, 1, 1), 0.9, 0.5)
        else:
            long = rng.uniform(0.07, 0.13)
            streak = [(x, y), (x + 0.010, y), (x + 0.010 + 0.25 * long, y + long), (x + 0.25 * long, y + long)]
            canvas.poly(streak, rgb("#dbe6e8"), 0.5)


def cover_feet(canvas: Canvas, placed: Placed, ground: str, floor: np.ndarray, rng: np.random.Generator) -> None:
    """What stands or lies before the feet; `floor` (3,) is the colour of the ground there."""
    x0, _, x1, y1 = placed.box
    wide = x1 - x0
    if ground in ("snow", "sand"):
        rise = 0.035 if ground == "snow" else 0.02
        for x in np.linspace(x0 + 0.05 * wide, x1 - 0.05 * wide, 6):
            tone = mix(floor, (1, 1, 1), rng.uniform(0.0, 0.14))
            canvas.ellipse(x, y1 + 0.018, 0.14 * wide, rise + 0.014, tone, 0.96, 0.45)
    elif ground in ("grass", "reeds", "leaves"):
        tall = {"grass": 0.085, "reeds": 0.12, "leaves": 0.09}[ground]
        for x in np.linspace(x0 - 0.02, x1 + 0.02, max(5, round(wide * 16))):
            tone = mix(floor, (1.0, 1.0, 0.6), rng.uniform(0, 0.25)) * rng.uniform(0.7, 1.05)
            foot, tip = (
                y1 + rng.uniform(0.015, 0.04),
                (x + rng.uniform(-0.03, 0.03), y1 + 0.02 - tall * rng.uniform(0.5, 1)),
            )
            half = 0.011 if ground != "leaves" else 0.022
            canvas.poly([(x - half, foot), tip, (x + half, foot)], tone)
    elif ground == "autumn":
        golds = [rgb(code) * (0.45 + 0.6 * float(floor.mean())) for code in ("#e07f2c", "#eda936", "#c9502c")]
        for _ in range(max(6, round(wide * 16))):
            x, y, r = rng.uniform(x0, x1), y1 + rng.uniform(-0.022, 0.03), rng.uniform(0.02, 0.034)
            a = rng.uniform(0, np.pi)
            dx, dy = np.cos(a) * r, np.sin(a) * r * 0.6
            canvas.poly(
                [(x + dx, y + dy), (x - dy * 0.7, y + dx * 0.5), (x - dx, y - dy), (x + dy * 0.7, y - dx * 0.5)],
                golds[rng.integers(3)],
            )
    if ground in ("water", "reeds"):
        depth = np.clip((canvas.y - y1 + 0.05) / 0.03, 0, 1) * (canvas.x > x0 - 0.02) * (canvas.x < x1 + 0.02)
        canvas.blend(depth * placed.alpha * 0.78, floor)
        for k in range(3):
            y = y1 - 0.04 + 0.022 * k
            canvas.ellipse((x0 + x1) / 2, y, wide * (0.42 + 0.06 * k), 0.009, mix(floor, (1, 1, 1), 0.5), 0.5, 0.5)


def compose(
    canvas: Canvas, placed: Placed, scene: SceneSpec, key: int, grade: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, list[str]]:
    """Light `placed` and set it into the scene on `canvas`; gives the total gain (3,) and the names of the effects."""
    light, spec, effects = scene.light, placed.spec, ["shade", "shadow"]
    gain = total_gain(scene, spec, grade)
    x0, y0, x1, y1 = placed.box
    if spec.emits:
        effects.append("glow")
        heart = placed.centre, y0 + 0.55 * (y1 - y0)
        canvas.shine(*heart, 0.4, FIRE, spec.emits * (1.6 if light.night else 0.3))
        canvas.glow(*heart, 0.24, FIRE, spec.emits * (0.5 if light.night else 0.12))
    row, s = min(int(y1 * canvas.size), canvas.size - 3), canvas.size
    floor = canvas.image[row : row + 3, max(int(x0 * s), 0) : int(x1 * s) + 1].mean((0, 1))
    shadow(canvas, placed, scene, key)
    shade = shading(canvas, placed.box, key)
    lit = placed.rgba[..., :3] * gain * (1 + (shade - 1) * (1 - spec.emits))[..., None]
    alpha = placed.alpha[..., None]
    lit = np.minimum(lit, alpha)
    if light.haze is not None:
        effects.append("haze")
        colour, amount = light.haze
        lit += (np.array(colour, np.float32) * alpha - lit) * amount
    canvas.image = np.clip(canvas.image, 0, 1) * (1 - alpha) + lit
    if light.weather == "underwater":
        effects.append("water")
        canvas.tint(np.clip(canvas.noise(rng, 8), 0, 1), 0.12, placed.alpha)
    if light.weather == "snow" and not spec.see_through:
        effects.append("snow")
        snow_cap(canvas, placed, rng, gain)
    if spec.rests == "ground" and scene.ground != "none":
        effects.append(scene.ground)
        cover_feet(canvas, placed, scene.ground, floor, rng)
    return gain, effects
