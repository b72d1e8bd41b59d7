"""A picture of everything a small model knows, made by the model itself."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Generator

from layerfusion.cli.console import loading_bar, sampling_bar
from layerfusion.drawing import Tile, sheet
from layerfusion.files import atomic_write
from layerfusion.models import Vocabulary, load_pipeline
from layerfusion.models.vocabulary import article
from layerfusion.pipeline import LayerFusionPipeline

BATCH = 8
COLUMNS, TILE = 9, (112, 112)


@dataclass(frozen=True)
class Ask:
    """One triplet of the sheet: its prompts, and which of its pictures goes where on the sheet, under which label."""

    foreground: str
    background: str
    shows: tuple[tuple[str, str, str], ...]


def plan(known: Vocabulary) -> list[Ask]:
    """The triplets that show every entry once. Each object stands in some scene, and so the scenes come along."""
    scenes = [entry.name for entry in known.scenes] or ["plain wall"]
    pending = [entry.name for entry in known.scenes]
    asks = []
    objects = [(kind, entry.name) for kind, entries in known.objects.items() for entry in entries]
    for number, (kind, name) in enumerate(objects):
        scene = scenes[number % len(scenes)]
        shows = [(kind, name, "foreground")]
        if scene in pending:
            pending.remove(scene)
            shows.append(("scenes", scene, "background"))
        asks.append(Ask(article(name), article(scene), tuple(shows)))
    thing = objects[0][1] if objects else "thing"
    asks += [Ask(article(thing), article(scene), (("scenes", scene, "background"),)) for scene in pending]
    coloured = next((e.name for entries in known.objects.values() for e in entries if e.coloured), thing)
    asks += [
        Ask(article(f"{colour.name} {coloured}"), article(scenes[0]), (("colours", colour.name, "foreground"),))
        for colour in known.colours
    ]
    asks += [
        Ask(
            f"{article(thing)}, {style.name}",
            f"{article(scenes[0])}, {style.name}",
            (("styles", style.name, "blended"),),
        )
        for style in known.styles
    ]
    return asks


def write_sheet(model: str, known: Vocabulary, path: Path, steps: int | None, seed: int) -> None:
    """Make the pictures and write the sheet.

    Args:
        model: A preset or a model's folder.
        known: Its vocabulary.
        path: The PNG.
        steps: Sampling steps; the model's own where None.
        seed: The same for every picture.
    """
    asks = plan(known)
    pictures: dict[tuple[str, str], Image.Image] = {}
    with loading_bar() as bar:
        bar.add_task(f"Loading {model}", total=None)
        pipeline = load_pipeline(model)
    pipeline.set_progress_bar_config(disable=True)
    with sampling_bar() as bar:
        for first in bar.track(range(0, len(asks), BATCH), description="Drawing"):
            pictures |= _draw(pipeline, asks[first : first + BATCH], steps, seed)
    rows, labels = [], []
    for kind, entries in known.kinds().items():
        tiles = [Tile(pictures[kind, entry.name], entry.name) for entry in entries]
        for start in range(0, len(tiles), COLUMNS):
            rows.append(tiles[start : start + COLUMNS])
            labels.append("" if start else kind)
    subtitle = f"Every entry once, seed {seed}; objects are foregrounds, scenes backgrounds, styles blended pictures"
    drawn = sheet(rows, TILE, f"What {Path(model).name} knows", subtitle, labels)
    with atomic_write(path) as temporary:
        drawn.save(temporary, "PNG")


def _draw(
    pipeline: LayerFusionPipeline, asks: list[Ask], steps: int | None, seed: int
) -> dict[tuple[str, str], Image.Image]:
    """The pictures of one batch, by kind and label."""
    output = pipeline(
        [ask.foreground for ask in asks],
        [ask.background for ask in asks],
        num_inference_steps=steps,
        generator=[Generator().manual_seed(seed) for _ in asks],
    )
    return {
        (kind, label): getattr(output, stream)[index]
        for index, ask in enumerate(asks)
        for kind, label, stream in ask.shows
    }
