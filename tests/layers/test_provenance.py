"""What files say of where their pictures come from, and what they must not say."""

import io
import json
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from layerfusion.errors import LayerFusionError
from layerfusion.layers import FORMATS, LayerStack, read, stack_from_triplet, write
from layerfusion.layers.formats.flat import features
from layerfusion.layers.pictures import is_srgb, pixels_of, srgb_profile
from layerfusion.layers.provenance import facts, from_xmp, portable, sentence, xmp_packet
from tests.layers.stacks import effects, soft_disc
from tests.layers.test_roundtrip import triplet_folder

RECORD: dict[str, Any] = {
    "format": "layerfusion-triplet",
    "version": 1,
    "foreground_prompt": 'une flûte <&> "雪"\u0007',
    "background_prompt": "/imagine a forest",
    "negative_foreground": "",
    "negative_background": "fog",
    "seed": 2**62,
    "steps": 30,
    "guidance_scale": 7.5,
    "config": {"mask": "soft", "content_range": [0.1, 0.8]},
    "model": {"name": "/home/ada/models/my-sdxl", "fingerprint": "sha256:1234"},
    "foreground_weights": "C:\\Users\\ada\\fg.safetensors",
    "transparent_decoder": "owner/name:file.safetensors",
}
SECRETS = (b"/home/ada", b"Users", b"ada\\", b"Canny", b"python-pptx")
AVIF = pytest.param("avif", marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF"))


def made_stack() -> LayerStack:
    return stack_from_triplet(**effects(), provenance=RECORD)


def unpacked(path: Path) -> bytes:
    """Every byte that stands in a file, members of zips unpacked."""
    data = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            data += b"".join(archive.read(name) for name in archive.namelist())
    return data


@pytest.mark.filterwarnings("ignore:PowerPoint has no")
@pytest.mark.parametrize("ending", [AVIF if ending == "avif" else ending for ending in FORMATS])
def test_every_kind_says_where_it_comes_from_and_nothing_of_the_machine(ending: str, tmp_path: Path) -> None:
    data = unpacked(write(made_stack(), tmp_path / f"a.{ending}"))
    for secret in (*SECRETS, str(tmp_path).encode()):
        assert secret not in data
    assert b"my-sdxl" in data and b"4611686018427387904" in data and b"/imagine a forest" in data


@pytest.mark.parametrize("name", ["a.psd", "a.ora", "folder"])
def test_what_is_read_back_knows_where_it_comes_from(name: str, tmp_path: Path) -> None:
    again = read(write(made_stack(), tmp_path / name))
    assert again.provenance == made_stack().provenance
    edited = again.edited("foreground", lambda layer: layer.moved(1, 1))
    assert edited.baked().provenance == made_stack().provenance
    assert read(write(LayerStack(2, 2), tmp_path / f"plain-{name}")).provenance is None


def test_a_triplets_folder_gives_its_record(tmp_path: Path) -> None:
    folder = triplet_folder(tmp_path / "fox")
    (folder / "triplet.json").write_text(json.dumps(RECORD), encoding="utf-8")
    assert read(folder).provenance == portable(RECORD)
    (folder / "triplet.json").write_text("[1")
    assert read(folder).provenance is None


def test_paths_are_cut_and_prompts_are_not() -> None:
    cut = portable(RECORD)
    assert cut is not None
    assert cut["model"] == {"name": "my-sdxl", "fingerprint": "sha256:1234"}
    assert cut["foreground_weights"] == "fg.safetensors"
    assert {key for key in RECORD if cut[key] != RECORD[key]} == {"model", "foreground_weights"}


@pytest.mark.parametrize("wrong", [{"a": float("nan")}, {"a": {1, 2}}, ["list"], {"a": 10**400}])
def test_what_json_cannot_hold_is_refused(wrong: Any) -> None:
    with pytest.raises(LayerFusionError, match="provenance"):
        LayerStack(2, 2, [], wrong)


NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_xmp_keeps_any_record(record: dict[str, Any]) -> None:
    clean = portable(record)
    assert clean is not None and portable(clean) == clean
    assert from_xmp(xmp_packet(clean)) == clean


def test_xmp_says_the_main_points_to_other_programs() -> None:
    packet = xmp_packet(portable(RECORD) or {}).decode("utf-8")
    said = 'foreground: une flûte &lt;&amp;&gt; "雪"; background: /imagine a forest; not in the background: fog; seed: '
    assert f'<rdf:li xml:lang="x-default">{said}' in packet
    for term in ("xmp:CreatorTool>LayerFusion", "Iptc4xmpExt:DigitalSourceType>http", "Iptc4xmpExt:AIPrompt"):
        assert term in packet


def test_facts_are_few_and_readable() -> None:
    assert facts(None) == []
    assert facts({"model": "mini", "seed": 0}) == [("Seed", "0"), ("Model", "mini")]
    assert sentence({"seed": 7, "steps": 4}) == "seed: 7; steps: 4"


def test_a_broken_packet_is_no_reason_to_lose_the_pictures() -> None:
    for packet in (b"", b"<x", b"<!DOCTYPE a []><a/>", xmp_packet({"a": 1}).replace(b"{", b"")):
        assert from_xmp(packet) is None


def test_the_profile_is_srgb_and_always_the_same() -> None:
    assert is_srgb(srgb_profile()) and not is_srgb(b"junk")
    identity = ImageCms.profileToProfile(
        Image.fromarray(soft_disc(9, (200, 90, 60), 3)).convert("RGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())),
        ImageCms.createProfile("sRGB"),
    )
    assert identity is not None
    assert srgb_profile()[24:36] == struct.pack(">6H", 2000, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("ending", ["png", "webp", AVIF, "jpg", "tiff"])
def test_pictures_carry_the_profile_and_the_packet(ending: str, tmp_path: Path) -> None:
    with Image.open(write(made_stack(), tmp_path / f"a.{ending}")) as picture:
        assert picture.info["icc_profile"] == srgb_profile()
        packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp", "").encode()
        if isinstance(picture, TiffImagePlugin.TiffImageFile):
            packet = picture.tag_v2[700]
        assert from_xmp(packet) == portable(RECORD)


def test_a_psd_carries_the_profile(tmp_path: Path) -> None:
    from psd_tools import PSDImage
    from psd_tools.constants import Resource

    resources = PSDImage.open(write(made_stack(), tmp_path / "a.psd")).image_resources
    assert resources.get_data(Resource.ICC_PROFILE) == srgb_profile()
    assert re.search(rb"<xmp:CreatorTool>LayerFusion [\d.]+<", resources.get_data(Resource.XMP_METADATA))


def test_a_slide_says_who_made_it(tmp_path: Path) -> None:
    from pptx import Presentation

    stack = stack_from_triplet(effects()["foreground"], effects()["background"], provenance=RECORD)
    presentation = Presentation(str(write(stack, tmp_path / "a.pptx")))
    properties = presentation.core_properties
    assert properties.author.startswith("LayerFusion ") and properties.last_modified_by == properties.author
    assert properties.title == "background, foreground"
    assert properties.comments.startswith("foreground: une flûte") and len(properties.comments) <= 255
    assert (properties.modified - properties.created).total_seconds() == 0 and properties.created.year > 2020
    with zipfile.ZipFile(tmp_path / "a.pptx") as archive:
        assert from_xmp(archive.read("customXml/item1.xml")) == portable(RECORD)
        assert not [name for name in archive.namelist() if "thumbnail" in name or "printer" in name]


def png(colour_type: int, depth: int, row: bytes, width: int, transparent: bytes = b"") -> Image.Image:
    """One row of raw samples as a PNG of this colour type and bit depth."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour_type, 0, 0, 0))
    clear = chunk(b"tRNS", transparent) if transparent else b""
    body = chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return Image.open(io.BytesIO(b"\x89PNG\r\n\x1a\n" + head + clear + body))


GREY, RGB, GREY_ALPHA, RGBA = 0, 2, 4, 6


@pytest.mark.parametrize(
    "picture, want",
    [
        (png(GREY, 16, struct.pack(">3H", 0, 0x8080, 0xFFFF), 3), [[0, 255], [128, 255], [255, 255]]),
        (png(GREY, 16, struct.pack(">2H", 300, 50_000), 2, struct.pack(">H", 300)), [[1, 0], [195, 255]]),
        (png(GREY_ALPHA, 16, struct.pack(">2H", 0x8080, 0x4040), 1), [[128, 64]]),
        (png(GREY, 8, bytes([3, 200]), 2, struct.pack(">H", 3)), [[3, 0], [200, 255]]),
        (png(GREY, 1, b"\x40", 2), [[0, 255], [255, 255]]),
    ],
)
def test_grey_pngs_of_any_depth(picture: Image.Image, want: list[list[int]]) -> None:
    pixels = pixels_of(picture)
    assert (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all()
    assert pixels[0][:, 2:].tolist() == want


def test_colour_pngs_of_16_bits() -> None:
    assert pixels_of(png(RGB, 16, struct.pack(">3H", 0, 0x8080, 0xFFFF), 1)).tolist() == [[[0, 128, 255, 255]]]
    assert pixels_of(png(RGBA, 16, struct.pack(">4H", 0, 0x8080, 0xFFFF, 0x4040), 1)).tolist() == [[[0, 128, 255, 64]]]


def test_floating_point_pictures_are_refused() -> None:
    with pytest.raises(LayerFusionError, match="floating-point"):
        pixels_of(Image.new("F", (2, 2)))


def test_colours_of_another_profile_are_converted() -> None:
    """In a profile whose red and green have changed places, red is green; alpha is no colour."""
    name = "sRGB".encode("utf-16-be")
    swapped = srgb_profile().replace(b"rXYZ", b"____").replace(b"gXYZ", b"rXYZ").replace(b"____", b"gXYZ")
    red = Image.new("RGBA", (2, 2), (200, 0, 0, 99))
    for profile, want in (
        (swapped.replace(name, "GRB!".encode("utf-16-be")), (0, 200, 0, 99)),
        (srgb_profile(), (200, 0, 0, 99)),
        (b"broken", (200, 0, 0, 99)),
    ):
        red.info["icc_profile"] = profile
        assert np.abs(pixels_of(red).astype(int) - want).max() <= 1


def test_a_photo_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20)).save(buffer, "JPEG", exif=exif)
    assert pixels_of(Image.open(buffer)).shape == (30, 20, 4)


def test_the_same_stack_still_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.ora", "a.psd", "a.html", "a.png"):
        first = write(made_stack(), tmp_path / name).read_bytes()
        assert write(made_stack(), tmp_path / name).read_bytes() == first
    assert np.asarray(Image.open(tmp_path / "a.png")).shape == (64, 96, 4)
