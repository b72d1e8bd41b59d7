"""Pictures of any mode as the layers' own pixels, uint8 RGBA with straight alpha in sRGB, and back as PNG."""

import io
import struct
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from layerfusion.errors import LayerFusionError

PNG_LEVEL = 4  # zlib's; 2.4 times as quick as its own 6, for 4 % more bytes (pictures of 256 pixels)
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # Pillow's modes for grey of 16 bits


def pixels_of(picture: "Image.Image | np.ndarray") -> np.ndarray:
    """A PIL picture of any mode, or uint8 (h, w, 3 or 4), as uint8 (h, w, 4) with straight alpha.

    A PIL picture is turned as its EXIF orientation says, and converted from the colour profile it carries to sRGB.

    Raises:
        LayerFusionError: an array of another shape or type, or a picture of floating-point numbers.
    """
    if isinstance(picture, Image.Image):
        return np.array(_in_srgb(ImageOps.exif_transpose(_eight_bits(picture))).convert("RGBA"))
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4) or 0 in picture.shape:
        raise LayerFusionError(
            f"A layer's pixels are uint8 (height, width, 4), not {picture.dtype} {picture.shape}; convert them first."
        )
    if picture.shape[2] == 3:
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        return np.concatenate([picture, opaque], axis=-1)
    return np.ascontiguousarray(picture)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits scaled to 8, which Pillow would clip instead; its transparent value becomes alpha."""
    if picture.mode == "F":
        raise LayerFusionError("A picture of floating-point numbers has no agreed white; save it with 8 or 16 bits.")
    if picture.mode not in DEEP_GREY:
        return picture
    deep = np.asarray(picture).astype(np.int64).clip(0, 65535)
    grey = Image.fromarray(((deep * 255 + 32767) // 65535).astype(np.uint8))
    clear = picture.info.get("transparency")
    if isinstance(clear, int):
        alpha = Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8))
        grey = Image.merge("LA", (grey, alpha))
    grey.info = {key: value for key, value in picture.info.items() if key != "transparency"}
    return grey


def _in_srgb(picture: Image.Image) -> Image.Image:
    """Colours converted to sRGB where a profile says that they are something else; a broken profile counts as none."""
    profile = picture.info.get("icc_profile")
    if not profile or is_srgb(profile):
        return picture
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    colours = picture if picture.mode in ("RGB", "L", "CMYK") else picture.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(colours, source, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return picture
    assert converted is not None  # only an operation in place gives None
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@cache
def srgb_profile() -> bytes:
    """The ICC profile that written files carry: sRGB, always the same bytes."""
    profile = bytearray(_srgb().tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # the date of making, which would be today
    return bytes(profile)


def is_srgb(profile: bytes) -> bool:
    """Whether an ICC profile is one of the many of sRGB: converting between those would only round."""
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError):
        return False
    return name.strip().startswith("sRGB")


def save_png(picture: Image.Image, file: "Path | IO[bytes]", text: dict[str, str] | None = None) -> None:
    """Write a PNG that says it is sRGB, with these texts as iTXt chunks by their keywords."""
    chunks = PngImagePlugin.PngInfo()
    for keyword, value in (text or {}).items():
        chunks.add_itxt(keyword, value)
    picture.save(file, "PNG", icc_profile=srgb_profile(), pnginfo=chunks, compress_level=PNG_LEVEL)
