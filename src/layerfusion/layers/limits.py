"""How large a layer file may say it is, asked before anything is decoded."""

import json
import math
import os
import struct
import warnings
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.layers.pictures import pixels_of

MAX_SIDE = 30_000  # Photoshop's own limit for .psd
MAX_PIXELS = 170_000_000  # in one picture: 680 MB of RGBA, and just below where Pillow refuses
MAX_TEXT_BYTES = 1 << 22  # of a manifest, a record, a stack.xml
BYTES_PER_PIXEL = 12  # a layer's RGBA, its encoded planes, and what a codec holds meanwhile

# What Pillow, its codecs and the zip and struct modules raise on damaged data.
DAMAGE = (OSError, SyntaxError, EOFError, ValueError, TypeError, KeyError, IndexError, struct.error, zlib.error)


def memory_limit() -> int:
    """Bytes this process may plan to use: three quarters of the machine's memory, 8 GiB where it cannot be asked."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4
    except (AttributeError, ValueError, OSError):
        return 8 << 30


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


def check_memory(sizes: Iterable[tuple[int, int]], what: str) -> None:
    """Refuse a stack whose pictures together would not fit in memory.

    Args:
        sizes: (width, height) of each picture that would be held.

    Raises:
        LayerFusionError: they need more than memory_limit().
    """
    need = sum(width * height for width, height in sizes) * BYTES_PER_PIXEL
    if need > memory_limit():
        raise LayerFusionError(
            f"{what} needs about {need / 2**30:.1f} GiB of memory and {memory_limit() / 2**30:.1f} GiB may be used; "
            "give a smaller canvas or fewer layers."
        )


def parse_json(data: bytes, what: str) -> Any:
    """JSON, UTF-8, of at most MAX_TEXT_BYTES, whose numbers are of ordinary size.

    Raises:
        LayerFusionError: it is longer, broken, nested too deeply, or has a number that no setting needs.
    """
    if len(data) > MAX_TEXT_BYTES:
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
def opened(source: str | Path | IO[bytes], what: str, formats: tuple[str, ...] | None = None) -> Iterator[Image.Image]:
    """A picture file, its header read and its size checked, not yet decoded.

    Args:
        source: a path, or an open binary file.
        what: names the picture in the sentence.
        formats: Pillow's names of the kinds allowed, such as ("PNG",); None allows every kind it knows.

    Raises:
        LayerFusionError: it is missing, not a picture of these kinds, too large, or found damaged while decoding it.
    """
    try:
        # Pillow warns at half the size that check_size allows.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source, formats=formats) as image:
                check_size(*image.size, what)
                yield image
    except LayerFusionError:
        raise
    except FileNotFoundError:
        raise LayerFusionError(f"{what} does not exist; check the name.") from None
    except Image.UnidentifiedImageError:
        kind = " or ".join(formats) if formats else "picture"
        raise LayerFusionError(f"{what} is not a {kind} file; give the file it was meant to be.") from None
    except Image.DecompressionBombError:
        raise LayerFusionError(f"{what} unpacks to far more pixels than a canvas needs; it is not opened.") from None
    except MemoryError:
        raise LayerFusionError(f"{what} does not fit in memory; make it smaller first.") from None
    except DAMAGE:
        raise LayerFusionError(f"{what} is cut short or damaged; get or make it again.") from None


def size_of(source: str | Path | IO[bytes], what: str, formats: tuple[str, ...] | None = None) -> tuple[int, int]:
    """(width, height) from the file's header; arguments and errors as for `opened`."""
    with opened(source, what, formats) as image:
        return image.size


def decode(source: str | Path | IO[bytes], what: str, formats: tuple[str, ...] | None = None) -> np.ndarray:
    """The pixels, uint8 (height, width, 4), straight alpha; arguments and errors as for `opened`."""
    with opened(source, what, formats) as image:
        return pixels_of(image)
