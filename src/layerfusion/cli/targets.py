"""Where triplets are written: refused before any work where they cannot be, and written whole or not at all."""

import re
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from layerfusion.cli.record import RECORD_FILE, dumps, png_metadata
from layerfusion.errors import LayerFusionError
from layerfusion.files import atomic_write

if TYPE_CHECKING:
    from layerfusion.layers import LayerStack

PICTURES = ("foreground.png", "background.png", "blended.png", "composite.png")
PRIORS, STRUCTURE = "priors.png", "structure.png"


@dataclass(frozen=True)
class Target:
    """The folder of one triplet.

    Attributes:
        folder: Where its files lie.
        kinds: Endings of the layered files that are wanted, without the dot.
        show_priors: Whether the figures of the priors are wanted.
    """

    folder: Path
    kinds: tuple[str, ...] = ()
    show_priors: bool = False

    @property
    def layered(self) -> tuple[str, ...]:
        return tuple(f"layers.{kind}" for kind in self.kinds)

    @property
    def names(self) -> tuple[str, ...]:
        """Of every file that will be written."""
        figures = (PRIORS, STRUCTURE) if self.show_priors else ()
        return (*PICTURES, *figures, *self.layered, RECORD_FILE)

    def write(self, pictures: dict[str, Image.Image], stack: "LayerStack | None", record: dict[str, Any]) -> None:
        """Write all files; they appear together, `triplet.json` last.

        Args:
            pictures: File name to picture.
            stack: The triplet as layers, where `kinds` asks for layered files.
            record: The content of `triplet.json`; the PNGs carry it too.
        """
        from layerfusion.layers import write

        metadata = png_metadata(record)
        # Each file is renamed into its place when the stack unwinds, the first one entered last.
        with ExitStack() as files:
            path = files.enter_context(atomic_write(self.folder / RECORD_FILE))
            path.write_text(dumps(record), encoding="utf-8")
            for name, picture in pictures.items():
                path = files.enter_context(atomic_write(self.folder / name))
                picture.save(path, "PNG", pnginfo=metadata)
            if stack is not None:
                for name in self.layered:
                    write(stack, files.enter_context(atomic_write(self.folder / name)))


def plan_targets(folder: Path, count: int, kinds: tuple[str, ...], show_priors: bool) -> list[Target]:
    """One folder for one triplet, numbered folders in it for several."""
    folders = [folder] if count == 1 else [folder / f"{number:04d}" for number in range(1, count + 1)]
    return [Target(each, kinds, show_priors) for each in folders]


def check_targets(folder: Path, targets: Iterable[Target], overwrite: bool) -> None:
    """Refuse, before any work, what could not be written after it. Nothing is left behind.

    Raises:
        LayerFusionError: a kind of file is not known, a file exists and `overwrite` is false, or the folder cannot be
            written to.
    """
    from layerfusion.layers import FORMATS, check_writable

    targets = list(targets)
    for kind in targets[0].kinds:
        if kind not in FORMATS:
            raise LayerFusionError(f"there is no layered format {kind!r}; choose from {', '.join(FORMATS)}.")
        check_writable(folder / f"layers.{kind}")
    for path in (target.folder / name for target in targets for name in target.names):
        if path.exists() and not overwrite:
            raise LayerFusionError(f"{path} already exists; choose another --out or add --overwrite.")
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryDirectory(dir=existing):
            pass
    except OSError as error:
        raise LayerFusionError(f"{folder} cannot be written to ({error.strerror}); choose another --out.") from None


def default_folder(foreground: str, background: str, seed: int) -> Path:
    """outputs/a-red-fox-a-snowy-forest-7"""
    words = re.findall(r"\w+", f"{foreground} {background}".lower())
    return Path("outputs") / f"{'-'.join(words)[:60].strip('-') or 'triplet'}-{seed}"
