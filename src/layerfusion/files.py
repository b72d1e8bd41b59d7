"""Files and folders replaced in one step: whoever looks, and whenever the power fails, the old or the new one is there.

What is written lies meanwhile in a workplace beside its target, a folder `.layerfusion-…` that its maker holds locked.
A finished file is renamed over the old one, a finished folder changes places with it. Where a system cannot exchange
two folders, the old one is set aside in the workplace first:

    new/NAME  what is being written            old/NAME  what it replaces, until the new one stands in its place

A workplace that nobody holds belonged to a process that was killed. The next write in the same folder, or the next
reader that misses a name, puts back what was set aside and removes it.
"""

import ctypes
import errno
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from layerfusion.errors import LayerFusionError

try:
    import fcntl
except ImportError:  # Windows, where workplaces are not locked and so never taken for abandoned
    fcntl = None  # type: ignore[assignment]

PREFIX = ".layerfusion-"
RENAME_EXCHANGE = 2  # of renameat2 on Linux, and of renamex_np on macOS
NOT_HERE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # what file systems say that cannot do it


@contextmanager
def atomic_write(path: str | os.PathLike[str], overwrite: bool = True) -> Iterator[Path]:
    """Yield a path to write a file to, of the same name; on success it takes `path`'s place in one step.

    After an exception (Ctrl-C included) nothing is left of it and `path` is as it was. A link is followed.

    Raises:
        LayerFusionError: the folder cannot be written to, `path` is no ordinary file or a link to nothing, or it
            exists and `overwrite` is false.
    """
    target = _target(path, overwrite)
    if target.is_dir():
        raise LayerFusionError(f"{path} is a folder, and a file would take its place; choose another name.")
    with _workplace(target) as new:
        yield new
        _to_disk(new)
        if overwrite:
            os.replace(new, target)
        else:
            _put(new, target)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], overwrite: bool = True) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it takes `path`'s place in one step, with everything in it.

    Raises:
        LayerFusionError: as for `atomic_write`; an empty folder may always be replaced.
    """
    target = _target(path, overwrite or _is_empty(Path(path)))
    if target.exists() and not target.is_dir():
        raise LayerFusionError(f"{path} is a file, and a folder would take its place; choose another name.")
    with _workplace(target) as new:
        new.mkdir()
        yield new
        for entry in new.rglob("*"):
            _to_disk(entry)
        _to_disk(new)
        if not target.exists() or _is_empty(target):
            os.rename(new, target)
        elif not _exchange(new, target):
            _set_aside(new, target)


def sweep(folder: Path) -> None:
    """Remove the workplaces that killed processes left in a folder, and put back what they had set aside."""
    if fcntl is None:
        return
    for place in folder.glob(f"{PREFIX}*"):
        # One that is held, already gone, or another user's, is left alone.
        with suppress(OSError), _opened(place) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for old in place.glob("old/*"):
                if not os.path.lexists(folder / old.name):
                    os.rename(old, folder / old.name)
            shutil.rmtree(place)


def _target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """The file or folder that `path` means, behind links, if it may be replaced or made."""
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise LayerFusionError(f"{path} is a link to nothing; remove it or choose another name.") from None
        return Path(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can be named so"
        raise LayerFusionError(f"{str(path)[:80]!r} cannot be written to ({reason}); choose another name.") from None
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise LayerFusionError(f"{path} is neither a file nor a folder; choose another name.")
    if not overwrite:
        raise LayerFusionError(f"{path} already exists; choose another name or allow overwriting it.")
    return Path(os.path.realpath(path))


def _put(new: Path, target: Path) -> None:
    """Give the file its name unless another process has taken it meanwhile."""
    try:
        os.link(new, target)
    except FileExistsError:
        raise LayerFusionError(f"{target} already exists; choose another name or allow overwriting it.") from None
    except OSError:  # a file system without hard links
        os.replace(new, target)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """A locked folder beside the target; yields where in it the target's successor is to be made."""
    with ExitStack() as held:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            sweep(target.parent)
            place = _claim(target.parent, held)
        except OSError as error:
            raise LayerFusionError(
                f"{target.parent} cannot be written to ({error.strerror}); choose another folder."
            ) from None
        try:
            yield place / "new" / target.name
        finally:
            shutil.rmtree(place)


def _claim(parent: Path, held: ExitStack) -> Path:
    """Make a workplace and lock it; the system gives the lock back when the process ends, however it ends."""
    while True:
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        # Until it is locked, a sweep may take it for abandoned: then another is made.
        with suppress(FileNotFoundError):
            handle = held.enter_context(_opened(place))
            if fcntl is not None:
                with suppress(OSError):  # a file system without locks: nothing is ever swept there
                    fcntl.flock(handle, fcntl.LOCK_EX)
            (place / "new").mkdir()
            return place


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file or folder, opened for locking and for waiting for the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system or the file system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(one), os.fsencode(other))
    if hasattr(library, "renameat2"):
        here = -100  # AT_FDCWD: names are as they stand
        failed = library.renameat2(here, names[0], here, names[1], RENAME_EXCHANGE)
    elif hasattr(library, "renamex_np"):
        failed = library.renamex_np(*names, RENAME_EXCHANGE)
    else:
        return False
    code = ctypes.get_errno()
    if failed and code not in NOT_HERE:
        raise OSError(code, os.strerror(code), str(other))
    return not failed


def _set_aside(new: Path, target: Path) -> None:
    """The two renames that stand in for an exchange; `sweep` undoes the first where the second never came."""
    old = new.parent.parent / "old" / target.name
    old.parent.mkdir()
    os.rename(target, old)
    try:
        os.rename(new, target)
    except BaseException:
        os.rename(old, target)
        raise


def _to_disk(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that no name can outlive a power cut without its content."""
    if sys.platform != "win32":
        with _opened(path) as handle:
            os.fsync(handle)
