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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from layerfusion.errors import LayerFusionError, told
from layerfusion.models.presets import read_json

WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
MOST_WORDS = 50  # looked up in one prompt; more are not read anyway
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


Role = Literal["object", "scene", "style"]


@dataclass(frozen=True)
class Mention:
    """One of the known things, found in a prompt.

    Attributes:
        entry: Which.
        role: Whether it is an object, a scene or a style.
        words: As the prompt has it, in lower case.
        several: Whether the prompt has its plural.
        colour: The colour word before it, of those the model knows; "" without one.
    """

    entry: Entry
    role: Role
    words: str
    several: bool = False
    colour: str = ""


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

    def mentions(self, prompt: str) -> list[Mention]:
        """The known objects, scenes and styles in a prompt, in its order; of overlapping names the longest."""
        words, found, at = split(prompt), [], 0
        colours, colour = {entry.name for entry in self.colours}, ""
        while at < len(words):
            known = next(
                (
                    (length, self._phrases[phrase])
                    for length in range(min(self._longest, len(words) - at), 0, -1)
                    if (phrase := tuple(words[at : at + length])) in self._phrases
                ),
                None,
            )
            if known is None:
                colour = words[at] if words[at] in colours else colour
                at += 1
                continue
            length, (role, entry, several) = known
            found.append(Mention(entry, role, " ".join(words[at : at + length]), several, colour))
            at, colour = at + length, ""
        return found

    @cached_property
    def _phrases(self) -> dict[tuple[str, ...], tuple[Role, Entry, bool]]:
        """The words of every name and of every plural of an object → what it is, and whether it is the plural."""
        of: dict[Role, tuple[Entry, ...]] = {
            "object": tuple(entry for entries in self.objects.values() for entry in entries),
            "scene": self.scenes,
            "style": self.styles,
        }
        each = [(role, entry, name) for role, entries in of.items() for entry in entries for name in entry.names]
        plurals = {tuple(split(plural(name))): (role, entry, True) for role, entry, name in each if role == "object"}
        return {**plurals, **{tuple(split(name)): (role, entry, False) for role, entry, name in each}}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._phrases), default=0)

    def unknown_words(self, prompt: str) -> dict[str, list[str]]:
        """The words of a prompt that the model was not trained with, each with up to three names like it."""
        unknown = [word for word in dict.fromkeys(split(prompt)) if word not in self.words and word not in GLUE]
        return {word: self.nearest(word) for word in unknown[:MOST_WORDS]}

    def nearest(self, word: str, among: Iterable[str] | None = None, least: float = 0.6) -> list[str]:
        """Up to three names that are spelled like a word, or hold a word that is, the nearest first.

        Of a plural, the names with its singular.

        Args:
            word: In lower case.
            among: The names to choose from; every one where None.
            least: How alike they must be, 0 to 1.
        """
        singular = {word.removesuffix("s"), word.removesuffix("es")}
        best: dict[str, float] = {}
        for name in self.names() if among is None else among:
            for candidate in {name.lower(), *split(name)} - GLUE:
                ratio = difflib.SequenceMatcher(None, word, candidate).ratio()
                best[name] = max(best.get(name, 0.0), 1.0 if candidate in singular else ratio)
        if 1.0 in best.values():
            best = {name: ratio for name, ratio in best.items() if ratio == 1.0}
        near = sorted((name for name, ratio in best.items() if ratio >= least), key=lambda name: -best[name])
        return near[:3]


def split(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.lower() for word in WORD.findall(text)]


def article(name: str) -> str:
    """With its indefinite article: a fox, an umbrella, a unicorn."""
    return f"an {name}" if re.match(r"[aeio]|u(?!ni|se|fo)", name.lower()) else f"a {name}"


IRREGULAR = {"sheep": "sheep", "fish": "fish", "deer": "deer", "mouse": "mice", "goose": "geese", "loaf": "loaves"}


def plural(name: str) -> str:
    """More than one: foxes, wine glasses, slices of pizza."""
    noun, joint, rest = name.partition(" of ")
    *before, last = noun.split(" ")
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith("man"):
        last = last.removesuffix("man") + "men"
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    elif re.search("[^aeiou]y$", last):
        last = last.removesuffix("y") + "ies"
    else:
        last += "s"
    return " ".join([*before, last]) + joint + rest


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
        raise LayerFusionError(f"{file} holds no valid vocabulary ({told(error)}); save the model again.") from None
