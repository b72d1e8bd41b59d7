"""Names for what measurements keep: they go on where they were stopped, and never with another model's pictures."""

import hashlib
from typing import Any

from layerfusion.models.locate import fingerprint, here


def digest(key: Any) -> str:
    """A name for what plain values and dataclasses of them say."""
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


def fingerprint_of(model: str) -> str:
    """Of the weights `model`, a preset's name or a path, means on this machine; of the name where it means none."""
    path = here(model)
    return digest(model) if path is None else fingerprint(path)
