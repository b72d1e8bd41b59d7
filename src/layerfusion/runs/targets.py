"""Where triplets are written: refused before any work where they cannot be, and written whole or not at all."""

import re
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layerfusion.errors import LayerFusionError
from layerfusion.files import atomic_folder, atomic_write
from layerfusion.runs.record import RECORD_FILE
from layerfusion.triplet import PICTURES, SUBJECT_LAYERS

if TYPE_CHECKING:
    from layerfusion.runs.generation import Generated

FIGURES = ("priors", "structure")
# What a user finds in each file.
CONTENTS = {
    "foreground.png": "the foreground, RGBA",
    "background.png": "the background",
    "blended.png": "both, blended by the model",
    "composite.png": "the foreground laid over the background",
    "relit.png": "the foreground in the light of the scene, RGBA",
    "shadow.png": "its shadow, to be multiplied over the background",
    "light.png": "its light, to be screened over the background",
    "layered.png": "background, shadow, light and relit foreground",
    "priors.png": "priors and masks",
    "structure.png": "the structure prior of every layer",
    "layers": "each foreground as layers of its own, in their places",
    "triplet.json": "settings, to repeat it with --from",
}


@dataclass(frozen=True)
class Target:
    """The folder of one triplet.

    Attributes:
        folder: Where its files lie.
        formats: Endings of the layered files that are wanted, without the dot.
        show_priors: Whether the figures of the priors are wanted.
        subjects: Whether there are several foregrounds, whose layers lie in a folder of their own.
    """

    folder: Path
    formats: tuple[str, ...] = ()
    show_priors: bool = False
    subjects: bool = False

    @property
    def layered(self) -> tuple[str, ...]:
        return tuple(f"layers.{ending}" for ending in self.formats)

    @property
    def names(self) -> tuple[str, ...]:
        """Of every file that will be written."""
        pictures = (*PICTURES, *(FIGURES if self.show_priors else ()))
        folder = (SUBJECT_LAYERS,) if self.subjects else ()
        return (*(f"{name}.png" for name in pictures), *folder, *self.layered, RECORD_FILE)

    def write(self, generated: "Generated") -> None:
        """Write all files; they appear together, `triplet.json` last. The PNGs carry its content too."""
        from layerfusion.layers import write
        from layerfusion.layers.formats.folder import write as write_folder

        metadata = generated.record.png_metadata()
        # Each file is renamed into its place when the stack unwinds, the first one entered last.
        with ExitStack() as files:
            path = files.enter_context(atomic_write(self.folder / RECORD_FILE))
            path.write_text(generated.record.dumps(), encoding="utf-8")
            for name, picture in {**generated.triplet.pictures(), **generated.figures}.items():
                path = files.enter_context(atomic_write(self.folder / f"{name}.png"))
                picture.save(path, "PNG", pnginfo=metadata)
            if self.formats or generated.triplet.subjects:
                stack = generated.triplet.to_stack(generated.record.to_dict())
                for name in self.layered:
                    write(stack, files.enter_context(atomic_write(self.folder / name)))
                if generated.triplet.subjects:
                    write_folder(stack, files.enter_context(atomic_folder(self.folder / SUBJECT_LAYERS)))


def plan_targets(
    folder: Path, count: int, formats: tuple[str, ...] = (), show_priors: bool = False, subjects: bool = False
) -> list[Target]:
    """One folder for one triplet, numbered folders in it for several."""
    folders = [folder] if count == 1 else [folder / f"{number:04d}" for number in range(1, count + 1)]
    return [Target(each, formats, show_priors, subjects) for each in folders]


def check_targets(folder: Path, targets: Iterable[Target], overwrite: bool) -> None:
    """Refuse, before any work, what could not be written after it. Nothing is left behind.

    Raises:
        LayerFusionError: a format is not known, a file exists and `overwrite` is false, or the folder cannot be
            written to.
    """
    from layerfusion.layers import FORMATS, check_writable

    targets = list(targets)
    for ending in targets[0].formats:
        if ending not in FORMATS:
            raise LayerFusionError(f"there is no layered format {ending!r}; choose from {', '.join(FORMATS)}.")
        check_writable(folder / f"layers.{ending}")
    for path in (target.folder / name for target in targets for name in target.names):
        if path.exists() and not overwrite:
            raise LayerFusionError(f"{path} already exists; choose another --out or add --overwrite.")
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryDirectory(dir=existing):
            pass
    except OSError as error:
        raise LayerFusionError(f"{folder} cannot be written to ({error.strerror}); choose another --out.") from None


def default_folder(request_words: str, seed: int) -> Path:
    """outputs/a-red-fox-a-snowy-forest-7"""
    words = re.findall(r"\w+", request_words.lower())
    return Path("outputs") / f"{'-'.join(words)[:60].strip('-') or 'triplet'}-{seed}"
