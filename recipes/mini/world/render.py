"""The world: it draws samples whose layers, light and words are all known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from layerfusion.errors import LayerFusionError
from recipes.mini.world import captions, fetch, light
from recipes.mini.world.light import Placed
from recipes.mini.world.paint import Canvas
from recipes.mini.world.scenes import PAINTERS
from recipes.mini.world.sprites import VARIANTS, Sprites
from recipes.mini.world.styles import STYLES
from recipes.mini.world.vocabulary import ObjectSpec, SceneSpec, StyleSpec, Tier, load

Kind = Literal["background", "composite", "foreground"]
KINDS: tuple[Kind, ...] = ("background", "composite", "foreground")
GREY = 127  # what foregrounds stand on in their `picture`
SPAN = (0.55, 0.8)  # longest side of a thing, in frames
STYLED = 0.08  # share of backgrounds and composites that carry a style
COLOURED = 0.7  # share of the colourable objects that carry a colour word


@dataclass(frozen=True)
class Sample:
    """One picture with everything known about it. H = W = the world's size.

    Attributes:
        caption: what a model is trained on.
        foreground: (H, W, 4) uint8, straight alpha, unlit; None for backgrounds. Colour under alpha 0 is 0.
        background: (H, W, 3) uint8 without the object; None for foregrounds.
        picture: (H, W, 3) uint8: the background, the blended picture, or the object over grey 127.
        truth: `object`, `colour`, `scene`, `style` (keys or None), `gain` (3 floats: the total factor on the object's
            sRGB values), `key` (side of the key light, −1, 0, 1), `box` (x0, y0, x1, y1 in the frame), `effects`.
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

    def sample(self, seed: int, kind: Kind) -> Sample:
        """A random sample; the same (seed, kind) gives the same one."""
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        obj = colour = scene = style = None
        if kind != "background":
            # Things with colour words come twice as often: they have more looks to show.
            weights = np.array([2.0 if spec.colours else 1.0 for spec in self.objects])
            obj = self.objects[rng.choice(len(self.objects), p=weights / weights.sum())]
            if obj.colours and rng.random() < COLOURED:
                colour = obj.colours[rng.integers(len(obj.colours))]
        if kind != "foreground":
            scene = self.scenes[rng.integers(len(self.scenes))]
            if rng.random() < STYLED:
                style = self.styles[rng.integers(len(self.styles))]
        return self._make(obj, colour, scene, style, rng, int(rng.integers(1 << 31)), plain=False)

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
        thing = place = None
        if kind != "background":
            drawn = self.objects[rng.integers(len(self.objects))]
            thing = self.object(obj) if obj else drawn
        if kind != "foreground":
            drawn_scene = self.scenes[rng.integers(len(self.scenes))]
            place = self.scene(scene) if scene else drawn_scene
        chosen = next((spec for spec in self.styles if spec.key == style), None)
        if style and chosen is None:
            raise LayerFusionError(f"this vocabulary has no style named {style!r}; see vocabulary.yaml for the names.")
        return self._make(thing, colour, place, chosen, rng, seed, plain=True)

    def _make(
        self,
        obj: ObjectSpec | None,
        colour: str | None,
        scene: SceneSpec | None,
        style: StyleSpec | None,
        rng: np.random.Generator,
        seed: int,
        plain: bool,
    ) -> Sample:
        caption = captions.caption(None if plain else rng, obj, colour, scene, style)
        truth: dict[str, Any] = {
            "object": obj.key if obj else None,
            "colour": colour,
            "scene": scene.key if scene else None,
            "style": style.key if style else None,
        }
        placed = self._place(obj, colour, np.random.default_rng([seed, 1])) if obj else None
        foreground = _straight(placed.rgba) if placed else None
        if placed:
            truth["box"] = placed.box
        if scene is None:
            assert placed is not None
            picture = placed.rgba[..., :3] + (1 - placed.rgba[..., 3:]) * np.float32(GREY / 255)
            return Sample(caption, foreground, None, _bytes(picture), truth)

        local = np.random.default_rng([seed, 2])
        canvas = Canvas(self.size)
        PAINTERS[scene.key](canvas, local)
        # Time of day: brightness and warmth drift, and whatever stands in the scene gets the same factor.
        grade = (local.uniform(0.9, 1.08) * (1 + local.uniform(-0.05, 0.05) * np.array([1, 0, -1]))).astype(np.float32)
        canvas.image = np.clip(canvas.image * grade, 0, 1)
        finish = STYLES[style.key] if style else (lambda picture: picture)
        background = _bytes(finish(canvas.image))
        if placed is None:
            return Sample(caption, None, background, background, truth)
        key = scene.light.key if scene.light.key is not None else (-1, 1)[local.integers(2)]
        gain, effects = light.compose(canvas, placed, scene, key, grade, local)
        truth |= {"gain": tuple(float(g) for g in gain), "key": key, "effects": effects}
        return Sample(caption, foreground, background, _bytes(finish(np.clip(canvas.image, 0, 1))), truth)

    def _place(self, spec: ObjectSpec, colour: str | None, rng: np.random.Generator) -> Placed:
        """Scale a thing to `SPAN` of the frame and set it down; the same statistics in every kind of sample."""
        s = self.size
        picture = self.sprites.scaled(spec, colour, int(rng.integers(VARIANTS)), round(s * rng.uniform(*SPAN)))
        height, width = picture.shape[:2]
        x = (s - width) * 0.5 + rng.uniform(-0.12, 0.12) * s
        base = rng.uniform(0.82, 0.92) * s
        middle = (s + height) * 0.5 + rng.uniform(-0.12, 0.12) * s
        bottom = base if spec.rests == "ground" else middle
        margin = 0.02 * s
        left = round(float(np.clip(x, margin, s - width - margin)))
        top = round(float(np.clip(bottom - height, margin, s - height - margin)))
        frame = np.zeros((s, s, 4), np.float32)
        frame[top : top + height, left : left + width] = picture
        return Placed(spec, frame, (left / s, top / s, (left + width) / s, (top + height) / s))
