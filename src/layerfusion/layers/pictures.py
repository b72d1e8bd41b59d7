"""Pictures of any mode as the layers' own pixels: uint8 RGBA with straight alpha."""

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError


def pixels_of(picture: "Image.Image | np.ndarray") -> np.ndarray:
    """A PIL picture of any mode, or uint8 (h, w, 3 or 4), as uint8 (h, w, 4) with straight alpha."""
    if isinstance(picture, Image.Image):
        return np.array(picture.convert("RGBA"))
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (3, 4) or 0 in picture.shape:
        raise LayerFusionError(
            f"A layer's pixels are uint8 (height, width, 4), not {picture.dtype} {picture.shape}; convert them first."
        )
    if picture.shape[2] == 3:
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        return np.concatenate([picture, opaque], axis=-1)
    return np.ascontiguousarray(picture)
