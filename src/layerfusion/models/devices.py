"""Which devices there can be, told before torch is imported."""

import ctypes
import sys
from importlib import metadata

from layerfusion.errors import LayerFusionError

BACKENDS = ("cpu", "cuda", "mps")


def parse_device(name: str) -> tuple[str, int]:
    """The kind of device and its number: "cuda:1" is ("cuda", 1).

    Raises:
        LayerFusionError: it is no device's name.
    """
    backend, colon, index = name.partition(":")
    if backend not in BACKENDS or (colon and not (index.isascii() and index.isdecimal() and len(index) < 4)):
        raise LayerFusionError(f"there is no device {name!r}; choose cpu, cuda, cuda:1 or mps.")
    return backend, int(index or 0)


def absent(backend: str) -> LayerFusionError:
    """What is said where a machine has no such device."""
    return LayerFusionError(f"this machine has no {backend} device that torch can use; choose cpu.")


def may_have(backend: str) -> bool:
    """False where torch cannot have such a device; only torch itself knows that it has."""
    if backend == "mps":
        return sys.platform == "darwin"
    if backend == "cpu" or sys.platform != "linux":
        return backend == "cpu" or sys.platform != "darwin"
    build = metadata.version("torch")
    if "+cpu" in build:
        return False
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "+rocm" in build
    return True


def check_offload(offload: str | None, backend: str) -> None:
    """Raise a LayerFusionError where there is nothing to offload from."""
    if offload not in (None, "none") and backend == "cpu":
        raise LayerFusionError(f"offload {offload!r} needs a GPU to offload from; choose none on a CPU.")
