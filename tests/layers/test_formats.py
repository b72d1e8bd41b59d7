"""What stands in the files, and that writing never harms what was there."""

import errno
import io
import json
import os
import re
import warnings
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageSequence

from layerfusion.errors import LayerFusionError
from layerfusion.layers import FORMATS, Affine, Layer, LayerStack, read, write
from layerfusion.layers.formats import flat as flat_module
from layerfusion.layers.formats import ora as ora_module
from tests.layers.stacks import example_stack, lit_stack


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one.convert("RGBA"), np.int16) - np.asarray(other.convert("RGBA"), np.int16)).mean())


def test_ora_follows_the_specification(tmp_path: Path) -> None:
    stack = example_stack()
    with zipfile.ZipFile(write(stack, tmp_path / "a.ora")) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type, first.extra) == ("mimetype", zipfile.ZIP_STORED, b"")
        assert archive.read("mimetype") == b"image/openraster"
        root = ElementTree.fromstring(archive.read("stack.xml"))
        assert (root.tag, root.get("w"), root.get("h")) == ("image", "96", "64")
        layers = root.findall("stack/layer")
        assert [layer.get("name") for layer in layers] == [layer.name for layer in reversed(stack.layers)]
        assert layers[1].get("composite-op") == "svg:overlay"
        assert layers[0].get("visibility") == "hidden"
        merged = Image.open(io.BytesIO(archive.read("mergedimage.png")))
        assert difference(merged, stack.composite()) == 0
        assert max(Image.open(io.BytesIO(archive.read("Thumbnails/thumbnail.png"))).size) <= 256


def test_tiff_pages_are_the_composite_and_the_named_layers(tmp_path: Path) -> None:
    stack = example_stack()
    with Image.open(write(stack, tmp_path / "a.tiff")) as file:
        pages = [(page.tag_v2[285], page.copy()) for page in ImageSequence.Iterator(file)]
        about = json.loads(file.tag_v2[270])
    assert difference(pages[0][1], stack.composite()) == 0
    assert about == {"name": "hidden", "opacity": 1.0, "visible": False, "blend": "normal", "group": None}
    names = [name.encode("latin-1").decode() for name, _ in pages]  # Pillow reads the UTF-8 bytes as Latin-1
    assert names == ["composite", *(layer.name for layer in stack)]
    alone = LayerStack(*stack.size, [stack[1]])
    assert difference(pages[2][1], alone.composite()) < 2  # colours under alpha 0 are kept in the page


@pytest.mark.parametrize("ending, most", [("png", 0), ("webp", 3), ("avif", 3), ("jpg", 3)])
def test_flattened_pictures(ending: str, most: float, tmp_path: Path) -> None:
    if ending == "avif" and not flat_module.features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    stack = example_stack()
    with Image.open(write(stack, tmp_path / f"a.{ending}")) as picture:
        assert difference(picture, stack.composite()) <= most


def test_webp_and_avif_keep_transparency_and_jpeg_is_on_white(tmp_path: Path) -> None:
    stack = LayerStack(64, 64, [Layer("disc", example_stack()[1].pixels)])
    assert np.asarray(Image.open(write(stack, tmp_path / "a.webp")))[0, 0, 3] == 0
    assert np.asarray(Image.open(write(stack, tmp_path / "a.jpg")))[0, 0].min() > 250


def test_pptx_keeps_placement_opacity_and_hiding(tmp_path: Path) -> None:
    from pptx import Presentation
    from pptx.oxml.ns import qn

    disc = example_stack()[1].pixels
    placement = Affine.scaling(-0.5, 0.5).then(Affine.rotation(30)).then(Affine.translation(40, 10))
    layers = [Layer("狐", disc, placement), Layer("off", disc, opacity=0.4, visible=False)]
    presentation = Presentation(str(write(LayerStack(100, 50, layers), tmp_path / "a.pptx")))
    fox, hidden = presentation.slides[0].shapes
    emu = presentation.slide_width / 100
    assert presentation.slide_height == pytest.approx(50 * emu)
    assert (fox.name, fox.rotation) == ("狐", pytest.approx(30))
    middle = (fox.left + fox.width / 2) / emu, (fox.top + fox.height / 2) / emu
    assert middle == pytest.approx(placement(20.5, 20.5), abs=0.01)
    assert fox.width / emu == pytest.approx(20.5, abs=0.01)
    assert fox._element.spPr.find(qn("a:xfrm")).get("flipH") == "1"
    assert next(hidden._element.iter(qn("a:alphaModFix"))).get("amt") == "40000"
    assert next(hidden._element.iter(qn("p:cNvPr"))).get("hidden") == "1"
    assert difference(Image.open(io.BytesIO(fox.image.blob)), layers[0].image) == 0


def test_pptx_fades_the_pixels_of_what_is_turned(tmp_path: Path) -> None:
    from pptx import Presentation
    from pptx.oxml.ns import qn

    layer = Layer("disc", example_stack()[1].pixels, opacity=0.5).rotated(20)
    (shape,) = Presentation(str(write(LayerStack(50, 50, [layer]), tmp_path / "a.pptx"))).slides[0].shapes
    assert list(shape._element.iter(qn("a:alphaModFix"))) == []
    assert Image.open(io.BytesIO(shape.image.blob)).getchannel("A").getextrema() == (0, 128)


def test_pptx_says_that_it_has_no_blend_modes(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write(example_stack(), tmp_path / "a.pptx")
    assert [str(one.message) for one in caught] == [
        f"PowerPoint has no {mode} mode; layer '{mode} ☀' is written as {how}."
        for mode, how in (("multiply", "dark with alpha"), ("screen", "bright with alpha"), ("overlay", "normal"))
    ]


@pytest.mark.filterwarnings("ignore:PowerPoint has no")
def test_pptx_groups_what_belongs_together(tmp_path: Path) -> None:
    from pptx import Presentation

    stack = lit_stack()
    below, group, blended = Presentation(str(write(stack, tmp_path / "a.pptx"))).slides[0].shapes
    assert (below.name, group.name, blended.name) == ("background", "subject", "blended")
    assert [shape.name for shape in group.shapes] == [layer.name for layer in stack if layer.group]
    shadow = Image.open(io.BytesIO(group.shapes[0].image.blob))
    assert shadow.size < stack.size and shadow.getpixel((0, 0))[3] == 0


def test_html_is_one_file_that_cannot_be_broken_out_of(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>{{style}}"
    stack = LayerStack(8, 8, [Layer(evil, np.zeros((8, 8, 3), np.uint8))])
    text = write(stack, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text
    data = re.search(r'<script type="application/json" id="stack">(.*?)</script>', text, re.S)
    assert data is not None
    assert json.loads(data[1])["layers"][0]["name"] == evil
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)


def test_every_kind_is_written_from_one_call(tmp_path: Path) -> None:
    stack = LayerStack(9, 5, [Layer("one", np.full((5, 9, 3), 7, np.uint8))])
    for ending in FORMATS:
        assert write(stack, tmp_path / f"a.{ending}").stat().st_size > 0
        assert write(stack, tmp_path / f"B.{ending.upper()}").stat().st_size > 0
    assert {path.suffix for path in tmp_path.iterdir() if path.name.startswith(".")} == set()


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayerFusionError, match="ends in no format known here"):
        write(example_stack(), tmp_path / "a.docx")
    with pytest.raises(LayerFusionError, match="cannot be read back as layers"):
        read(write(example_stack(), tmp_path / "a.webp"))


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "psd", FORMATS["psd"]._replace(needs="no_such_package"))
    with pytest.raises(LayerFusionError, match=re.escape("pip install 'layerfusion[formats]'")):
        write(example_stack(), tmp_path / "a.psd")


@pytest.mark.parametrize("ending", FORMATS)
def test_a_failed_write_leaves_the_old_file(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / f"a.{ending}"
    target.write_text("precious")

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(FORMATS, ending, FORMATS[ending]._replace(write=fail))
    with pytest.raises(KeyboardInterrupt):
        write(example_stack(), target)
    assert target.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write(example_stack(), tmp_path / "stack")
    before = {path.name: path.read_bytes() for path in target.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LayerStack, "composite", fail)
    with pytest.raises(LayerFusionError, match=r"could not be written \(No space left on device\)"):
        write(LayerStack(3, 3, [example_stack()[0]]), target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert os.listdir(tmp_path) == ["stack"]


def test_a_folder_replaces_an_older_stack_and_nothing_else(tmp_path: Path) -> None:
    target = write(example_stack(), tmp_path / "stack")
    write(LayerStack(3, 3, [Layer("only", np.zeros((3, 3, 3), np.uint8))]), target)
    assert sorted(path.name for path in target.iterdir()) == ["00-only.png", "composite.png", "stack.json"]
    (target / "thesis.txt").write_text("precious")
    with pytest.raises(LayerFusionError, match=r"holds other files \(thesis.txt\)"):
        write(example_stack(), target)
    assert (target / "thesis.txt").read_text() == "precious"
    with pytest.raises(LayerFusionError, match="is a file"):
        (tmp_path / "plain").write_text("precious")
        write(example_stack(), tmp_path / "plain")


def test_ora_groups_pass_offset_opacity_and_visibility_to_their_layers(tmp_path: Path) -> None:
    xml = (
        '<image w="8" h="8"><stack><stack x="2" y="3" opacity="0.5" visibility="hidden">'
        '<layer name="inside" src="data/a.png" x="1" y="1" opacity="0.5" composite-op="krita:dodge"/>'
        "</stack></stack></image>"
    )
    png = io.BytesIO()
    Image.new("RGBA", (2, 2), "red").save(png, "PNG")
    with zipfile.ZipFile(tmp_path / "a.ora", "w") as archive:
        archive.writestr("mimetype", ora_module.MIMETYPE)
        archive.writestr("stack.xml", xml)
        archive.writestr("data/a.png", png.getvalue())
    with pytest.warns(UserWarning) as notes:
        (layer,) = read(tmp_path / "a.ora")
    assert "'group' does not pass through" in str(notes[0].message) and "krita:dodge" in str(notes[1].message)
    assert (layer.offset, layer.opacity, layer.visible, layer.group) == ((3, 4), 0.25, False, "group")
