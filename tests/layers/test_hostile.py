"""Files made to harm or merely broken: one sentence, nothing written, little memory."""

import io
import json
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.layers import Layer, LayerStack, limits, read, write
from layerfusion.layers.formats.ora import MIMETYPE
from tests.layers.stacks import example_stack

STACK = '<image w="8" h="8"><stack><layer src="data/a.png"/></stack></image>'


def png(width: int = 2, height: int = 2) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims this size."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 10)
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (head, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def ora(path: Path, members: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"mimetype": MIMETYPE, "stack.xml": STACK, "data/a.png": png(), **members}.items():
            archive.writestr(name, data)
    return path


def folder(path: Path, **changes: object) -> Path:
    write(example_stack(), path)
    manifest = json.loads((path / "stack.json").read_text())
    manifest["layers"][0].update({k: v for k, v in changes.items() if k in manifest["layers"][0]})
    manifest.update({k: v for k, v in changes.items() if k in manifest})
    (path / "stack.json").write_text(json.dumps(manifest))
    return path


def with_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def psd_bytes() -> bytearray:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        return bytearray(write(example_stack(), Path(place) / "a.psd").read_bytes())


def psd_header(path: Path, width: int, height: int) -> Path:
    data = psd_bytes()
    data[14:22] = struct.pack(">II", height, width)
    return with_bytes(path, bytes(data))


def psd_layer_rectangle(path: Path) -> Path:
    """The first layer's record claims to reach to pixel 2,000,000."""
    data = psd_bytes()
    at = data.index(struct.pack(">4i", 0, 0, 64, 96))
    data[at : at + 16] = struct.pack(">4i", 0, 0, 2_000_000, 2_000_000)
    return with_bytes(path, bytes(data))


def entities(path: Path, encoding: str = "utf-8") -> Path:
    nested = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE image [<!ENTITY e0 "ha">{nested}]>' + STACK.replace("<layer", '<layer name="&e9;"')
    return ora(path, {"stack.xml": f'<?xml version="1.0" encoding="{encoding}"?>{bomb}'.encode(encoding)})


def claims_huge_member(path: Path) -> Path:
    """A zip whose directory says that a picture unpacks to 4 GiB."""
    data = bytearray(ora(path, {}).read_bytes())
    at = data.index(b"data/a.png", data.index(b"PK\x01\x02")) - 46
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
    return with_bytes(path, bytes(data))


def page(path: Path, old: bytes, new: bytes) -> Path:
    return with_bytes(path, write(example_stack(), path).read_bytes().replace(old, new, 1))


def packed(path: Path, how: int) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in {"mimetype": MIMETYPE, "stack.xml": STACK, "data/a.png": png()}.items():
            archive.writestr(name, data)
    return path


def long_number(path: Path) -> Path:
    text = (folder(path, width=77) / "stack.json").read_text()
    (path / "stack.json").write_text(text.replace("77", "7" * 5000))
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def piped(path: Path, name: str) -> Path:
    (folder(path) / name).unlink()
    os.mkfifo(path / name)
    return path


def linked(path: Path, to: str = "gone") -> Path:
    path.symlink_to(to)
    return path


def named_folder(path: Path) -> Path:
    path.mkdir()
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "psd 100,000 pixels": (lambda p: psd_header(p / "a.psd", 100_000, 100_000), "100000×100000 pixels; the limit is"),
    "psd empty": (lambda p: psd_header(p / "a.psd", 0, 5), "0×5 pixels"),
    "psd layer": (lambda p: psd_layer_rectangle(p / "a.psd"), "2000000×2000000 pixels; the limit is"),
    "psd cut": (lambda p: with_bytes(p / "a.psd", bytes(psd_bytes()[:900])), "cut short or damaged"),
    "psd head only": (lambda p: with_bytes(p / "a.psd", b"8BPS\0\1"), "cut short"),
    "png named psd": (lambda p: with_bytes(p / "a.psd", png()), "not a Photoshop file"),
    "psd named ora": (lambda p: with_bytes(p / "a.ora", bytes(psd_bytes())), "not an OpenRaster file"),
    "nothing named psd": (lambda p: with_bytes(p / "a.psd", b""), "not a Photoshop file"),
    "nothing named ora": (lambda p: with_bytes(p / "a.ora", b""), "not an OpenRaster file"),
    "zip named ora": (lambda p: ora(p / "a.ora", {"mimetype": "application/zip"}), "zip but not an OpenRaster"),
    "ora outside": (lambda p: ora(p / "a.ora", {"../../etc/cron.d/evil": b"x"}), "names a file outside itself"),
    "ora outside by backslash": (lambda p: ora(p / "a.ora", {"..\\evil": b"x"}), "names a file outside itself"),
    "ora absolute": (lambda p: ora(p / "a.ora", {"/etc/passwd": b"x"}), "names a file outside itself"),
    "ora drive": (lambda p: ora(p / "a.ora", {"C:/evil": b"x"}), "names a file outside itself"),
    "ora source outside": (
        lambda p: ora(p / "a.ora", {"stack.xml": STACK.replace("data/a.png", "../a.png")}),
        "lacks ../a.png",
    ),
    "ora entities": (lambda p: entities(p / "a.ora"), "declares a document type"),
    "ora entities in UTF-16": (lambda p: entities(p / "a.ora", "utf-16"), "declares a document type"),
    "ora long xml": (lambda p: ora(p / "a.ora", {"stack.xml": b" " * (5 << 20)}), "far larger than any stack needs"),
    "ora deep": (
        lambda p: ora(p / "a.ora", {"stack.xml": f'<image w="8" h="8">{"<stack>" * 99}{"</stack>" * 99}</image>'}),
        "nests groups deeper than 50",
    ),
    "ora no stack": (lambda p: ora(p / "a.ora", {"stack.xml": "<image/>"}), "holds no stack"),
    "ora bad xml": (lambda p: ora(p / "a.ora", {"stack.xml": STACK[:-3]}), "stack.xml is damaged"),
    "ora bad size": (lambda p: ora(p / "a.ora", {"stack.xml": STACK.replace('w="8"', 'w="8e9"')}), "gives w='8e9'"),
    "ora bad opacity": (
        lambda p: ora(p / "a.ora", {"stack.xml": STACK.replace("<layer", '<layer opacity="nan"')}),
        "opacity='nan'",
    ),
    "ora 100,000 pixels": (
        lambda p: ora(p / "a.ora", {"data/a.png": png_header(100_000, 100_000)}),
        "far more pixels than a canvas needs",
    ),
    "ora canvas": (
        lambda p: ora(p / "a.ora", {"stack.xml": STACK.replace('w="8"', 'w="100000"')}),
        "100000×8 pixels; the limit is",
    ),
    "ora picture is a jpeg": (lambda p: ora(p / "a.ora", {"data/a.png": b"\xff\xd8\xff\xe0junk"}), "not a PNG file"),
    "ora picture cut": (lambda p: ora(p / "a.ora", {"data/a.png": png(60, 60)[:-40]}), "cut short or damaged"),
    "ora huge member": (lambda p: claims_huge_member(p / "a.ora"), "unpacks to more than any canvas needs"),
    "ora cut": (
        lambda p: with_bytes(p / "a.ora", write(example_stack(), p / "b.ora").read_bytes()[:-200]),
        "not an OpenRaster file, or is cut short",
    ),
    "folder of nothing": (lambda p: p, "holds neither stack.json nor a triplet"),
    "folder file outside": (lambda p: folder(p / "s", file="../secret.png"), "layer 0 lacks a field"),
    "folder file absolute": (lambda p: folder(p / "s", file="/etc/passwd"), "layer 0 lacks a field"),
    "folder file missing": (lambda p: folder(p / "s", file="gone.png"), "gone.png does not exist"),
    "folder placement": (lambda p: folder(p / "s", placement=[0, 0, 0, 0, 0, 0]), "squeezes its layer to nothing"),
    "folder placement short": (lambda p: folder(p / "s", placement=[1]), "layer 0 lacks a field"),
    "folder opacity": (lambda p: folder(p / "s", opacity=7), "Opacity 7"),
    "folder blend": (lambda p: folder(p / "s", blend="dissolve"), "Blend mode 'dissolve'"),
    "folder canvas": (lambda p: folder(p / "s", width=100_000), "100000×64 pixels"),
    "folder width": (lambda p: folder(p / "s", width="wide"), "needs a width, a height"),
    "folder version": (lambda p: folder(p / "s", version=3), "manifest of version 1 or 2"),
    "ora far": (
        lambda p: ora(p / "a.ora", {"stack.xml": STACK.replace("<layer", '<layer x="2000000"')}),
        "the limit is 1000000, so move it closer",
    ),
    "ora unknown encoding": (
        lambda p: ora(p / "a.ora", {"stack.xml": f'<?xml version="1.0" encoding="klingon"?>{STACK}'}),
        "stack.xml is damaged",
    ),
    "ora multi-byte encoding": (
        lambda p: ora(p / "a.ora", {"stack.xml": f'<?xml version="1.0" encoding="euc-jp"?>{STACK}'}),
        "stack.xml is damaged",
    ),
    "ora packed by lzma": (
        lambda p: packed(p / "a.ora", zipfile.ZIP_LZMA),
        "packed in a way that no layer program uses",
    ),
    "ora packed by bzip2": (lambda p: packed(p / "a.ora", zipfile.ZIP_BZIP2), "packed in a way that no layer"),
    "ora long tail": (
        lambda p: ora(p / "a.ora", {"data/a.png": png() + bytes(20 << 20)}),
        "unpacks to far more than its picture needs",
    ),
    "ora provenance of another kind": (
        lambda p: ora(p / "a.ora", {"layerfusion/triplet.json": "[1]"}),
        "provenance is a dictionary",
    ),
    "ora provenance deep": (
        lambda p: ora(p / "a.ora", {"layerfusion/triplet.json": "[" * 100_000}),
        "triplet.json is not readable JSON",
    ),
    "folder far": (
        lambda p: folder(p / "s", placement=[1, 0, 3e9, 0, 1, 0]),
        "the limit is 1000000, so move it closer",
    ),
    "folder endless": (lambda p: folder(p / "s", placement=[1, 0, 1e308, 0, 1, 0]), "finite numbers of ordinary size"),
    "folder wide": (lambda p: folder(p / "s", placement=[1e160, 0, 0, 0, 1e160, 0]), "finite numbers of ordinary size"),
    "folder number of 401 digits": (
        lambda p: folder(p / "s", placement=[1, 0, 10**400, 0, 1, 0]),
        "is not readable JSON",
    ),
    "folder number of 5,000 digits": (lambda p: long_number(p / "s"), "is not readable JSON"),
    "folder infinite": (lambda p: folder(p / "s", placement=[1, 0, float("inf"), 0, 1, 0]), "is not readable JSON"),
    "folder half a character": (lambda p: folder(p / "s", name="\ud800"), "cannot be a layer's name"),
    "folder group": (lambda p: folder(p / "s", group=5), "layer 0 lacks a field"),
    "folder group name": (lambda p: folder(p / "s", group="a\nb"), "cannot be a group's name"),
    "folder provenance": (lambda p: folder(p / "s", provenance=[1]), "provenance is a dictionary"),
    "page of another": (lambda p: with_bytes(p / "a.html", b"<!doctype html><p>Hello"), "a page without layers"),
    "page cut": (
        lambda p: with_bytes(p / "a.html", write(example_stack(), p / "b.html").read_bytes()[:9000]),
        "is cut short",
    ),
    "page with a script": (
        lambda p: page(p / "a.html", b'"src": "data:image/png', b'"src": "data:text/html'),
        "layer 0",
    ),
    "page with an address": (lambda p: page(p / "a.html", b'"src": "data:', b'"src": "http:'), "layer 0 lacks a field"),
    "page picture damaged": (
        lambda p: page(p / "a.html", b"base64,iVBOR", b"base64,i!BOR"),
        "has a picture that is damaged",
    ),
    "page picture of another kind": (lambda p: page(p / "a.html", b"base64,iVBOR", b"base64,AAAA"), "is damaged"),
    "pipe": (lambda p: pipe(p / "a.psd"), "is no ordinary file"),
    "pipe named ora": (lambda p: pipe(p / "a.ora"), "is no ordinary file"),
    "pipe for a picture": (lambda p: piped(p / "s", "00-background.png"), "is no ordinary file"),
    "pipe for a manifest": (lambda p: piped(p / "s", "stack.json"), "is no ordinary file"),
    "link to nothing": (lambda p: linked(p / "a.psd"), "a.psd does not exist"),
    "link to itself": (lambda p: linked(p / "a.psd", "a.psd"), "cannot be used"),
    "name of 300 bytes": (lambda p: p / ("x" * 300 + ".psd"), "cannot be used (File name too long)"),
    "name with a zero": (lambda p: p / "a\0.psd", "no file can be named so"),
    "folder named psd": (lambda p: named_folder(p / "a.psd"), "holds neither stack.json nor a triplet"),
    "no such file": (lambda p: p / "gone.psd", "does not exist"),
    "unknown kind": (lambda p: with_bytes(p / "a.xcf", b"gimp"), "ends in no format known here"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_one_sentence(name: str, tmp_path: Path) -> None:
    make, sentence = HOSTILE[name]
    path = make(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(LayerFusionError) as caught:
            read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert sentence in text
    assert "\n" not in text and text.endswith(".")
    assert peak < 64 << 20


def test_one_picture_of_many_layers_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = '<layer src="data/a.png"/>' * 900
    path = ora(tmp_path / "a.ora", {"stack.xml": f'<image w="8" h="8"><stack>{layers}</stack></image>'})
    unpacked = []
    unpack = zipfile.ZipFile.read
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *asked: unpacked.append(asked[1]) or unpack(*asked))
    stack = read(path)
    assert len(stack) == 900 and stack[0].pixels is stack[899].pixels
    assert len(unpacked) == 3  # mimetype, stack.xml, the picture


def test_what_a_stack_needs_is_asked_before_anything_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused while it is read, not when it is composited after seven layers were."""
    stack = LayerStack(64, 64, [Layer(f"{n}", np.full((64, 64, 3), n, np.uint8)) for n in range(8)])
    for name in ("a.psd", "a.ora", "s"):
        path = write(stack, tmp_path / name)
        for limit in range(100_000, 1_500_000, 100_000):
            with monkeypatch.context() as patched:
                patched.setattr(limits, "memory_limit", lambda limit=limit: limit)
                try:
                    again = read(path)
                except LayerFusionError:
                    continue
                again.composite()


@pytest.mark.parametrize("bad", ["not json", "[1]", "{", "[" * 100_000, '{"format": "other"}'])
def test_a_broken_manifest(bad: str, tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(bad)
    with pytest.raises(LayerFusionError):
        read(tmp_path)


@pytest.mark.parametrize("name", ["a.psd", "a.ora", "s"])
def test_a_stack_too_large_for_memory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(example_stack(), tmp_path / name)
    monkeypatch.setattr(limits, "memory_limit", lambda: 100_000)
    with pytest.raises(LayerFusionError, match=r"GiB of memory"):
        read(path)


@settings(max_examples=60)
@given(st.data())
def test_any_damage_is_a_sentence_or_a_stack(data: st.DataObject) -> None:
    """Random bytes changed or cut: never another exception, never a hang."""
    import tempfile
    import warnings

    kind = data.draw(st.sampled_from(["psd", "ora", "html"]))
    whole = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = with_bytes(Path(place) / f"a.{kind}", bytes(whole[:cut] if data.draw(st.booleans()) else whole))
        try:
            stack = read(path)
        except LayerFusionError as error:
            assert "\n" not in str(error)
        else:
            assert isinstance(stack, LayerStack)


def _whole() -> dict[str, bytes]:
    import tempfile

    small = LayerStack(12, 9, list(example_stack(12, 9))[:3])
    small.layers = [small[0], *(layer for layer in small.layers[1:])]
    with tempfile.TemporaryDirectory() as place:
        return {kind: write(small, Path(place) / f"a.{kind}").read_bytes() for kind in ("psd", "ora", "html")}


WHOLE = _whole()


def test_a_picture_in_a_triplet_that_is_no_picture(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save(tmp_path / "foreground.png")
    (tmp_path / "background.png").write_bytes(png()[:30])
    with pytest.raises(LayerFusionError, match=r"background\.png is "):
        read(tmp_path)
