"""One flattened picture, by Pillow: PNG, WebP and AVIF with transparency, JPEG on white."""

from pathlib import Path
from typing import Any

from PIL import Image, features

from layerfusion.errors import LayerFusionError
from layerfusion.layers.pictures import save_png, srgb_profile
from layerfusion.layers.provenance import png_texts, xmp_packet
from layerfusion.layers.stack import LayerStack

# The quality of each: no loss is seen, and PNG has none.
SETTINGS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".webp": {"quality": 92},
    ".avif": {"quality": 88, "subsampling": "4:4:4"},
    ".jpg": {"quality": 93, "subsampling": "4:4:4"},
    ".jpeg": {"quality": 93, "subsampling": "4:4:4"},
}
ENDINGS = tuple(SETTINGS)
MAX_SIDE = {".webp": 16_383, ".avif": 16_384}


def write(stack: LayerStack, path: Path) -> None:
    """Write the composite; errors as for `save_picture`."""
    save_picture(stack.composite(), path, stack.provenance)


def save_picture(picture: Image.Image, path: Path, provenance: dict[str, Any] | None = None) -> None:
    """Write an RGBA picture to the format that the ending names, one of ENDINGS, with its colour profile.

    Args:
        provenance: where it comes from; a PNG carries it as generated PNGs do, every format as XMP.

    Raises:
        LayerFusionError: it is larger than the format allows, or this Pillow cannot write AVIF.
    """
    ending = path.suffix.lower()
    if max(picture.size) > MAX_SIDE.get(ending, max(picture.size)):
        raise LayerFusionError(f"{ending} pictures have at most {MAX_SIDE[ending]} pixels a side; use .png.")
    if ending == ".avif" and not features.check("avif"):
        raise LayerFusionError("This Pillow cannot write AVIF; run: pip install 'pillow>=11.3', or use .webp.")
    if ending in (".jpg", ".jpeg"):
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture)
        picture = white.convert("RGB")
    if ending == ".png":
        save_png(picture, path, png_texts(provenance))
        return
    options = dict(SETTINGS[ending], icc_profile=srgb_profile())
    if provenance is not None:
        options["xmp"] = xmp_packet(provenance)
    picture.save(path, **options)
