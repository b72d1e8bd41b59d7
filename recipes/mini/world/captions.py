"""The words of a sample. Scene words alone always mean an empty scene."""

from __future__ import annotations

import numpy as np

from layerfusion.models.vocabulary import plural
from recipes.mini.world.vocabulary import ObjectSpec, SceneSpec, StyleSpec, article

COUNTS = {2: "two", 3: "three"}


Thing = tuple[ObjectSpec, str | None]
"""A thing and its colour word."""


def noun(rng: np.random.Generator | None, obj: ObjectSpec, colour: str | None) -> str:
    """`"fox"`, `"blue car"`; a synonym now and then."""
    names = obj.phrases
    name = names[0] if rng is None or rng.random() < 0.75 else names[rng.integers(len(names))]
    return f"{colour} {name}" if colour else name


def place(rng: np.random.Generator | None, scene: SceneSpec) -> str:
    """`"a snowy forest"`; a synonym now and then."""
    return scene.phrases[0] if rng is None or rng.random() < 0.75 else scene.phrases[rng.integers(len(scene.phrases))]


def subjects(rng: np.random.Generator | None, things: list[Thing], centres: list[float]) -> str:
    """`"a fox"`, `"a fox on the left"`, `"a fox and a duck"`, `"two foxes"`; sides are named now and then."""
    nouns = [noun(rng, *thing) for thing in things]
    if len(things) > 1 and len(set(things)) == 1:
        colour = things[0][1]
        return f"{COUNTS[len(things)]} {colour + ' ' if colour else ''}{plural(things[0][0].key)}"
    sided = rng is not None and rng.random() < 0.5 and all(not 0.4 < x < 0.6 for x in centres)
    named = [article(word) for word in nouns]
    if sided and len(things) < 3:
        named = [f"{word} on the {'left' if x < 0.5 else 'right'}" for word, x in zip(named, centres, strict=True)]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"


def caption(
    rng: np.random.Generator | None,
    things: list[Thing],
    centres: list[float],
    scene: SceneSpec | None,
    style: StyleSpec | None,
) -> str:
    """A caption for this content, in one of several forms; without a generator, in the plainest.

    Args:
        rng: chooses the form and the synonyms.
        things: what stands in the picture, each with its colour word or None; equal ones are counted.
        centres: where each stands, 0 left to 1 right.
        scene: None for a thing alone.
        style: of the whole picture.
    """
    roll = 0.0 if rng is None else rng.random()
    if not things:
        assert scene is not None
        where = place(rng, scene)
        bare = where.split(" ", 1)[1]
        text = where if roll < 0.75 else bare if roll < 0.9 else f"a picture of {where}"
    elif scene is None:
        obj, colour = things[0]
        what = noun(rng, obj, colour)
        cute = f"a cute {what}" if obj.kind == "animals" else article(what)
        text = article(what) if roll < 0.65 else what if roll < 0.85 else cute
    else:
        what, where = subjects(rng, things, centres), place(rng, scene)
        if roll < 0.55:
            text = f"{what} {scene.where} {where}"
        else:
            text = f"{what}, {where}" if roll < 0.8 else f"{where} with {what}"
    return f"{text}, {style.phrase}" if style else text
