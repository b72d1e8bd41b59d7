"""What a small model knows. Models of an open vocabulary carry none, and nothing is said about their prompts.

A saved pipeline holds it in its `model_index.json`, under `vocabulary`:

    {
      "objects": {"animals": [{"name": "fox", "synonyms": ["vixen"], "coloured": false}, …], …},
      "colours": ["red", …],
      "scenes": [{"name": "snowy forest", "synonyms": ["winter forest"]}, …],
      "styles": ["comics style", …],
      "words": ["a", "fox", …]           every word of the captions it was trained on
    }

An entry is a name, or an object with `name`, and where they apply `synonyms` and, for an object that comes in the
colours, `"coloured": true`.
"""

import difflib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerfusion.errors import LayerFusionError
from layerfusion.models.presets import read_json

WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
# Words that name nothing: not worth a warning.
GLUE = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "by", "with", "and", "or", "to", "from", "some", "its", "is"}
)
# Solid things, and scenes of unlike light, for a model that takes any words.
SOLID_THINGS = ("a red apple", "a fox", "a teddy bear", "an old car", "a white mug", "a penguin", "a wooden chair")
SCENES = ("a wooden table", "a dark cave", "a snowy forest", "a sunset beach", "a neon-lit street at night")


@dataclass(frozen=True)
class Entry:
    """One thing a model knows: its name, other words for it, and whether colour words apply to it."""

    name: str
    synonyms: tuple[str, ...] = ()
    coloured: bool = False

    @classmethod
    def of(cls, value: Any) -> "Entry":
        if isinstance(value, str):
            return cls(value)
        return cls(str(value["name"]), tuple(map(str, value.get("synonyms", ()))), bool(value.get("coloured", False)))

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.synonyms)


@dataclass(frozen=True)
class Vocabulary:
    """What a model knows, by group.

    Attributes:
        objects: Group (animals, vehicles, …) to its objects.
        colours, scenes, styles: The rest of it.
        words: Every single word the model was trained with, in lower case.
    """

    objects: dict[str, tuple[Entry, ...]]
    colours: tuple[Entry, ...]
    scenes: tuple[Entry, ...]
    styles: tuple[Entry, ...]
    words: frozenset[str]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Vocabulary":
        """From the content of a `vocabulary.json`. Where it lists no words, those of the names are taken."""

        def entries(of: list[Any]) -> tuple[Entry, ...]:
            return tuple(Entry.of(value) for value in of)

        objects = {str(group): entries(of) for group, of in values["objects"].items()}
        colours, scenes, styles = (entries(values.get(group, [])) for group in ("colours", "scenes", "styles"))
        everything = [*(entry for of in objects.values() for entry in of), *colours, *scenes, *styles]
        words = values.get("words") or [word for entry in everything for name in entry.names for word in split(name)]
        return cls(objects, colours, scenes, styles, frozenset(str(word).lower() for word in words))

    def groups(self) -> dict[str, tuple[Entry, ...]]:
        """Everything under one roof: the groups of objects, then colours, scenes and styles."""
        rest = {"colours": self.colours, "scenes": self.scenes, "styles": self.styles}
        return {**self.objects, **{group: entries for group, entries in rest.items() if entries}}

    def names(self) -> Iterator[str]:
        """Every name and synonym."""
        for entries in self.groups().values():
            for entry in entries:
                yield from entry.names

    def unknown_words(self, prompt: str) -> dict[str, list[str]]:
        """The words of a prompt that the model was not trained with, each with up to three names like it."""
        unknown = [word for word in dict.fromkeys(split(prompt)) if word not in self.words and word not in GLUE]
        return {word: self.nearest(word) for word in unknown}

    def nearest(self, word: str) -> list[str]:
        """Up to three names that are spelled like a word, or hold a word that is, the nearest first.

        Of a plural, the names with its singular.
        """
        singular = {word.removesuffix("s"), word.removesuffix("es")}
        best: dict[str, float] = {}
        for name in self.names():
            for candidate in {name.lower(), *split(name)} - GLUE:
                ratio = difflib.SequenceMatcher(None, word, candidate).ratio()
                best[name] = max(best.get(name, 0.0), 1.0 if candidate in singular else ratio)
        if 1.0 in best.values():
            best = {name: ratio for name, ratio in best.items() if ratio == 1.0}
        near = sorted((name for name, ratio in best.items() if ratio >= 0.6), key=lambda name: -best[name])
        return near[:3]


def split(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.lower() for word in WORD.findall(text)]


def article(name: str) -> str:
    """With its indefinite article: a fox, an umbrella, a unicorn."""
    return f"an {name}" if re.match(r"[aeio]|u(?!ni|se|fo)", name.lower()) else f"a {name}"


def some_prompts(vocabulary: Vocabulary | None, count: int) -> list[tuple[str, str]]:
    """Pairs of a thing's and a scene's prompt that a model should manage: of every group of its vocabulary in turn.

    Args:
        vocabulary: The model's; None of a model that takes any words.
        count: How many pairs.
    """
    things, scenes = list(SOLID_THINGS), list(SCENES)
    if vocabulary is not None:
        in_turn = itertools.chain(*itertools.zip_longest(*vocabulary.objects.values()))
        things = [article(entry.name) for entry in in_turn if entry is not None]
        scenes = [article(entry.name) for entry in vocabulary.scenes]
    return list(itertools.islice(zip(itertools.cycle(things), itertools.cycle(scenes), strict=False), count))


def read_vocabulary(folder: Path) -> Vocabulary | None:
    """The vocabulary of a saved model; None where it carries none.

    Raises:
        LayerFusionError: it is broken.
    """
    file = folder / "model_index.json"
    values = read_json(file).get("vocabulary") if file.is_file() else None
    if values is None:
        return None
    try:
        return Vocabulary.from_dict(values)
    except (KeyError, TypeError, AttributeError) as error:
        raise LayerFusionError(f"{file} holds no valid vocabulary ({error!r}); save the model again.") from None
