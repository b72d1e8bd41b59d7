"""One flattened picture: PNG, WebP or AVIF, by Pillow, with transparency."""

from pathlib import Path
from typing import Any

from PIL import features

from layerfusion.errors import LayerFusionError
from layerfusion.layers.stack import LayerStack

MAX_SIDE = {".webp": 16_383, ".avif": 16_384}


def write(stack: LayerStack, path: Path) -> None:
    """Write the composite; PNG without loss, WebP and AVIF at a quality where no loss is seen.

    Raises:
        LayerFusionError: the canvas is larger than the kind allows, or this Pillow cannot write AVIF.
    """
    ending = path.suffix.lower()
    if max(stack.size) > MAX_SIDE.get(ending, max(stack.size)):
        raise LayerFusionError(f"{ending} pictures have at most {MAX_SIDE[ending]} pixels a side; use .png.")
    if ending == ".avif" and not features.check("avif"):
        raise LayerFusionError("This Pillow cannot write AVIF; run: pip install 'pillow>=11.3', or use .webp.")
    settings: dict[str, dict[str, Any]] = {
        ".png": {},
        ".webp": {"quality": 92, "method": 4},
        ".avif": {"quality": 88, "subsampling": "4:4:4"},
    }
    stack.composite().save(path, **settings[ending])
