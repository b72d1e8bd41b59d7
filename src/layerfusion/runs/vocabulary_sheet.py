"""A picture of everything a small model knows, made by the model itself."""

from dataclasses import dataclass

from PIL import Image

from layerfusion.drawing import Tile, sheet
from layerfusion.errors import LayerFusionError
from layerfusion.models.vocabulary import Vocabulary, article
from layerfusion.runs.generation import generate
from layerfusion.runs.progress import Listener, Progress, silent
from layerfusion.runs.request import Request
from layerfusion.runs.session import Session

COLUMNS, TILE = 9, (112, 112)


@dataclass(frozen=True)
class Example:
    """One triplet of the sheet: its prompts, and which of its pictures stands for which entry of which group."""

    foreground: str
    background: str
    shows: tuple[tuple[str, str, str], ...]  # (group, entry, picture)


def examples(known: Vocabulary) -> list[Example]:
    """The triplets that show every entry once. Each object stands in some scene, and so the scenes come along."""
    scenes = [entry.name for entry in known.scenes] or ["plain wall"]
    pending = [entry.name for entry in known.scenes]
    chosen = []
    objects = [(group, entry.name) for group, entries in known.objects.items() for entry in entries]
    for number, (group, name) in enumerate(objects):
        scene = scenes[number % len(scenes)]
        shows = [(group, name, "foreground")]
        if scene in pending:
            pending.remove(scene)
            shows.append(("scenes", scene, "background"))
        chosen.append(Example(article(name), article(scene), tuple(shows)))
    thing = objects[0][1] if objects else "thing"
    chosen += [Example(article(thing), article(scene), (("scenes", scene, "background"),)) for scene in pending]
    coloured = next((e.name for entries in known.objects.values() for e in entries if e.coloured), thing)
    scene_prompt = article(scenes[0])
    for colour in known.colours:
        shown = ("colours", colour.name, "foreground")
        chosen.append(Example(article(f"{colour.name} {coloured}"), scene_prompt, (shown,)))
    for style in known.styles:
        shown = ("styles", style.name, "blended")
        chosen.append(Example(f"{article(thing)}, {style.name}", f"{scene_prompt}, {style.name}", (shown,)))
    return chosen


def vocabulary_sheet(request: Request, steps: int | None, seed: int, listener: Listener = silent) -> Image.Image:
    """Everything a model knows, an entry a tile.

    Args:
        request: Its model, which has a vocabulary; its prompts are of no account.
        steps: Sampling steps; the model's own where None.
        seed: The same for every picture.
        listener: Told of the loading, and of every picture.

    Raises:
        LayerFusionError: the model has no vocabulary, or cannot be loaded.
    """
    session = Session.open(request, listener=listener)
    if session.vocabulary is None:
        raise LayerFusionError(f"{session.model.name} carries no vocabulary: it takes any words.")
    pictures: dict[tuple[str, str], Image.Image] = {}
    chosen = examples(session.vocabulary)
    for number, each in enumerate(chosen):
        listener(Progress("sampling", number, len(chosen), number + 1))
        example = Request(foreground_prompt=each.foreground, background_prompt=each.background, seed=seed, steps=steps)
        triplet = next(generate(session, example)).triplet
        pictures |= {(group, entry): getattr(triplet, picture) for group, entry, picture in each.shows}
    rows, labels = [], []
    for group, entries in session.vocabulary.groups().items():
        tiles = [Tile(pictures[group, entry.name], entry.name) for entry in entries]
        for start in range(0, len(tiles), COLUMNS):
            rows.append(tiles[start : start + COLUMNS])
            labels.append("" if start else group)
    subtitle = f"Every entry once, seed {seed}; objects are foregrounds, scenes backgrounds, styles blended pictures"
    return sheet(rows, TILE, f"What {session.model.name} knows", subtitle, labels)
