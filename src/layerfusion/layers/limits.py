"""How large a layer file may say it is, asked before anything is decoded."""

import json
import lzma
import math
import os
import struct
import warnings
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.files import open_file
from layerfusion.layers.pictures import pixels_of

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

MAX_SIDE = 30_000  # Photoshop's own limit for .psd
MAX_PIXELS = 170_000_000  # in one picture: 680 MB of RGBA, and just below where Pillow refuses
MAX_TEXT_BYTES = 1 << 22  # of a manifest, a record, a stack.xml
BYTES_PER_PIXEL = 12  # a layer's RGBA, its encoded planes, and what a codec holds meanwhile

FARTHEST = 1_000_000  # pixels of the canvas's corner within which a layer lies: every format's numbers reach there
# What a picture file may be. Pillow knows many more, and hands some, such as EPS, to programs that run them.
PICTURES = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")

# What Pillow, its codecs and the zip, lzma and struct modules raise on damaged data.
DAMAGE = (
    OSError,
    SyntaxError,
    EOFError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)
Size = tuple[int, int]


def memory_limit() -> int:
    """Bytes this process may plan to use: three quarters of the least of what the machine, the container (cgroup) and
    the process may have; 8 GiB of a machine that cannot be asked."""
    try:
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):
        limits = [8 << 30]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # ValueError: it says "max"
            limits.append(int(Path(file).read_text()))
    if resource is not None:
        own = resource.getrlimit(resource.RLIMIT_AS)[0]
        limits += [own] if own != resource.RLIM_INFINITY else []
    return min(limits) * 3 // 4


def check_size(width: int, height: int, what: str) -> None:
    """Refuse a picture that no canvas needs.

    Args:
        what: names the picture in the sentence, such as "poster.psd".

    Raises:
        LayerFusionError: a side is below 1 or above MAX_SIDE, or there are more than MAX_PIXELS pixels.
    """
    if width < 1 or height < 1:
        raise LayerFusionError(f"{what} is {width}×{height} pixels, which is no picture; give one of at least 1×1.")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise LayerFusionError(
            f"{what} is {width}×{height} pixels; the limit is {MAX_SIDE} a side and "
            f"{MAX_PIXELS // 1_000_000} million in all, so make it smaller first."
        )


def check_memory(canvas: tuple[int, int], layers: Iterable[tuple[Size, Size]], what: str) -> None:
    """Refuse a stack that could not be held and composited within memory_limit().

    Asked with the same numbers before a file is unpacked and before a stack is composited, so that none is refused
    after it was read.

    Args:
        canvas: (width, height).
        layers: for each, (width, height) of its own pixels, and of those that they become on the grid of the canvas.

    Raises:
        LayerFusionError: they need more than memory_limit().
    """
    pictures = [canvas, canvas, *(size for both in layers for size in both)]
    need = sum(width * height for width, height in pictures) * BYTES_PER_PIXEL
    if need > memory_limit():
        raise LayerFusionError(
            f"{what} needs about {need / 2**30:.1f} GiB of memory and {memory_limit() / 2**30:.1f} GiB may be used; "
            "give a smaller canvas or fewer layers."
        )


def parse_json(data: bytes, what: str, most: int = MAX_TEXT_BYTES) -> Any:
    """JSON, UTF-8, of at most `most` bytes, whose numbers are of ordinary size.

    Raises:
        LayerFusionError: it is longer, broken, nested too deeply, or has a number that no setting needs.
    """
    if len(data) > most:
        raise LayerFusionError(f"{what} is far larger than any stack needs; it is not opened.")

    def number(text: str) -> int | float:
        if len(text) > 40 or not math.isfinite(float(text)):
            raise ValueError
        return int(text) if text.lstrip("-").isdecimal() else float(text)

    def constant(text: str) -> float:
        raise ValueError(text)  # NaN and Infinity, which are no JSON

    try:
        return json.loads(data.decode("utf-8"), parse_int=number, parse_float=number, parse_constant=constant)
    except (ValueError, RecursionError):
        raise LayerFusionError(f"{what} is not readable JSON; get or make it again.") from None


def read_json(path: Path) -> Any:
    """The content of a JSON file; errors as for `parse_json`, and for `open_file`."""
    with open_file(path) as file:
        return parse_json(file.read(MAX_TEXT_BYTES + 1), str(path))


def parse_xml(data: bytes, what: str) -> ET.Element:
    """XML of at most MAX_TEXT_BYTES, refusing any document type: entities are the way to make a small file huge.

    Raises:
        LayerFusionError: it is longer, broken, of an unknown encoding, or declares a document type.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise LayerFusionError(f"{what} is far larger than any stack needs; it is not opened.")

    def refuse(*_: object) -> None:
        raise LayerFusionError(f"{what} declares a document type, which no layer file needs; it is not opened.")

    try:
        guard = expat.ParserCreate()
        guard.StartDoctypeDeclHandler = refuse
        guard.Parse(data, True)
        return ET.fromstring(data)
    except LayerFusionError:
        raise
    except (expat.ExpatError, ET.ParseError, LookupError, ValueError, RecursionError):
        raise LayerFusionError(f"{what} is damaged; get or make it again.") from None


@contextmanager
def opened(source: Path | IO[bytes], what: str, formats: tuple[str, ...] = PICTURES) -> Iterator[Image.Image]:
    """A picture file, its header read and its size checked, not yet decoded.

    Args:
        source: a path, or an open binary file.
        what: names the picture in the sentence.
        formats: Pillow's names of the kinds allowed.

    Raises:
        LayerFusionError: it is missing, not a picture of these kinds, too large, or found damaged while decoding it.
    """
    try:
        # Pillow warns at half the size that check_size allows.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opening = open_file(source) if isinstance(source, Path) else nullcontext(source)
            with opening as file, Image.open(file, formats=formats) as image:
                check_size(*image.size, what)
                yield image
    except LayerFusionError:
        raise
    except Image.UnidentifiedImageError:
        kinds = " or ".join(formats)
        raise LayerFusionError(f"{what} is not a {kinds} file; give the file it was meant to be.") from None
    except Image.DecompressionBombError:
        raise LayerFusionError(f"{what} unpacks to far more pixels than a canvas needs; it is not opened.") from None
    except MemoryError:
        raise LayerFusionError(f"{what} does not fit in memory; make it smaller first.") from None
    except DAMAGE:
        raise LayerFusionError(f"{what} is cut short or damaged; get or make it again.") from None


def size_of(source: Path | IO[bytes], what: str, formats: tuple[str, ...] = PICTURES) -> tuple[int, int]:
    """(width, height) from the file's header; arguments and errors as for `opened`."""
    with opened(source, what, formats) as image:
        return image.size


def decode(source: Path | IO[bytes], what: str, formats: tuple[str, ...] = PICTURES) -> np.ndarray:
    """The pixels, uint8 (height, width, 4), straight alpha; arguments and errors as for `opened`."""
    with opened(source, what, formats) as image:
        return pixels_of(image)
