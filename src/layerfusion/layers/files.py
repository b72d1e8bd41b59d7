"""Read and write a stack; the format is told by the ending."""

import importlib
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from layerfusion.errors import LayerFusionError
from layerfusion.files import atomic_folder, atomic_write, look, sweep
from layerfusion.layers.formats import flat, folder, html, ora, pptx, psd, tiff
from layerfusion.layers.stack import LayerStack


class Format(NamedTuple):
    """One format: what a person calls it, its writer, its reader if it has one, and the package it needs."""

    title: str
    write: Callable[[LayerStack, Path], None]
    read: Callable[[Path], LayerStack] | None = None
    needs: str | None = None


FORMATS: dict[str, Format] = {
    "psd": Format("Photoshop", psd.write, psd.read, needs="psd_tools"),
    "ora": Format("OpenRaster", ora.write, ora.read),
    "pptx": Format("PowerPoint", pptx.write, needs="pptx"),
    "tiff": Format("multi-page TIFF", tiff.write),
    "tif": Format("multi-page TIFF", tiff.write),
    "html": Format("web page", html.write, html.read),
    "png": Format("flattened PNG", flat.write),
    "webp": Format("flattened WebP", flat.write),
    "avif": Format("flattened AVIF", flat.write),
    "jpg": Format("flattened JPEG", flat.write),
    "jpeg": Format("flattened JPEG", flat.write),
}
READABLE = "a folder of PNGs, .psd, .ora or .html"


def _format(path: Path) -> Format:
    """What the ending names."""
    found = FORMATS.get(path.suffix.lower().removeprefix("."))
    if found is None:
        raise LayerFusionError(f"{path} ends in no format known here; use a folder or one of .{', .'.join(FORMATS)}.")
    if found.needs:
        try:
            importlib.import_module(found.needs)
        except ImportError:
            raise LayerFusionError(
                f"{found.title} files need a package that is missing; run: pip install 'layerfusion[formats]'."
            ) from None
    return found


def is_folder(path: Path) -> bool:
    """Whether this name means a folder of PNGs: it is one, or has no ending."""
    found = look(path)
    return not path.suffix if found is None else stat.S_ISDIR(found.st_mode)


def check_writable(path: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Refuse a name that `write` would refuse, before any picture is made.

    Raises:
        LayerFusionError: the ending names no format, its package is missing, the folder holds other files, or the
            target exists and `overwrite` is false.
    """
    target = Path(path)
    if is_folder(target) or not target.suffix:
        folder.check_replaceable(target)
    else:
        _format(target)
    if not overwrite and look(target) is not None and not (target.is_dir() and not any(target.iterdir())):
        raise LayerFusionError(f"{target} already exists; choose another name or add --overwrite.")


def write(stack: LayerStack, path: str | os.PathLike[str], overwrite: bool = True) -> Path:
    """Write a stack to the format that the ending names; no ending means a folder of PNGs with a manifest.

    The target is replaced in one step when its successor is whole; after any error it is as it was.

    Returns:
        The path written.

    Raises:
        LayerFusionError: the format is not known, its package is missing, it cannot hold this stack, the folder
            cannot be written to, the disk is full, or the target exists and `overwrite` is false.
    """
    return write_all(stack, [path], overwrite)[0]


def write_all(stack: LayerStack, paths: Sequence[str | os.PathLike[str]], overwrite: bool = True) -> list[Path]:
    """Write a stack to several places, as `write` does to one; none is touched before all are ready."""
    targets = [Path(path) for path in paths]
    for one, other in combinations([Path(os.path.abspath(target)) for target in targets], 2):
        if one == other or one in other.parents or other in one.parents:
            raise LayerFusionError(f"{one} and {other} are one place, or one in the other; choose places apart.")
    for target in targets:
        check_writable(target)
    stack.check_memory()
    try:
        with ExitStack() as ready:  # left, it puts everything in its place
            for target in targets:
                if is_folder(target):
                    folder.write(stack, ready.enter_context(atomic_folder(target, overwrite)))
                else:
                    _format(target).write(stack, ready.enter_context(atomic_write(target, overwrite)))
    except OSError as error:
        names = ", ".join(map(str, targets))
        reason = error.strerror or error
        raise LayerFusionError(f"{names} could not be written ({reason}); make room or choose another place.") from None
    return targets


def read(path: str | os.PathLike[str]) -> LayerStack:
    """Read a folder of PNGs with its manifest, a triplet's folder, a .psd, an .ora, or a page that was written here.

    Raises:
        LayerFusionError: it is missing, of another format, damaged, or too large.
    """
    source = Path(path)
    if look(source) is None:
        sweep(source.parent)  # it may have been set aside by a process that was killed while replacing it
    found = look(source)
    if found is None:
        raise LayerFusionError(f"{source} does not exist; check the name.")
    if stat.S_ISDIR(found.st_mode):
        return folder.read(source)
    reader = _format(source).read
    if reader is None:
        raise LayerFusionError(f"{source} cannot be read back as layers; give {READABLE}.")
    return reader(source)
