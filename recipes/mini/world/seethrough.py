"""See-through things, drawn: glass, ice, soap, fire, smoke. Half of what this project is for is their alpha.

Each painter fills a `Sheet`, a premultiplied RGBA picture of 256×256, and varies with its random generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from recipes.mini.world.paint import Canvas, Colour, mix, rgb

SIDE = 256
WHITE = (1.0, 1.0, 1.0)
GLASS = tuple(rgb(code) for code in ("#cfeaf5", "#bfe8cf", "#f3d9a8", "#d9d2f2"))


class Sheet:
    """A transparent sheet: `rgba` is premultiplied (256, 256, 4) float32; `x` and `y` as on a canvas."""

    def __init__(self) -> None:
        self.rgba = np.zeros((SIDE, SIDE, 4), np.float32)
        self.canvas = Canvas(SIDE)
        self.x, self.y = self.canvas.x, self.canvas.y

    def lay(self, mask: np.ndarray, colour: Colour | np.ndarray) -> None:
        """Lay colour (3,) or (256, 256, 3) over the sheet with coverage `mask` (256, 256)."""
        cover = np.broadcast_to(mask, (SIDE, SIDE))[..., None].astype(np.float32)
        self.rgba *= 1 - cover
        self.rgba[..., :3] += cover * np.asarray(colour, np.float32)
        self.rgba[..., 3:] += cover

    def turned(self, profile: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
        """A body of revolution about x = 0.5 from (y, radius) points: its mask and u in [−1, 1] across it."""
        ys, radii = np.array(profile, np.float32).T
        radius = np.interp(self.y[:, 0], ys, radii, left=0, right=0).astype(np.float32)
        radius = cv2.GaussianBlur(radius[:, None], (1, 0), 0, sigmaY=2.0)
        inside = (self.y >= ys[0]) & (self.y <= ys[-1])
        mask = np.clip((radius - np.abs(self.x - 0.5)) * SIDE + 0.5, 0, 1) * inside
        return mask.astype(np.float32), np.clip((self.x - 0.5) / np.maximum(radius, 1e-3), -1, 1)

    def disc(self, cx: float, cy: float, rx: float, ry: float, soft: float = 0.0) -> np.ndarray:
        """Coverage of an ellipse, fading over the share `soft` of its radius."""
        d = np.sqrt(((self.x - cx) / rx) ** 2 + ((self.y - cy) / ry) ** 2)
        return np.clip((1 - d) / max(soft, 1.5 / (min(rx, ry) * SIDE)), 0, 1)

    def shape(self, points: Sequence[tuple[float, float]], blur: float = 0.0) -> np.ndarray:
        """Coverage of a polygon, blurred by `blur` of the side."""
        self.canvas.image[:] = 0
        self.canvas.poly(points, WHITE)
        mask = self.canvas.image[..., 0].copy()
        return cv2.GaussianBlur(mask, (0, 0), blur * SIDE) if blur else mask


def _glass(sheet: Sheet, profile: Sequence[tuple[float, float]], tint: Colour, body: float = 0.22) -> None:
    """A glass wall: thin in the middle, dense at the edges, bright where it mirrors a window."""
    mask, u = sheet.turned(profile)
    sheet.lay(mask * (body + (0.78 - body) * np.abs(u) ** 5), mix(tint, WHITE, 0.25))
    stripe = np.clip(1 - np.abs(u + 0.58) / 0.13, 0, 1) + 0.5 * np.clip(1 - np.abs(u - 0.66) / 0.08, 0, 1)
    ys = np.array(profile)[:, 0]
    top, bottom = ys[0] + 0.08 * (ys[-1] - ys[0]), ys[-1] - 0.1 * (ys[-1] - ys[0])
    fade = np.clip((sheet.y - top) / 0.05, 0, 1) * np.clip((bottom - sheet.y) / 0.05, 0, 1)
    sheet.lay(mask * stripe * fade * 0.75, WHITE)


def bottle(sheet: Sheet, rng: np.random.Generator) -> None:
    """A glass bottle with a cork and something to drink in it."""
    tint = GLASS[rng.integers(len(GLASS))]
    wide = rng.uniform(0.17, 0.21)
    outer = [(0.08, 0.062), (0.30, 0.065), (0.42, wide), (0.93, wide), (0.96, wide - 0.02)]
    level = rng.uniform(0.5, 0.68)
    drink = rgb(("#8c1d3f", "#d99a1e", "#4fb2d8", "#3f9b52")[rng.integers(4)])
    mask, u = sheet.turned([(level, wide - 0.025), (0.92, wide - 0.025), (0.94, wide - 0.05)])
    sheet.lay(mask * (0.55 + 0.2 * u**2), drink)
    _glass(sheet, outer, tint)
    cork, u = sheet.turned([(0.03, 0.052), (0.13, 0.045)])
    sheet.lay(cork, rgb("#c99a62") * (1 - 0.3 * u[..., None] ** 2))


def wine_glass(sheet: Sheet, rng: np.random.Generator) -> None:
    """A wine glass, half full."""
    tint = GLASS[0]
    wine = rgb(("#8f1034", "#b3163f", "#e8c95a")[rng.integers(3)])
    bowl = [(0.05, 0.19), (0.2, 0.225), (0.36, 0.215), (0.5, 0.12), (0.55, 0.03)]
    level = rng.uniform(0.2, 0.32)
    mask, u = sheet.turned([(y, max(r - 0.022, 0.0)) for y, r in bowl])
    fill = np.clip((sheet.y - level) * 60, 0, 1)
    sheet.lay(mask * fill * (0.68 + 0.2 * u**2), wine)
    sheet.lay(sheet.disc(0.5, level, 0.2, 0.02) * 0.45, mix(wine, WHITE, 0.4))
    _glass(sheet, bowl, tint, 0.16)
    stem, u = sheet.turned([(0.53, 0.03), (0.58, 0.016), (0.86, 0.016), (0.9, 0.05), (0.94, 0.2), (0.965, 0.2)])
    sheet.lay(stem * (0.45 + 0.4 * np.abs(u) ** 3), mix(tint, WHITE, 0.4))


def soap_bubble(sheet: Sheet, rng: np.random.Generator) -> None:
    """A soap bubble: nearly nothing, with a rim of interference colours."""
    dx, dy = (sheet.x - 0.5) / 0.46, (sheet.y - 0.5) / 0.46
    d = np.sqrt(dx * dx + dy * dy)
    inside = np.clip((1 - d) * 60, 0, 1)
    hue = (np.degrees(np.arctan2(dy, dx)) * 1.0 + 160 * d + rng.uniform(0, 360)) % 360
    hsv = np.stack([hue, np.full_like(hue, 0.5), np.full_like(hue, 1.0)], -1).astype(np.float32)
    sheet.lay(inside * (0.07 + 0.72 * d**5), cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
    sheet.lay(sheet.disc(0.33, 0.30, 0.10, 0.065, 0.5) * 0.9, WHITE)
    sheet.lay(sheet.disc(0.68, 0.73, 0.055, 0.035, 0.5) * 0.6, WHITE)


def ice_cube(sheet: Sheet, rng: np.random.Generator) -> None:
    """A clear ice cube seen from a corner."""
    top, left, right = rgb("#e9f8ff"), rgb("#a9dcf2"), rgb("#7fc3e6")
    lean = rng.uniform(-0.03, 0.03)
    a, b, c, d = (0.5 + lean, 0.08), (0.93, 0.27), (0.5 - lean, 0.46), (0.07, 0.27)
    e, f, g = (0.07, 0.74), (0.5 - lean, 0.95), (0.93, 0.74)
    sheet.lay(sheet.shape([a, b, c, d]) * 0.52, top)
    sheet.lay(sheet.shape([d, c, f, e]) * 0.44, left)
    sheet.lay(sheet.shape([c, b, g, f]) * 0.56, right)
    frost = sheet.canvas.noise(rng, 5)
    sheet.lay(sheet.shape([d, a, b, g, f, e]) * np.clip(frost - 0.55, 0, 1) * 0.7, WHITE)
    for line in ([d, c, b], [c, f], [a, b, g, f, e, d, a]):
        sheet.canvas.image[:] = 0
        sheet.canvas.stroke(line, 0.022, WHITE)
        sheet.lay(sheet.canvas.image[..., 0] * 0.72, WHITE)
    sheet.lay(sheet.shape([(0.15, 0.4), (0.23, 0.44), (0.23, 0.66), (0.15, 0.6)], 0.01) * 0.7, WHITE)


def jar(sheet: Sheet, rng: np.random.Generator) -> None:
    """A glass jar with a lid; some hold jam or sweets."""
    tint = GLASS[rng.integers(2)]
    outer = [(0.16, 0.24), (0.22, 0.25), (0.28, 0.32), (0.88, 0.32), (0.94, 0.28)]
    if rng.random() < 0.6:
        level = rng.uniform(0.45, 0.6)
        mask, u = sheet.turned([(level, 0.29), (0.88, 0.29), (0.92, 0.26)])
        sheet.lay(mask * (0.6 + 0.2 * u**2), rgb(("#c8203c", "#e9a21b", "#6d3fa0")[rng.integers(3)]))
    _glass(sheet, outer, tint, 0.2)
    lid, u = sheet.turned([(0.06, 0.27), (0.17, 0.27)])
    metal = rgb(("#c9a24a", "#b8bec6", "#c4453f")[rng.integers(3)])
    sheet.lay(lid, metal * (1.08 - 0.4 * np.abs(u[..., None] + 0.3)))


def _tongue(sheet: Sheet, rng: np.random.Generator, cx: float, base: float, tall: float, wide: float) -> np.ndarray:
    """The coverage of one flame: a drop with a waving tip."""
    up = np.clip((base - sheet.y) / tall, 0, 1)
    sway = 0.06 * np.sin(up * 5 + rng.uniform(0, 6)) * up
    radius = wide * np.clip(np.sin(np.pi * np.clip(up, 0, 1) ** 0.55), 0, 1) * (1 - 0.35 * up)
    mask = np.clip((radius - np.abs(sheet.x - cx - sway)) / (0.35 * wide), 0, 1)
    return mask * (up > 0) * (up < 1)


def _fire(sheet: Sheet, rng: np.random.Generator, cx: float, base: float, tall: float, wide: float) -> None:
    glow = sheet.disc(cx, base - tall * 0.42, wide * 1.7, tall * 0.66, 1.0) ** 2
    sheet.lay(glow * 0.55, rgb("#ff8a1f"))
    parts = ((1.0, 1.0, "#f0531a", 0.8), (0.78, 0.72, "#ff9a1f", 0.88), (0.55, 0.45, "#ffe27a", 0.92))
    for height, width, colour, alpha in parts:
        mask = _tongue(sheet, rng, cx, base, tall * height, wide * width)
        if height == 1.0:
            for side in (-1, 1):
                size = tall * rng.uniform(0.5, 0.68)
                mask = np.maximum(mask, _tongue(sheet, rng, cx + side * wide * 0.62, base, size, wide * 0.55))
        sheet.lay(mask * alpha, rgb(colour))


def campfire(sheet: Sheet, rng: np.random.Generator) -> None:
    """Flames over crossed logs."""
    for side, colour in ((-1, "#5d3a22"), (1, "#774b2b")):
        log = [(0.5 - side * 0.38, 0.93), (0.5 + side * 0.36, 0.80)]
        sheet.canvas.image[:] = 0
        sheet.canvas.stroke(log, 0.085, WHITE)
        sheet.lay(sheet.canvas.image[..., 0], rgb(colour))
        sheet.lay(sheet.disc(0.5 - side * 0.38, 0.93, 0.05, 0.045), rgb("#c4935c"))
    _fire(sheet, rng, 0.5, 0.88, rng.uniform(0.74, 0.82), 0.24)


def candle(sheet: Sheet, rng: np.random.Generator) -> None:
    """A candle with a soft halo of light."""
    wax = rgb(("#f6ead0", "#f3e2e0", "#e8f0f2")[rng.integers(3)])
    body, u = sheet.turned([(0.46, 0.10), (0.93, 0.10), (0.97, 0.13)])
    sheet.lay(sheet.disc(0.5, 0.28, 0.36, 0.27, 1.0) ** 1.4 * 0.55, rgb("#ffc765"))
    warm = np.clip((0.72 - sheet.y) / 0.3, 0, 1)[..., None]
    shade = (1.02 - 0.28 * np.abs(u[..., None] + 0.25)) * wax
    sheet.lay(body, shade + (rgb("#ffd48a") - shade) * 0.5 * warm)
    sheet.lay(sheet.shape([(0.49, 0.40), (0.51, 0.40), (0.51, 0.48), (0.49, 0.48)]), rgb("#4a3326"))
    sheet.lay(_tongue(sheet, rng, 0.5, 0.45, 0.34, 0.075) * 0.9, rgb("#ffa629"))
    sheet.lay(_tongue(sheet, rng, 0.5, 0.44, 0.22, 0.042) * 0.95, rgb("#fff3b8"))


def ghost(sheet: Sheet, rng: np.random.Generator) -> None:
    """A friendly ghost, half there."""
    waves, phase = rng.integers(3, 5), rng.uniform(0, 6)
    hem = 0.9 + 0.05 * np.sin(sheet.x * 2 * np.pi * waves + phase)
    head = sheet.disc(0.5, 0.4, 0.33, 0.34)
    robe = np.clip((0.33 + 0.08 * (sheet.y - 0.4) - np.abs(sheet.x - 0.5)) * SIDE, 0, 1)
    robe = robe * (sheet.y > 0.4) * np.clip((hem - sheet.y) * 60, 0, 1)
    arms = np.maximum(sheet.disc(0.15, 0.58, 0.10, 0.075), sheet.disc(0.85, 0.58, 0.10, 0.075))
    mask = np.maximum(np.maximum(head, robe), arms)
    inner = cv2.erode(mask, np.ones((25, 25), np.uint8))
    rim = np.clip(mask - cv2.GaussianBlur(inner, (0, 0), 8), 0, 1)
    fade = 1 - 0.55 * np.clip((sheet.y - 0.45) / 0.5, 0, 1)
    sheet.lay(mask * fade * (0.62 + 0.26 * rim), mix(rgb("#eef4ff"), rgb("#cfe0ff"), 0.4))
    for side in (-1, 1):
        sheet.lay(sheet.disc(0.5 + side * 0.12, 0.37, 0.045, 0.07) * 0.85, rgb("#252a4a"))
    sheet.lay(sheet.disc(0.5, 0.53, 0.06, 0.05) * 0.8, rgb("#252a4a"))


def smoke(sheet: Sheet, rng: np.random.Generator) -> None:
    """A puff of smoke, rising and thinning."""
    sway = rng.uniform(-1, 1)
    for step in np.linspace(0, 1, 9):
        y = 0.86 - 0.66 * step
        x = 0.5 + 0.12 * sway * np.sin(step * 4) + rng.uniform(-0.03, 0.03)
        radius = 0.11 + 0.19 * step
        alpha = 0.62 - 0.28 * step
        shade = mix(rgb("#8d9199"), rgb("#e9ecf0"), 0.25 + 0.6 * step)
        for _ in range(3):
            dx, dy = rng.uniform(-0.4, 0.4, 2) * radius
            sheet.lay(sheet.disc(x + dx, y + dy, radius * 0.8, radius * 0.72, 0.85) * alpha, shade)


def splash(sheet: Sheet, rng: np.random.Generator) -> None:
    """Water thrown up: a crown of jets with drops."""
    blue, light = rgb("#57b7e8"), rgb("#d8f3ff")
    for angle in np.linspace(-62, 62, 7) + rng.uniform(-5, 5, 7):
        reach = rng.uniform(0.45, 0.68) * (1 - abs(angle) / 220)
        tip = (0.5 + np.sin(np.radians(angle)) * reach, 0.88 - np.cos(np.radians(angle)) * reach)
        root = 0.5 + angle / 62 * 0.2
        jet = sheet.shape([(root - 0.06, 0.9), tip, (root + 0.06, 0.9)], 0.006)
        sheet.lay(jet * 0.5, blue)
        sheet.lay(sheet.disc(tip[0], tip[1], 0.04, 0.045) * 0.7, mix(blue, light, 0.5))
    sheet.lay(sheet.disc(0.5, 0.9, 0.42, 0.075, 0.3) * 0.6, blue)
    sheet.lay(sheet.disc(0.44, 0.885, 0.25, 0.03, 0.5) * 0.7, light)


def marble(sheet: Sheet, rng: np.random.Generator) -> None:
    """A glass marble with a twist of colour."""
    swirl = rgb(("#2f7fe0", "#e0483e", "#39a85a", "#f0b429")[rng.integers(4)])
    ball = sheet.disc(0.5, 0.5, 0.44, 0.44)
    d = np.sqrt((sheet.x - 0.5) ** 2 + (sheet.y - 0.5) ** 2) / 0.44
    wave = np.abs((sheet.x - 0.5) - 0.16 * np.sin((sheet.y - 0.5) * 7 + rng.uniform(0, 6)))
    sheet.lay(ball * np.clip((0.10 - wave) / 0.04, 0, 1) * np.clip((0.86 - d) * 8, 0, 1) * 0.85, swirl)
    sheet.lay(ball * (0.18 + 0.5 * d**4), rgb("#cfeef5"))
    sheet.lay(sheet.disc(0.35, 0.3, 0.12, 0.08, 0.5) * 0.9, WHITE)


def goldfish_bowl(sheet: Sheet, rng: np.random.Generator) -> None:
    """A round bowl of water with a goldfish."""
    profile = [(0.12, 0.26), (0.18, 0.25), (0.3, 0.37), (0.52, 0.43), (0.76, 0.38), (0.92, 0.22)]
    mask, u = sheet.turned([(y, r - 0.025) for y, r in profile])
    sheet.lay(mask * np.clip((sheet.y - 0.32) * 60, 0, 1) * (0.38 + 0.2 * u**2), rgb("#69bfe6"))
    fx, fy = 0.48 + rng.uniform(-0.08, 0.08), 0.56 + rng.uniform(-0.06, 0.08)
    sheet.lay(sheet.shape([(fx + 0.09, fy), (fx + 0.22, fy - 0.09), (fx + 0.22, fy + 0.09)], 0.005), rgb("#f0701a"))
    sheet.lay(sheet.disc(fx, fy, 0.13, 0.085), rgb("#ff8b2a"))
    sheet.lay(sheet.disc(fx - 0.07, fy - 0.015, 0.018, 0.022), rgb("#2b1a10"))
    _glass(sheet, profile, GLASS[0], 0.14)


PAINTERS: dict[str, Callable[[Sheet, np.random.Generator], None]] = {
    "bottle": bottle,
    "wine_glass": wine_glass,
    "soap_bubble": soap_bubble,
    "ice_cube": ice_cube,
    "jar": jar,
    "campfire": campfire,
    "candle": candle,
    "ghost": ghost,
    "smoke": smoke,
    "splash": splash,
    "marble": marble,
    "goldfish_bowl": goldfish_bowl,
}


def draw(name: str, rng: np.random.Generator) -> np.ndarray:
    """One drawing of a see-through thing: premultiplied (256, 256, 4) float32 in [0, 1]."""
    sheet = Sheet()
    PAINTERS[name](sheet, rng)
    return np.clip(sheet.rgba, 0, 1)
