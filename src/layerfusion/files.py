"""Files and folders replaced in one step: whoever looks, and whenever the power fails, the old or the new one is there.

What is written lies meanwhile in a workplace beside its target, a folder `.layerfusion-…` that its maker holds locked.
A finished file is renamed over the old one, a finished folder changes places with it. Where a system cannot exchange
two folders, the old one is set aside in the workplace first:

    new/NAME  what is being written            old/NAME  what it replaces, until the new one stands in its place

A run that will write later claims the name first, by a file `.layerfusion-….claim` that it holds locked as well.

What nobody holds belonged to a process that was killed. The next write in the same folder, or the next reader that
misses a name, puts back what was set aside and removes it.
"""

import ctypes
import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

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
    look(path)
    target = _target(path, overwrite or _is_empty(Path(path)))
    if target.exists() and not target.is_dir():
        raise LayerFusionError(f"{path} is a file, and a folder would take its place; choose another name.")
    with _workplace(target) as new:
        new.mkdir()
        yield new
        for entry in new.rglob("*"):
            _to_disk(entry)
        _to_disk(new)
        if not overwrite or not target.exists() or _is_empty(target):
            _move(new, target)
        elif not _exchange(new, target):
            _set_aside(new, target)


@contextmanager
def claimed(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep a name from other runs until something is written there; a run that is killed gives it back.

    Folders on the way are made, and those of them that are still empty afterwards go again.

    Raises:
        LayerFusionError: another run holds the name, or its folder cannot be written to.
    """
    target = Path(os.path.realpath(path))
    made = [folder for folder in target.parents if look(folder) is None]
    # The target's name may be as long as names can be, and so it cannot be a part of this one.
    file = target.parent / f"{PREFIX}{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.claim"
    try:
        with ExitStack() as held:
            with _refusals(target.parent):
                target.parent.mkdir(parents=True, exist_ok=True)
                sweep(target.parent)
                handle = held.enter_context(_locked(file, target))
                held.callback(file.unlink, missing_ok=True)
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} since {datetime.now():%H:%M}".encode())
            yield
    finally:
        for folder in made:
            with suppress(OSError):  # what is not empty stays
                folder.rmdir()


def check_png(path: Path, overwrite: bool) -> None:
    """Refuse before any work what would be refused after it, or would be a PNG by another name.

    Raises:
        LayerFusionError: as for `atomic_write`, or the name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise LayerFusionError(f"{path} would be a PNG by another name; end it in .png.")
    if _target(path, overwrite).is_dir():
        raise LayerFusionError(f"{path} is a folder, and a file would take its place; choose another name.")


def sweep(folder: Path) -> None:
    """Remove the workplaces that killed processes left in a folder, and put back what they had set aside."""
    if fcntl is None:
        return
    for place in folder.glob(f"{PREFIX}*"):
        # One that is held, already gone, or another user's, is left alone.
        with suppress(OSError), _opened(place) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if place.suffix == ".claim":
                place.unlink()
                continue
            for old in place.glob("old/*"):
                if not os.path.lexists(folder / old.name):
                    os.rename(old, folder / old.name)
            shutil.rmtree(place)


def look(path: str | os.PathLike[str]) -> os.stat_result | None:
    """What lies at a path, behind links; None where there is nothing, or a link to nothing.

    Raises:
        LayerFusionError: no file can be named so, or a folder on the way may not be entered.
    """
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can be named so"
        raise LayerFusionError(f"{str(path)[:80]!r} cannot be used ({reason}); choose another name.") from None


def at_home(name: str | os.PathLike[str]) -> Path:
    """A path with `~` and `~user` put in words.

    Raises:
        LayerFusionError: there is no such user.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise LayerFusionError(f"{name} names the home of a user that is not here; write the whole path.") from None


@contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """An ordinary file, opened for reading; a pipe or a device is refused rather than waited for.

    Raises:
        LayerFusionError: it is missing, no ordinary file, or may not be read.
    """
    found = look(path)
    if found is None:
        raise LayerFusionError(f"{path} does not exist; check the name.")
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no ordinary file"
        raise LayerFusionError(f"{path} is {what}; give a file.")
    try:
        # Should a pipe have taken its place since, opening it does not wait for who writes to it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise LayerFusionError(f"{path} cannot be read ({error.strerror}); allow it or give another file.") from None
    with open(handle, "rb") as file:
        yield file


def _target(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """The file or folder that `path` means, behind links, if it may be replaced or made."""
    found = look(path)
    if found is None:
        if os.path.islink(path):
            raise LayerFusionError(f"{path} is a link to nothing; remove it or choose another name.")
        return Path(path)
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


def _move(new: Path, target: Path) -> None:
    """Give the folder its name where there is nothing yet, or an empty folder."""
    try:
        os.rename(new, target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise LayerFusionError(f"{target} already exists; choose another name or allow overwriting it.") from None


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


@contextmanager
def _refusals(folder: Path) -> Iterator[None]:
    """What the system says against writing in a folder, as a sentence."""
    try:
        yield
    except OSError as error:
        raise LayerFusionError(f"{folder} cannot be written to ({error.strerror}); choose another folder.") from None


@contextmanager
def _locked(file: Path, target: Path) -> Iterator[int]:
    """A file that only one process holds at a time; who comes second is told who the first is."""
    patience = time.monotonic() + 0.2  # a sweep holds what it removes for a moment
    while True:
        with _opened(file, os.O_RDWR | os.O_CREAT) as handle:
            try:
                _lock(handle)
            except BlockingIOError:
                if time.monotonic() < patience:
                    time.sleep(0.01)
                    continue
                who = os.read(handle, 100).decode("ascii", "replace")
                raise LayerFusionError(
                    f"another run is about to write {target} ({who}); wait for it, or choose another name."
                ) from None
            # A sweep may have removed it between the two calls: then it is made again.
            found = look(file)
            if found is not None and found.st_ino == os.fstat(handle).st_ino:
                yield handle
                return


def _lock(handle: int) -> None:
    """Lock an open file; the system gives the lock back when the process ends, however it ends.

    Raises:
        BlockingIOError: another process holds it.
    """
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks: nothing is claimed or swept there
            pass


@contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """A locked folder beside the target; yields where in it the target's successor is to be made."""
    with ExitStack() as held:
        with _refusals(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            sweep(target.parent)
            place = _make_workplace(target.parent, held)
        try:
            yield place / "new" / target.name
        except OSError as error:  # a full disk names no file, or one in the workplace
            if error.filename is None or Path(str(error.filename)).is_relative_to(place):
                error.filename = str(target)
            raise
        finally:
            # What cannot be removed is not worth an error: the target is as it should be, and the next write sweeps.
            shutil.rmtree(place, ignore_errors=True)


def _make_workplace(parent: Path, held: ExitStack) -> Path:
    while True:
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        # Until it is locked, a sweep may take it for abandoned: then another is made.
        with suppress(FileNotFoundError, BlockingIOError):
            _lock(held.enter_context(_opened(place)))
            (place / "new").mkdir()
            return place


@contextmanager
def _opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A file or folder, opened for locking and for waiting for the disk."""
    handle = os.open(path, flags, 0o666)
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
