"""A process that is killed, or refused by the disk, at the n-th of its calls that change a file system."""

import errno
import os
import signal
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from layerfusion import files

Fault = Literal["kill", "disk full"]
# What Python tells an audit hook before it does it. Of "open" only what opens for writing counts.
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")


Content = dict[str, bytes] | bytes | None


def content(path: Path) -> Content:
    """What lies at a path, to be compared. A whole .pptx is taken by its members, since it holds the time."""
    if path.is_dir():
        return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    if path.suffix == ".pptx" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if name != "docProps/core.xml"}
    return path.read_bytes() if path.exists() else None


def at_every_change(action: Callable[[], None], fault: Fault, most: int = 500) -> Iterator[int]:
    """Do something in a fork again and again, with a fault one change later each time, until none comes in its way.

    Yields:
        The fork's exit code, to look at what it left: 0 whole, 3 for an OSError or an error of ours, below 0 killed.
    """
    for number in range(1, most):
        child = os.fork()
        if child == 0:
            _do(action, fault, number)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 9:  # there were fewer changes than that
            return
        yield code
    raise AssertionError(f"still changing files after {most} changes")


def _do(action: Callable[[], None], fault: Fault, number: int) -> None:
    """In the fork: never returns."""
    seen = 0

    def change() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            if fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def hook(event: str, arguments: tuple) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            change()

    def counted(original: Callable) -> Callable:
        def call(*arguments: object) -> object:
            change()
            return original(*arguments)

        return call

    files.os.fsync = counted(os.fsync)  # type: ignore[attr-defined]
    files._exchange = counted(files._exchange)
    sys.addaudithook(hook)
    code = 1
    try:
        action()
        code = 0 if seen >= number else 9
    except (OSError, ValueError):  # as the boundary of the command takes them
        code = 3
    finally:
        os._exit(code)
