"""Atomic writes: a file is either whole or not there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layerfusion.errors import LayerFusionError


@contextmanager
def atomic_write(path: str | os.PathLike[str], overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same ending; on success it takes `path`'s place in one step.

    After an exception (Ctrl-C included) the temporary file is removed and `path` is as it was.

    Raises:
        LayerFusionError: the folder cannot be written to, or `path` exists and `overwrite` is false.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise LayerFusionError(f"{target} already exists; choose another name or allow overwriting it.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise LayerFusionError(
            f"{target.parent} cannot be written to ({error.strerror}); choose another folder."
        ) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; give the result the permissions an ordinary write would have.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
