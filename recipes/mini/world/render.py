"""The world: it draws samples whose layers, light and words are all known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from layerfusion.errors import LayerFusionError
from recipes.mini.world import captions, fetch, light
from recipes.mini.world.captions import Thing
from recipes.mini.world.light import Placed
from recipes.mini.world.paint import Canvas
from recipes.mini.world.scenes import PAINTERS
from recipes.mini.world.sprites import VARIANTS, Sprites
from recipes.mini.world.styles import STYLES
from recipes.mini.world.vocabulary import ObjectSpec, SceneSpec, StyleSpec, Tier, load

Kind = Literal["background", "composite", "foreground"]
KINDS: tuple[Kind, ...] = ("background", "composite", "foreground")
GREY = 127  # what foregrounds stand on in their `picture`
SPANS = {1: (0.4, 0.82), 2: (0.34, 0.54), 3: (0.26, 0.38)}  # longest side of a thing, in frames, by their number
SEVERAL = (0.5, 0.42, 0.08)  # shares of composites with one, two and three things
ALIKE = 0.35  # share of those with several that show the same thing several times
STYLED = 0.08  # share of backgrounds and composites that carry a style
COLOURED = 0.7  # share of the colourable objects that carry a colour word
MARGIN = 0.06
"""Of the frame's side, that things keep from its border: two latents. A model cannot place an edge more exactly than
that, and of things nearer to the border it draws one in ten across it."""


@dataclass(frozen=True)
class Sample:
    """One picture with everything known about it. H = W = the world's size.

    Attributes:
        caption: what a model is trained on.
        foreground: (H, W, 4) uint8, straight alpha, unlit; None for backgrounds. Colour under alpha 0 is 0.
        background: (H, W, 3) uint8 without the things; None for foregrounds.
        picture: (H, W, 3) uint8: the background, the blended picture, or the object over grey 127.
        truth: `objects` and `boxes` (keys, and x0, y0, x1, y1 in the frame, the farthest first), `scene`, `style` (keys
            or None), `key` (side of the key light, −1, 0, 1), and of the nearest thing `object`, `colour`, `box`,
            `gain` (3 floats: the total factor on its sRGB values) and `effects`.
    """

    caption: str
    foreground: np.ndarray | None
    background: np.ndarray | None
    picture: np.ndarray
    truth: dict[str, Any] = field(default_factory=dict)


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def _straight(rgba: np.ndarray) -> np.ndarray:
    """Premultiplied float to straight uint8."""
    alpha = rgba[..., 3:]
    return _bytes(np.concatenate([rgba[..., :3] / np.maximum(alpha, 1 / 512) * (alpha > 1 / 512), alpha], -1))


class World:
    """Draws samples at `size` pixels from one tier of the vocabulary; sprites are fetched into `build` on first use.

    Raises:
        LayerFusionError: the sprites cannot be fetched.
    """

    def __init__(self, size: int = 128, tier: Tier = "core", build: Path = Path("build/world")) -> None:
        self.size = size
        words = load(tier)
        self.objects, self.scenes, self.styles, self.colours = words.objects, words.scenes, words.styles, words.colours
        self.sprites = Sprites(fetch.sprites(Path(build)), words.colours)

    # Content by name

    def object(self, key: str) -> ObjectSpec:
        """The object with this key or synonym.

        Raises:
            LayerFusionError: this tier has none.
        """
        for spec in self.objects:
            if key in spec.phrases:
                return spec
        raise LayerFusionError(f"this vocabulary has no object named {key!r}; see vocabulary.yaml for the names.")

    def scene(self, key: str) -> SceneSpec:
        """The scene with this key.

        Raises:
            LayerFusionError: this tier has none.
        """
        for spec in self.scenes:
            if key == spec.key:
                return spec
        raise LayerFusionError(f"this vocabulary has no scene named {key!r}; see vocabulary.yaml for the names.")

    # Samples

    def sample(self, seed: int, kind: Kind, alone: bool = False) -> Sample:
        """A random sample, on request with one thing at most; the same arguments give the same one."""
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        things: list[Thing] = []
        scene = style = None
        if kind != "background":
            things.append(self._thing(rng))
        if kind == "composite" and not alone:
            alike = rng.random() < ALIKE
            for _ in range(rng.choice(3, p=SEVERAL)):
                things.append(things[0] if alike else self._thing(rng))
        if kind != "foreground":
            scene = self.scenes[rng.integers(len(self.scenes))]
            if rng.random() < STYLED:
                style = self.styles[rng.integers(len(self.styles))]
        return self._make(things, scene, style, rng, int(rng.integers(1 << 31)), plain=False)

    def _thing(self, rng: np.random.Generator) -> Thing:
        # Things with colour words come twice as often: they have more looks to show.
        weights = np.array([spec.often * (2.0 if spec.colours else 1.0) for spec in self.objects])
        spec = self.objects[rng.choice(len(self.objects), p=weights / weights.sum())]
        coloured = spec.colours and rng.random() < COLOURED
        return spec, spec.colours[rng.integers(len(spec.colours))] if coloured else None

    def render(
        self,
        kind: Kind,
        obj: str | None = None,
        colour: str | None = None,
        scene: str | None = None,
        style: str | None = None,
        seed: int = 0,
    ) -> Sample:
        """A sample of chosen content, by key, with the plainest caption. What `kind` needs and is None is drawn.

        The object's place and look depend on the seed alone, so that one subject can be put into several scenes.

        Raises:
            LayerFusionError: this tier has no such object, scene or style.
        """
        rng = np.random.default_rng([seed, 3])
        things, place = [], None
        if kind != "background":
            drawn = self.objects[rng.integers(len(self.objects))]
            things.append((self.object(obj) if obj else drawn, colour))
        if kind != "foreground":
            drawn_scene = self.scenes[rng.integers(len(self.scenes))]
            place = self.scene(scene) if scene else drawn_scene
        chosen = next((spec for spec in self.styles if spec.key == style), None)
        if style and chosen is None:
            raise LayerFusionError(f"this vocabulary has no style named {style!r}; see vocabulary.yaml for the names.")
        return self._make(things, place, chosen, rng, seed, plain=True)

    def _make(
        self,
        things: list[Thing],
        scene: SceneSpec | None,
        style: StyleSpec | None,
        rng: np.random.Generator,
        seed: int,
        plain: bool,
    ) -> Sample:
        where = np.random.default_rng([seed, 1])
        standing = [self._place(*thing, slot, len(things), where) for slot, thing in enumerate(things)]
        caption = captions.caption(None if plain else rng, things, [one.centre for one in standing], scene, style)
        # The lower in the frame, the nearer.
        order = sorted(range(len(things)), key=lambda k: standing[k].box[3])
        placed = [standing[k] for k in order]
        truth: dict[str, Any] = {
            "objects": [things[k][0].key for k in order],
            "boxes": [one.box for one in placed],
            "object": things[order[-1]][0].key if things else None,
            "colour": things[order[-1]][1] if things else None,
            "scene": scene.key if scene else None,
            "style": style.key if style else None,
        }
        foreground = None
        if placed:
            truth["box"] = placed[-1].box
            together = placed[0].rgba
            for one in placed[1:]:
                together = one.rgba + (1 - one.rgba[..., 3:]) * together
            foreground = _straight(together)
        if scene is None:
            picture = together[..., :3] + (1 - together[..., 3:]) * np.float32(GREY / 255)
            return Sample(caption, foreground, None, _bytes(picture), truth)

        local = np.random.default_rng([seed, 2])
        canvas = Canvas(self.size)
        PAINTERS[scene.key](canvas, local)
        # Time of day: brightness and warmth drift, and whatever stands in the scene gets the same factor.
        grade = (local.uniform(0.9, 1.08) * (1 + local.uniform(-0.05, 0.05) * np.array([1, 0, -1]))).astype(np.float32)
        canvas.image = np.clip(canvas.image * grade, 0, 1)
        finish = STYLES[style.key] if style else (lambda picture: picture)
        background = _bytes(finish(canvas.image))
        if not placed:
            return Sample(caption, None, background, background, truth)
        key = scene.light.key if scene.light.key is not None else (-1, 1)[local.integers(2)]
        for one in placed:
            gain, effects = light.compose(canvas, one, scene, key, grade, local)
            truth |= {"gain": tuple(float(g) for g in gain), "key": key, "effects": effects}
        if scene.light.weather in ("snow", "rain"):
            truth["effects"].append(f"falling {scene.light.weather}")
            light.falling(canvas, local, scene.light.weather)
        return Sample(caption, foreground, background, _bytes(finish(np.clip(canvas.image, 0, 1))), truth)

    def _place(self, spec: ObjectSpec, colour: str | None, slot: int, slots: int, rng: np.random.Generator) -> Placed:
        """Scale a thing and set it down in its share of the width; the same statistics in every kind of sample."""
        s = self.size
        picture = self.sprites.scaled(spec, colour, int(rng.integers(VARIANTS)), round(s * rng.uniform(*SPANS[slots])))
        height, width = picture.shape[:2]
        # One thing may stand anywhere, more often near the middle; several keep to their places, side by side.
        middle = rng.triangular(0.1, 0.5, 0.9) if slots == 1 else (slot + 0.5) / slots + rng.uniform(-0.06, 0.06)
        base = rng.uniform(0.76, 0.93) * s
        floating = (s + height) * 0.5 + rng.uniform(-0.16, 0.16) * s
        bottom = base if spec.rests == "ground" else floating
        margin = MARGIN * s
        left = round(float(np.clip(middle * s - width * 0.5, margin, s - width - margin)))
        top = round(float(np.clip(bottom - height, margin, s - height - margin)))
        frame = np.zeros((s, s, 4), np.float32)
        frame[top : top + height, left : left + width] = picture
        return Placed(spec, frame, (left / s, top / s, (left + width) / s, (top + height) / s))
