"""OpenRaster (.ora), for Krita, GIMP and MyPaint: a zip with `mimetype` first, `stack.xml`, and one PNG a layer.

Written to the published baseline specification, 0.0.6. A baseline layer has no placement but a whole-pixel offset, so
placements are baked when a stack is written, and layers are trimmed. A group is a nested stack that is not isolated:
its layers blend with everything below, as they do here.
"""

import io
import itertools
import math
import warnings
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from xml.parsers import expat

from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.layers.affine import Affine
from layerfusion.layers.composite import Blend
from layerfusion.layers.layer import Layer, clean_name
from layerfusion.layers.limits import DAMAGE, check_memory, decode, size_of
from layerfusion.layers.stack import MAX_LAYERS, MAX_NESTING, GroupNames, LayerStack

MIMETYPE = b"image/openraster"
MODES: dict[Blend, str] = {
    "normal": "svg:src-over",
    "multiply": "svg:multiply",
    "screen": "svg:screen",
    "overlay": "svg:overlay",
}
THUMBNAIL_SIDE = 256
MAX_XML_BYTES = 1 << 22
MAX_MEMBER_BYTES = 1 << 30


def write(stack: LayerStack, path: Path) -> None:
    """Write the layers, the merged image and its thumbnail; the same stack always gives the same bytes."""
    baked = stack.baked()
    merged = baked.composite()
    root = ET.Element("image", version="0.0.6", w=str(stack.width), h=str(stack.height))
    below = ET.SubElement(root, "stack")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), MIMETYPE)
        numbered = reversed(list(enumerate(baked)))
        for group, members in itertools.groupby(numbered, key=lambda one: one[1].group):
            # "auto" asks not to isolate a group of full opacity and normal mode.
            head = {"name": group, "isolation": "auto"}
            folder = below if group is None else ET.SubElement(below, "stack", head)
            for number, layer in members:
                file = f"data/layer{number:02d}.png"
                ET.SubElement(folder, "layer", _attributes(layer, file))
                _add_png(archive, file, layer.image)
        xml = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
        archive.writestr(zipfile.ZipInfo("stack.xml"), xml)
        _add_png(archive, "mergedimage.png", merged)
        merged.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        _add_png(archive, "Thumbnails/thumbnail.png", merged)


def _attributes(layer: Layer, file: str) -> dict[str, str]:
    left, top = layer.offset
    return {
        "name": layer.name,
        "src": file,
        "x": str(left),
        "y": str(top),
        "opacity": repr(float(layer.opacity)),
        "visibility": "visible" if layer.visible else "hidden",
        "composite-op": MODES[layer.blend],
    }


def _add_png(archive: zipfile.ZipFile, name: str, image: Image.Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    # ZipInfo's own date, 1980, keeps the bytes the same from run to run.
    archive.writestr(zipfile.ZipInfo(name), buffer.getvalue())


def read(path: Path) -> LayerStack:
    """Read the layers; a layer's group is the innermost one it lies in.

    Opacity, visibility and offset of groups pass to their layers. Blend modes this project has no word for are read as
    normal, with a warning.

    Raises:
        LayerFusionError: not an OpenRaster file, hostile, damaged, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
            root = _parse(_member(archive, "stack.xml", path), path)
            return _stack(archive, root, path)
    except LayerFusionError:
        raise
    except zipfile.BadZipFile:
        raise LayerFusionError(f"{path} is not an OpenRaster file, or is cut short; give a whole .ora.") from None
    except (*DAMAGE, NotImplementedError, RuntimeError):
        raise LayerFusionError(f"{path} is damaged; get or make it again.") from None


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse other zips, names that point outside, and members that unpack to too much."""
    for member in archive.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise LayerFusionError(f"{path} names a file outside itself ({member.filename!r}); it is not opened.")
        if member.file_size > MAX_MEMBER_BYTES:
            raise LayerFusionError(f"{path} unpacks to more than any canvas needs; it is not opened.")
    names = {member.filename for member in archive.infolist()}
    if "mimetype" not in names or archive.getinfo("mimetype").file_size > 100:
        raise LayerFusionError(f"{path} is a zip but not an OpenRaster file; give a .ora.")
    if archive.read("mimetype").strip() != MIMETYPE:
        raise LayerFusionError(f"{path} is a zip but not an OpenRaster file; give a .ora.")


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    info = _info(archive, name, path)
    if name.endswith(".xml") and info.file_size > MAX_XML_BYTES:
        raise LayerFusionError(f"{path}: {name} is far larger than any stack needs; it is not opened.")
    return archive.read(info)


def _parse(xml: bytes, path: Path) -> ET.Element:
    """Parse stack.xml, refusing any document type: entities are the way to make a small file huge."""

    def refuse(*_: object) -> None:
        raise LayerFusionError(f"{path}: stack.xml declares a document type, which no layer file needs; not opened.")

    try:
        guard = expat.ParserCreate()
        guard.StartDoctypeDeclHandler = refuse
        guard.Parse(xml, True)
        root = ET.fromstring(xml)
    except (expat.ExpatError, ET.ParseError):
        raise LayerFusionError(f"{path}: stack.xml is damaged; get or make it again.") from None
    if root.tag != "image" or root.find("stack") is None:
        raise LayerFusionError(f"{path}: stack.xml holds no stack; get or make it again.")
    return root


def _stack(archive: zipfile.ZipFile, root: ET.Element, path: Path) -> LayerStack:
    stack = LayerStack(_integer(root, "w", path), _integer(root, "h", path))
    top = root.find("stack")
    assert top is not None  # _parse has looked
    found = list(_descend(top, Inherited(), GroupNames(), path))
    if len(found) > MAX_LAYERS:
        raise LayerFusionError(f"{path} has {len(found)} layers; the limit is {MAX_LAYERS}.")
    sizes = [stack.size]
    for element, _ in found:
        source = element.get("src", "")
        with archive.open(_info(archive, source, path)) as file:  # only the head is unpacked
            sizes.append(size_of(file, f"{path}, {source},", ("PNG",)))
    check_memory(sizes, str(path))
    for element, own in reversed(found):
        source = element.get("src", "")
        pixels = decode(io.BytesIO(_member(archive, source, path)), f"{path}, {source},", ("PNG",))
        name, placement = clean_name(element.get("name", "")), Affine.translation(own.x, own.y)
        stack.layers.append(Layer(name, pixels, placement, own.opacity, own.visible, _blend(element, name), own.group))
    return stack


def _info(archive: zipfile.ZipFile, name: str, path: Path) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(name)
    except KeyError:
        raise LayerFusionError(f"{path} lacks {name or 'the picture of a layer'}; get or make it again.") from None


@dataclass(frozen=True)
class Inherited:
    """What an element of stack.xml is, with what the groups around it pass on."""

    x: int = 0
    y: int = 0
    opacity: float = 1.0
    visible: bool = True
    group: str | None = None
    depth: int = 0

    def then(self, element: ET.Element, path: Path) -> "Inherited":
        return replace(
            self,
            x=self.x + _integer(element, "x", path, 0),
            y=self.y + _integer(element, "y", path, 0),
            opacity=self.opacity * _opacity(element, path),
            visible=self.visible and element.get("visibility", "visible") != "hidden",
        )


def _descend(
    stack: ET.Element, around: Inherited, names: GroupNames, path: Path
) -> Iterator[tuple[ET.Element, Inherited]]:
    """The layers under a stack element, top first, each with what it inherits."""
    if around.depth > MAX_NESTING:
        raise LayerFusionError(f"{path} nests groups deeper than {MAX_NESTING}; flatten them first.")
    for child in stack:
        own = around.then(child, path)
        if child.tag == "layer":
            yield child, own
        elif child.tag == "stack":
            group = names(child.get("name", "group"))
            _warn_of_isolation(child, group)
            yield from _descend(child, replace(own, group=group, depth=around.depth + 1), names, path)


def _warn_of_isolation(stack: ET.Element, group: str) -> None:
    """Say where a group blends otherwise than groups here, which always pass through."""
    normal = MODES["normal"]
    if stack.get("composite-op", normal) != normal:
        warnings.warn(f"Group {group!r} blends in a way of its own, which is not kept.", stacklevel=2)
    elif stack.get("isolation") != "auto" and any(one.get("composite-op", normal) != normal for one in stack):
        text = f"Group {group!r} does not pass through: its layers blend with more than they did."
        warnings.warn(text, stacklevel=2)


def _integer(element: ET.Element, name: str, path: Path, default: int | None = None) -> int:
    text = element.get(name)
    if text is None and default is not None:
        return default
    try:
        value = int(text or "")
    except ValueError:
        value = 1 << 32
    if abs(value) > 1 << 31:
        raise LayerFusionError(f"{path}: stack.xml gives {name}={(text or '')[:20]!r}, not a whole number of pixels.")
    return value


def _opacity(element: ET.Element, path: Path) -> float:
    text = element.get("opacity", "1")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LayerFusionError(f"{path}: stack.xml gives opacity={text[:20]!r}, which is not a number.")
    return min(1.0, max(0.0, value))


def _blend(element: ET.Element, name: str) -> Blend:
    known = {mode: blend for blend, mode in MODES.items()}
    mode = element.get("composite-op", "svg:src-over")
    if mode not in known:
        warnings.warn(f"Layer {name!r} blends by {mode[:40]}, read as normal.", stacklevel=2)
    return known.get(mode, "normal")
