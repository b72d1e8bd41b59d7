"""The words of a sample. Scene words alone always mean an empty scene."""

from __future__ import annotations

import numpy as np

from recipes.mini.world.vocabulary import ObjectSpec, SceneSpec, StyleSpec, article


def noun(rng: np.random.Generator | None, obj: ObjectSpec, colour: str | None) -> str:
    """`"fox"`, `"blue car"`; a synonym now and then."""
    names = obj.phrases
    name = names[0] if rng is None or rng.random() < 0.75 else names[rng.integers(len(names))]
    return f"{colour} {name}" if colour else name


def place(rng: np.random.Generator | None, scene: SceneSpec) -> str:
    """`"a snowy forest"`; a synonym now and then."""
    return scene.phrases[0] if rng is None or rng.random() < 0.75 else scene.phrases[rng.integers(len(scene.phrases))]


def caption(
    rng: np.random.Generator | None,
    obj: ObjectSpec | None,
    colour: str | None,
    scene: SceneSpec | None,
    style: StyleSpec | None,
) -> str:
    """A caption for this content, in one of several forms; without a generator, in the plainest."""
    roll = 0.0 if rng is None else rng.random()
    if obj is None:
        assert scene is not None
        where = place(rng, scene)
        bare = where.split(" ", 1)[1]
        text = where if roll < 0.75 else bare if roll < 0.9 else f"a picture of {where}"
    elif scene is None:
        what = noun(rng, obj, colour)
        cute = f"a cute {what}" if obj.kind == "animals" else article(what)
        text = article(what) if roll < 0.65 else what if roll < 0.85 else cute
    else:
        what, where = article(noun(rng, obj, colour)), place(rng, scene)
        if roll < 0.55:
            text = f"{what} {scene.where} {where}"
        else:
            text = f"{what}, {where}" if roll < 0.8 else f"{where} with {what}"
    return f"{text}, {style.phrase}" if style else text
