"""Multi-page TIFF, by Pillow: the flattened picture first, since many viewers show only that, then the layers."""

import json
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin

import layerfusion
from layerfusion.layers.pictures import srgb_profile
from layerfusion.layers.provenance import xmp_packet
from layerfusion.layers.stack import LayerStack

IMAGE_DESCRIPTION, PAGE_NAME, SOFTWARE, XMP_PACKET = 270, 285, 305, 700


def write(stack: LayerStack, path: Path) -> None:
    """Write canvas-sized RGBA pages (straight alpha, deflate), each with its layer's name as PageName.

    A layer's page shows it alone, opacity included; hidden layers have a page too. ImageDescription is JSON with the
    layer's name, opacity, visibility, blend mode and group; the first page has the provenance as XMP.
    """
    with TiffImagePlugin.AppendingTiffWriter(path, new=True) as file:
        _append(file, stack.composite(), "composite", {"name": "composite"}, stack.provenance)
        for layer in stack.baked():
            picture = layer.image
            picture.putalpha(picture.getchannel("A").point([round(value * layer.opacity) for value in range(256)]))
            page = Image.new("RGBA", stack.size)
            page.paste(picture, layer.offset)
            about = {
                "name": layer.name,
                "opacity": layer.opacity,
                "visible": layer.visible,
                "blend": layer.blend,
                "group": layer.group,
            }
            _append(file, page, layer.name, about)


def _append(
    file: TiffImagePlugin.AppendingTiffWriter,
    page: Image.Image,
    name: str,
    about: dict[str, object],
    provenance: dict[str, Any] | None = None,
) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[SOFTWARE] = f"LayerFusion {layerfusion.__version__}"
    if provenance is not None:
        tags[XMP_PACKET] = xmp_packet(provenance)
    tags[PAGE_NAME] = name.encode()  # as UTF-8: Pillow would write a string with "?" for what is not ASCII
    tags[IMAGE_DESCRIPTION] = json.dumps(about)
    page.save(file, "TIFF", compression="tiff_adobe_deflate", tiffinfo=tags, icc_profile=srgb_profile())
    file.newFrame()
