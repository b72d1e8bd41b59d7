"""A world of painted pictures whose truth is known: what the embedded model is trained on and measured by."""

from recipes.mini.world.render import GREY, KINDS, Kind, Sample, World
from recipes.mini.world.vocabulary import ObjectSpec, SceneSpec, StyleSpec, Tier, Vocabulary, article, load

__all__ = [
    "GREY",
    "KINDS",
    "Kind",
    "ObjectSpec",
    "Sample",
    "SceneSpec",
    "StyleSpec",
    "Tier",
    "Vocabulary",
    "World",
    "article",
    "load",
]
