"""The vocabulary file, read into specifications."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from layerfusion.models.vocabulary import split
from recipes.mini.world.paint import rgb

Tier = Literal["core", "full"]
FILE = Path(__file__).resolve().parent.parent / "vocabulary.yaml"


@dataclass(frozen=True)
class ObjectSpec:
    """One thing: `key` is its name in captions, `phrases` the name and its synonyms (without article)."""

    key: str
    kind: str
    phrases: tuple[str, ...]
    sprite: str | None
    drawn: str | None
    hue: tuple[float, float] | None
    colours: tuple[str, ...]
    rests: Literal["ground", "air"]
    emits: float
    often: float

    @property
    def name(self) -> str:
        """What captions call it, without article."""
        return self.key

    @property
    def see_through(self) -> bool:
        """Whether its alpha is partial: these are drawn by the recipe."""
        return self.drawn is not None


@dataclass(frozen=True)
class Light:
    """The light of a scene: `gain` (3,) multiplies a thing's sRGB values; `key` is −1 left, 0 above, 1 right."""

    gain: tuple[float, float, float]
    key: Literal[-1, 0, 1] | None
    shadow: float
    haze: tuple[tuple[float, float, float], float] | None
    weather: Literal["snow", "rain", "underwater"] | None
    night: bool


@dataclass(frozen=True)
class SceneSpec:
    """One scene: `phrases` are whole phrases with their article, the first is the usual one."""

    key: str
    phrases: tuple[str, ...]
    where: str
    light: Light
    ground: str


@dataclass(frozen=True)
class StyleSpec:
    """One style of whole pictures: `phrase` follows a comma in captions."""

    key: str
    phrase: str


@dataclass(frozen=True)
class Vocabulary:
    """Everything one tier knows; `colours` maps a word to (hue in degrees, saturation factor, value factor)."""

    objects: tuple[ObjectSpec, ...]
    scenes: tuple[SceneSpec, ...]
    styles: tuple[StyleSpec, ...]
    colours: dict[str, tuple[float, float, float]]


def article(words: str) -> str:
    """`"owl"` → `"an owl"`; decided by the first letter, with `u` as in `unicorn`."""
    return ("an " if words[0] in "aeio" or words.startswith("umb") else "a ") + words


def _object(kind: str, name: str, entry: dict, colours: tuple[str, ...]) -> ObjectSpec:
    hue = entry.get("colour")
    return ObjectSpec(
        key=name,
        kind=kind,
        phrases=(name, *entry.get("also", ())),
        sprite=str(entry["sprite"]) if "sprite" in entry else None,
        drawn=entry.get("drawn"),
        hue=(float(hue[0]), float(hue[1])) if hue else None,
        colours=colours if hue else (),
        rests=entry.get("rests", "ground"),
        emits=float(entry.get("emits", 0.0)),
        often=float(entry.get("often", 1.0)),
    )


def _scene(name: str, entry: dict) -> SceneSpec:
    haze = entry.get("haze")
    red, green, blue = entry["gain"]
    light = Light(
        gain=(float(red), float(green), float(blue)),
        key=None if entry["key"] == "any" else entry["key"],
        shadow=entry["shadow"],
        haze=(tuple(np.round(rgb(haze[0]), 4).tolist()), haze[1]) if haze else None,
        weather=entry.get("weather"),
        night=entry.get("night", False),
    )
    phrases = tuple(article(words) for words in (name, *entry.get("also", ())))
    return SceneSpec(key=name, phrases=phrases, where=entry.get("where", "in"), light=light, ground=entry["ground"])


def load(tier: Tier = "full", file: Path = FILE) -> Vocabulary:
    """Read the vocabulary; `core` keeps the entries marked so."""
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    colours = {word: (float(h), float(s), float(v)) for word, (h, s, v) in data["colours"].items()}

    def kept(entry: dict) -> bool:
        return tier == "full" or entry.get("core", False)

    objects = tuple(
        _object(kind, name, entry, tuple(colours))
        for kind, entries in data["objects"].items()
        for name, entry in entries.items()
        if kept(entry)
    )
    scenes = tuple(_scene(name, entry) for name, entry in data["scenes"].items() if kept(entry))
    styles = tuple(StyleSpec(key=key, phrase=phrase) for phrase, key in data["styles"].items())
    return Vocabulary(objects=objects, scenes=scenes, styles=styles, colours=colours)


def for_model(tier: Tier, captions: Iterable[str]) -> dict[str, Any]:
    """The `vocabulary` of a model trained on this tier with these captions, as `layerfusion.models` reads it."""
    known = load(tier)
    objects: dict[str, list[dict[str, Any]]] = {}
    for spec in known.objects:
        entry: dict[str, Any] = {"name": spec.key, "synonyms": list(spec.phrases[1:]), "coloured": bool(spec.colours)}
        objects.setdefault(spec.kind, []).append(entry)
    scenes = [
        {"name": spec.key, "synonyms": [phrase.split(" ", 1)[1] for phrase in spec.phrases[1:]]}
        for spec in known.scenes
    ]
    styles = [spec.phrase for spec in known.styles]
    words = sorted({word for caption in captions for word in split(caption)})
    return {"objects": objects, "colours": list(known.colours), "scenes": scenes, "styles": styles, "words": words}
