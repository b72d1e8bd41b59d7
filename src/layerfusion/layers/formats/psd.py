"""Photoshop files, by psd-tools.

A PSD layer has no placement but a whole-pixel offset, so placements are baked when a stack is written, and layers are
trimmed. Opacity is kept in steps of 1/255. The flattened preview that other programs show is this project's own
composite. A group is a folder that passes its layers through: they blend with everything below, as they do here.
"""

import itertools
import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.layers.affine import Affine
from layerfusion.layers.composite import Blend
from layerfusion.layers.layer import Layer, clean_name
from layerfusion.layers.limits import DAMAGE, check_memory, check_size
from layerfusion.layers.pictures import is_srgb, pixels_of, srgb_profile
from layerfusion.layers.provenance import from_xmp, xmp_packet
from layerfusion.layers.stack import MAX_LAYERS, GroupNames, LayerStack

MODES: dict[Blend, bytes] = {"normal": b"norm", "multiply": b"mul ", "screen": b"scrn", "overlay": b"over"}
PASS_THROUGH = b"pass"
CHANNELS = (-1, 0, 1, 2)  # transparency, red, green, blue


def write(stack: LayerStack, path: Path) -> None:
    """Write named layers with offset, opacity, visibility and blend mode, and the flattened preview.

    Raises:
        LayerFusionError: a layer ends farther from the canvas than the format's numbers reach.
    """
    from psd_tools.constants import ColorMode
    from psd_tools.psd import PSD
    from psd_tools.psd.header import FileHeader
    from psd_tools.psd.image_data import ImageData
    from psd_tools.psd.layer_and_mask import ChannelImageData, LayerAndMaskInformation, LayerInfo, LayerRecords

    baked = stack.baked()
    preview = np.asarray(baked.composite())
    seen_through = bool((preview[..., 3] < 255).any())
    header = FileHeader(
        channels=4 if seen_through else 3, height=stack.height, width=stack.width, color_mode=ColorMode.RGB
    )
    records = []
    for group, layers in itertools.groupby(baked, key=lambda layer: layer.group):
        inside = [_record(layer) for layer in layers]
        # A folder is written from the bottom: its end, its layers, its head.
        records += inside if group is None else [_folder("</Layer group>", False), *inside, _folder(group, True)]
    # A negative count says that the preview's fourth channel is its transparency.
    info = LayerInfo(
        -len(records) if seen_through else len(records),
        LayerRecords([record for record, _ in records]),
        ChannelImageData([channels for _, channels in records]),
    )
    image_data = ImageData(compression=_rle())
    image_data.set_data([preview[..., channel].tobytes() for channel in range(header.channels)], header)
    document = PSD(
        header=header,
        image_resources=_resources(stack),
        layer_and_mask_information=LayerAndMaskInformation(layer_info=info),
        image_data=image_data,
    )
    with path.open("wb") as file:
        document.write(file)


def _resources(stack: LayerStack) -> Any:
    """What stands beside the pixels: the colour profile, and the provenance as XMP."""
    from psd_tools.constants import Resource
    from psd_tools.psd.image_resources import ImageResource, ImageResources

    resources = ImageResources.new()
    contents = {Resource.ICC_PROFILE: srgb_profile()}
    if stack.provenance is not None:
        contents[Resource.XMP_METADATA] = xmp_packet(stack.provenance)
    for key, data in contents.items():
        resources[key] = ImageResource(key=key, data=data)
    return resources


def _rle() -> Any:
    from psd_tools.constants import Compression

    return Compression.RLE


def _record(layer: Layer) -> tuple[Any, Any]:
    """psd-tools' record and channel data of one baked layer."""
    from psd_tools.constants import BlendMode, ChannelID
    from psd_tools.psd.layer_and_mask import ChannelData, ChannelDataList, ChannelInfo, LayerFlags, LayerRecord

    left, top = layer.offset
    width, height = layer.size
    if max(abs(left), abs(top), abs(left + width), abs(top + height)) >= 1 << 31:
        raise LayerFusionError(f"Layer {layer.name!r} lies too far from the canvas for a PSD; move it closer.")
    legacy, blocks = _named(layer.name)
    record = LayerRecord(
        top=top,
        left=left,
        bottom=top + height,
        right=left + width,
        blend_mode=BlendMode(MODES[layer.blend]),
        opacity=round(layer.opacity * 255),
        flags=LayerFlags(visible=layer.visible),
        name=legacy,
        tagged_blocks=blocks,
    )
    channels = ChannelDataList()
    for channel in CHANNELS:
        data = ChannelData(compression=_rle())
        data.set_data(layer.pixels[..., channel].tobytes(), width, height, 8)  # -1 is the alpha here, too
        record.channel_info.append(ChannelInfo(ChannelID(channel), len(data.data) + 2))
        channels.append(data)
    return record, channels


def _named(name: str) -> tuple[str, Any]:
    """The name for readers that know Mac Roman only, and psd-tools' blocks with the one that Photoshop shows."""
    from psd_tools.constants import Tag
    from psd_tools.psd.tagged_blocks import TaggedBlocks

    blocks = TaggedBlocks()
    blocks.set_data(Tag.UNICODE_LAYER_NAME, name)
    return name.encode("macroman", "replace").decode("macroman"), blocks


def _folder(name: str, is_head: bool) -> tuple[Any, Any]:
    """The record of a folder's head, or of its end: a layer without pixels."""
    from psd_tools.constants import BlendMode, ChannelID, SectionDivider, Tag
    from psd_tools.psd.layer_and_mask import ChannelData, ChannelDataList, ChannelInfo, LayerFlags, LayerRecord

    legacy, blocks = _named(name)
    mode = BlendMode(PASS_THROUGH) if is_head else None
    divider = SectionDivider.OPEN_FOLDER if is_head else SectionDivider.BOUNDING_SECTION_DIVIDER
    blocks.set_data(Tag.SECTION_DIVIDER_SETTING, divider, b"8BIM" if is_head else None, mode)
    record = LayerRecord(
        blend_mode=mode or BlendMode(MODES["normal"]),
        flags=LayerFlags(pixel_data_irrelevant=True),
        name=legacy,
        tagged_blocks=blocks,
        channel_info=[ChannelInfo(ChannelID(channel), 2) for channel in CHANNELS],
    )
    return record, ChannelDataList([ChannelData() for _ in CHANNELS])


def read(path: Path) -> LayerStack:
    """Read a PSD or PSB of any colour mode, profile and depth as 8-bit RGBA layers in sRGB.

    A layer's group is the innermost folder that it lies in; opacity and visibility of folders pass to their layers.
    Layer masks are worked into the alpha. What this project has no word for (other blend modes, clipping, effects,
    adjustment layers) is left out, with a warning that names it.

    Raises:
        LayerFusionError: not a PSD, damaged, or too large.
    """
    width, height = _header(path)
    with _strict(path):
        from psd_tools import PSDImage
        from psd_tools.constants import Resource

        document = PSDImage.open(path)
        sources = [source for source in document.descendants() if not source.is_group()]
        if len(sources) > MAX_LAYERS:
            raise LayerFusionError(f"{path} has {len(sources)} layers; the limit is {MAX_LAYERS}.")
        for source in sources:
            if source.width > 0 and source.height > 0:
                check_size(source.width, source.height, f"{path}, layer {clean_name(source.name)!r},")
        sizes = [(source.width, source.height) for source in sources]
        check_memory([(width, height), *sizes], str(path))
        resources = document.image_resources
        provenance = from_xmp(resources.get_data(Resource.XMP_METADATA, b""))
        convert = not is_srgb(resources.get_data(Resource.ICC_PROFILE, b""))
        stack = LayerStack(width, height, None, provenance)
        if not sources:
            stack.layers = [Layer("background", pixels_of(document.topil(apply_icc=convert)))]
        groups = _groups(document)
        for source in sources:
            layer = _layer(source, groups.get(id(source.parent)), convert)
            if layer is not None:
                stack.layers.append(layer)
    return stack


def _header(path: Path) -> tuple[int, int]:
    """(width, height), checked before psd-tools reads a byte."""
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError as error:
        raise LayerFusionError(f"{path} cannot be read ({error.strerror}); check the name.") from None
    if head[:4] != b"8BPS":
        raise LayerFusionError(f"{path} is not a Photoshop file, whatever its ending says; give a .psd.")
    if len(head) < 26:
        raise LayerFusionError(f"{path} is cut short or damaged; get or make it again.")
    height, width = struct.unpack(">II", head[14:22])
    check_size(width, height, str(path))
    return width, height


@contextmanager
def _strict(path: Path) -> Iterator[None]:
    """Turn psd-tools' warnings of damage, which it would paint over in black, into the sentence for a damaged file."""
    logger = logging.getLogger("psd_tools")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*decode failed.*")
            yield
    except LayerFusionError:
        raise
    except MemoryError:
        raise LayerFusionError(f"{path} does not fit in memory; make it smaller first.") from None
    except (*DAMAGE, Warning, AssertionError, AttributeError, RecursionError, NotImplementedError):
        raise LayerFusionError(f"{path} is cut short or damaged, or is a kind of PSD not known here.") from None
    finally:
        logger.setLevel(before)


def _groups(document: Any) -> dict[int, str]:
    """Names of the folders by the identity of psd-tools' objects; warns of what folders do that groups here do not."""
    names, found = GroupNames(), {}
    for folder in document.descendants():
        if folder.is_group():
            found[id(folder)] = names(folder.name.rstrip("\0"))
            mode = bytes(folder.blend_mode.value)
            if mode not in (PASS_THROUGH, MODES["normal"]) or folder.has_mask() or folder.clipping_layer:
                _note(f"Group {found[id(folder)]!r} blends in a way of its own, which is not kept.")
            elif mode == MODES["normal"] and any(bytes(one.blend_mode.value) != mode for one in folder):
                _note(f"Group {found[id(folder)]!r} does not pass through: its layers blend with more than they did.")
    return found


def _layer(source: Any, group: str | None, convert: bool) -> Layer | None:
    """One of psd-tools' layers as ours; None, with a warning, if it has no pixels."""
    name = clean_name(source.name.rstrip("\0"))
    if source.width == 0 or source.height == 0:
        return Layer(name, np.zeros((1, 1, 4), np.uint8), visible=source.visible, group=group)
    picture = source.topil(apply_icc=convert)
    if picture is None:
        _note(f"Layer {name!r} ({source.kind}) has no pixels and is left out.")
        return None
    if source.has_effects() or source.clipping_layer:
        _note(f"Layer {name!r} has effects or is clipped, which is not kept.")
    pixels = pixels_of(picture)
    if source.has_mask() and not source.mask.disabled:
        pixels[..., 3] = np.rint(pixels[..., 3] * _mask(source))
    opacity, visible = source.opacity / 255, source.visible
    folder = source.parent
    while folder is not None and folder.parent is not None:
        opacity, visible = opacity * folder.opacity / 255, visible and folder.visible
        folder = folder.parent
    placement = Affine.translation(source.left, source.top)
    return Layer(name, pixels, placement, opacity, visible, _blend(source, name), group)


def _blend(source: Any, name: str) -> Blend:
    known = {mode: blend for blend, mode in MODES.items()}
    mode = bytes(source.blend_mode.value)
    if mode not in known:
        _note(f"Layer {name!r} blends by {source.blend_mode.name.lower()}, read as normal.")
    return known.get(mode, "normal")


def _note(text: str) -> None:
    warnings.warn(text, stacklevel=2)


def _mask(source: Any) -> np.ndarray:
    """float (h, w) in [0, 1]: the layer's mask over the layer's own rectangle."""
    mask = source.mask
    shown = Image.new("L", (source.width, source.height), mask.background_color)
    picture = mask.topil()
    if picture is not None:
        shown.paste(picture.convert("L"), (mask.left - source.left, mask.top - source.top))
    return np.asarray(shown) / 255
