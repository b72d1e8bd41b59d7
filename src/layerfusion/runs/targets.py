"""Where triplets are written: refused before any work where they cannot be, and written whole or not at all."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layerfusion.errors import LayerFusionError
from layerfusion.files import PREFIX, atomic_folder, claimed, look
from layerfusion.runs.record import RECORD_FILE
from layerfusion.triplet import PICTURES, SUBJECT_LAYERS

if TYPE_CHECKING:
    from layerfusion.runs.generation import Generated

FIGURES = ("priors", "structure")
OVERLAYS = ("structureprior", "contentprior", "softmask")
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
    "structureprior.png": "the structure prior half-way, to lie over the picture",
    "contentprior.png": "the content confidence half-way",
    "softmask.png": "the soft mask half-way",
    "layers": "each foreground as layers of its own, in their places",
    "triplet.json": "settings, to repeat it with --from",
}


def content_of(name: str) -> str | None:
    """What a user finds in the file of this name; figures of further foregrounds have their numbers in it."""
    return CONTENTS.get(re.sub(r"\d+(?=\.png$)", "", name))


@dataclass(frozen=True)
class Target:
    """The folder of one triplet.

    Attributes:
        folder: Where its files lie.
        formats: Endings of the layered files that are wanted, without the dot.
        show_priors: Whether the figures of the priors are wanted.
        subjects: How many foregrounds have layers of their own, in a folder; 0 where the only one has no place.
    """

    folder: Path
    formats: tuple[str, ...] = ()
    show_priors: bool = False
    subjects: int = 0

    @property
    def layered(self) -> tuple[str, ...]:
        return tuple(f"layers.{ending}" for ending in self.formats)

    @property
    def names(self) -> tuple[str, ...]:
        """Of every file that will be written."""
        numbers = ("", *range(2, self.subjects + 1))
        figures = (*FIGURES, *(f"{name}{number}" for number in numbers for name in OVERLAYS))
        pictures = (*PICTURES, *(figures if self.show_priors else ()))
        folder = (SUBJECT_LAYERS,) if self.subjects else ()
        return (*(f"{name}.png" for name in pictures), *folder, *self.layered, RECORD_FILE)

    def write(self, generated: "Generated", overwrite: bool = False) -> None:
        """Write all files into a folder that takes its place when it is whole. The PNGs carry the record too.

        Raises:
            LayerFusionError: the folder holds a triplet and `overwrite` is false, or it holds other files.
        """
        from layerfusion.layers import write

        self.check(overwrite)
        with atomic_folder(self.folder, overwrite) as new:
            generated.fill(new)
            if self.formats or generated.triplet.subjects:
                stack = generated.triplet.to_stack(generated.record.to_dict())
                for name in self.layered:
                    write(stack, new / name)
                if generated.triplet.subjects:
                    write(stack, new / SUBJECT_LAYERS)

    def check(self, overwrite: bool) -> None:
        """Refuse a folder that could not be replaced without a loss; errors as for `write`."""
        found = look(self.folder)
        if found is None:
            return
        if not stat.S_ISDIR(found.st_mode):
            raise LayerFusionError(f"{self.folder} is a file; choose another --out.")
        entries = [entry for entry in self.folder.iterdir() if not entry.name.startswith(PREFIX)]
        present, ours = {entry.name for entry in entries}, {entry.name for entry in entries if self._is_ours(entry)}
        if ours and not overwrite:
            raise LayerFusionError(
                f"{self.folder / min(ours)} already exists; choose another --out or add --overwrite."
            )
        if present - ours:
            raise LayerFusionError(
                f"{self.folder} holds other files ({min(present - ours)}), and a triplet has a folder of its own; "
                "choose another --out, such as a name in it."
            )
        if os.path.ismount(self.folder) or self.folder.samefile(Path.cwd()):
            raise LayerFusionError(
                f"{self.folder} is in use and cannot change places with a new folder; choose a name in it as --out."
            )

    def _is_ours(self, entry: Path) -> bool:
        """Whether a file belongs to a triplet, so that it goes when the triplet is replaced."""
        from layerfusion.layers.formats.folder import check_replaceable

        if entry.name == SUBJECT_LAYERS and entry.is_dir():
            check_replaceable(entry)
            return True
        known = entry.name in self.names or content_of(entry.name) or re.fullmatch(r"layers\.[a-z]+", entry.name)
        return bool(known) and entry.is_file()


def plan_targets(
    folder: Path, count: int, formats: tuple[str, ...] = (), show_priors: bool = False, subjects: int = 0
) -> list[Target]:
    """One folder for one triplet, numbered folders in it for several."""
    folders = [folder] if count == 1 else [folder / f"{number:04d}" for number in range(1, count + 1)]
    return [Target(each, formats, show_priors, subjects) for each in folders]


@contextmanager
def reserved(folder: Path, targets: Iterable[Target], overwrite: bool) -> Iterator[None]:
    """Keep the folder of a run from other runs, refusing before any work what could not be written after it.

    Raises:
        LayerFusionError: a format is not known; a triplet exists and `overwrite` is false; a folder holds other
            files, or one triplet where several go, or cannot be written to; or another run is about to write there.
    """
    from layerfusion.layers import FORMATS, check_writable

    targets = list(targets)
    for ending in targets[0].formats:
        if ending not in FORMATS:
            raise LayerFusionError(f"there is no layered format {ending!r}; choose from {', '.join(FORMATS)}.")
        check_writable(folder / f"layers.{ending}")
    with claimed(folder):
        if targets[0].folder != folder and look(folder / RECORD_FILE) is not None:
            raise LayerFusionError(f"{folder} holds one triplet; choose another --out for several.")
        for target in targets:
            target.check(overwrite)
        yield


def default_folder(request_words: str, seed: int) -> Path:
    """outputs/a-red-fox-a-snowy-forest-7"""
    words = re.findall(r"\w+", request_words.lower())
    # Bytes are what a name may not have too many of.
    name = "-".join(words).encode()[:60].decode(errors="ignore").strip("-")
    return Path("outputs") / f"{name or 'triplet'}-{seed}"
