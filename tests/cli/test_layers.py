"""The commands on layers, as a person types them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from layerfusion.cli import app
from layerfusion.layers import Layer, LayerStack, read, write
from tests.layers.stacks import assert_same, example_stack, lit_stack
from tests.layers.test_roundtrip import triplet_folder


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def triplet(tmp_path: Path) -> Path:
    return triplet_folder(tmp_path / "fox")


def test_export_to_several_kinds_at_once(triplet: Path, tmp_path: Path) -> None:
    targets = [tmp_path / name for name in ("poster.psd", "poster.ora", "poster.html", "layers")]
    said = run("export", triplet, *(part for target in targets for part in ("--to", target)))
    assert said.split() == [str(target) for target in targets]
    assert [layer.name for layer in read(targets[0])] == ["background", "foreground", "blended"]


def test_edit_keeps_the_placement(triplet: Path, tmp_path: Path) -> None:
    run("edit", triplet, "--layer", "foreground", "--move", "-40,20", "--scale", "0.8", "--flip", "--rotate", "10",
        "--opacity", "0.5", "--blend", "screen", "--rename", "狐", "--out", tmp_path / "edited")  # fmt: skip
    layer, before = read(tmp_path / "edited")["狐"], read(triplet)["foreground"]
    assert layer.placement == before.flipped().scaled(0.8).rotated(10).moved(-40, 20).placement
    np.testing.assert_array_equal(layer.pixels, before.pixels)
    assert (layer.opacity, layer.blend, layer.visible) == (0.5, "screen", True)


def test_edit_takes_the_shadow_along_unless_told_not_to(tmp_path: Path) -> None:
    source = write(lit_stack(), tmp_path / "lit")
    run("edit", source, "--layer", "foreground", "--flip", "--move", "5,0", "--out", tmp_path / "moved.psd")
    want = lit_stack().edited("foreground", lambda layer: layer.flipped().moved(5, 0))
    assert_same(read(tmp_path / "moved.psd"), want.baked())
    run("edit", source, "--layer", "shadow", "--move", "5,0", "--alone", "--out", tmp_path / "alone")
    assert [layer.placement.c for layer in read(tmp_path / "alone")] == [0, 5, 0, 0, 0, 0]
    moved = read(tmp_path / "moved.psd")
    run("edit", tmp_path / "moved.psd", "--layer", "foreground", "--reset", "--out", tmp_path / "back")
    back = read(tmp_path / "back")
    assert back["foreground"].placement.c == 0
    assert back["shadow"].placement.c == moved["shadow"].placement.c - moved["foreground"].placement.c


def test_edit_back_to_the_start(triplet: Path, tmp_path: Path) -> None:
    run("edit", triplet, "--layer", "1", "--scale", "0.5,2", "--hide", "--out", tmp_path / "edited")
    run("edit", tmp_path / "edited", "--layer", "1", "--reset", "--show", "--out", tmp_path / "edited", "--overwrite")
    layer, before = read(tmp_path / "edited")[1], read(triplet)[1]
    assert (layer.placement, layer.visible) == (before.placement, True)


def test_a_new_picture_covers_the_place_of_the_old(triplet: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 40), (9, 200, 90)).save(tmp_path / "photo.png")
    run("edit", triplet, "--layer", "background", "--picture", tmp_path / "photo.png", "--out", tmp_path / "edited")
    stack = read(tmp_path / "edited")
    assert stack.edited("foreground", lambda layer: layer.moved(900, 0)).composite().getextrema() == (
        (9, 9),
        (200, 200),
        (90, 90),
        (255, 255),
    )


def test_composite(triplet: Path, tmp_path: Path) -> None:
    run("composite", triplet, "--out", tmp_path / "flat.png")
    with Image.open(tmp_path / "flat.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(read(triplet).composite()))
    run("composite", triplet, "--linear", "--background", "#20242c", "--out", tmp_path / "flat.jpg")
    with Image.open(tmp_path / "flat.jpg") as picture:
        assert picture.mode == "RGB"


def test_show_prints_every_layer_and_draws_on_request(triplet: Path, tmp_path: Path) -> None:
    said = run("show", triplet, "--picture", tmp_path / "sheet.png")
    for word in ("background", "foreground", "blended", "hidden", "96×64"):
        assert word in said
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 2 * 24 + 4 * 256 + 3 * 14
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 100


def test_show_says_how_a_layer_is_placed(triplet: Path, tmp_path: Path) -> None:
    stack = read(triplet)
    stack[0] = stack[0].flipped().scaled(0.8)
    stack[1] = stack[1].scaled(2, 0.5).moved(3, 0)
    stack[2] = stack[2].rotated(-12.5)
    said = run("show", write(stack, tmp_path / "[red]placed"))
    for word in ("[red]placed", "flipped ×0.8", "×2,0.5", "-12.5°"):
        assert word in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["export", "{fox}", "--to", "a.docx"], "ends in no format known here"),
        (["export", "gone.psd", "--to", "{tmp}/a.ora"], "gone.psd does not exist"),
        (["export", "{fox}", "--to", "{fox}"], "holds other files"),
        (["export", "{fox}", "--to", "{tmp}/old.psd"], "already exists; choose another name or add --overwrite"),
        (["edit", "{fox}", "--layer", "cat", "--out", "{tmp}/a"], "There is no layer 'cat'"),
        (["edit", "{fox}", "--layer", "9" * 5000, "--out", "{tmp}/a"], "There is no layer"),
        (["edit", "{fox}", "--layer", "1", "--move", "3e9,0", "--out", "{tmp}/a.ora"], "move it closer"),
        (["edit", "{fox}", "--layer", "1", "--move", "1e308,0", "--out", "{tmp}/a"], "finite numbers of ordinary size"),
        (["edit", "{fox}", "--layer", "1", "--scale", "1e160", "--out", "{tmp}/a"], "finite numbers of ordinary size"),
        (["edit", "{fox}", "--layer", "1", "--scale", "nan", "--out", "{tmp}/a"], "finite numbers of ordinary size"),
        (["edit", "{fox}", "--layer", "1", "--rotate", "inf", "--out", "{tmp}/a"], "give a finite number"),
        (["edit", "{fox}", "--layer", "1", "--picture", "{tmp}/old.psd", "--out", "{tmp}/a"], "is not a PNG or JPEG"),
        (["export", "{fox}", "--to", "{tmp}/a.psd", "--to", "{tmp}/a.gif"], "ends in no format"),
        (["export", "{fox}", "--to", "{tmp}/a.psd", "--to", "{tmp}/./a.psd"], "are one place, or one in the other"),
        (["export", "{fox}", "--to", "{tmp}/nest", "--to", "{tmp}/nest/a.psd"], "are one place, or one in the other"),
        (["export", "{fox}", "--to", "{tmp}/a.psd", "--to", "{tmp}/" + "x" * 300], "cannot be used"),
        (["show", "{fox}", "--picture", "{tmp}/sheet.txt"], "end it in .png"),
        (["edit", "{fox}", "--layer", "9", "--out", "{tmp}/a"], "There is no layer 9"),
        (["edit", "{fox}", "--layer", "1", "--move", "left", "--out", "{tmp}/a"], "--move 'left' is not 2 numbers"),
        (["edit", "{fox}", "--layer", "1", "--scale", "50%", "--out", "{tmp}/a"], "write it as 0.8, or as 0.8,1.2"),
        (["edit", "{fox}", "--layer", "1", "--scale", "0", "--out", "{tmp}/a"], "squeezes its layer to nothing"),
        (["edit", "{fox}", "--layer", "1", "--opacity", "2", "--out", "{tmp}/a"], "Opacity 2.0 is outside 0 to 1"),
        (["edit", "{fox}", "--layer", "1", "--picture", "gone.jpg", "--out", "{tmp}/a"], "gone.jpg does not exist"),
        (["composite", "{fox}", "--out", "{tmp}/a.psd"], "is no flat picture's format"),
        (["composite", "{fox}", "--background", "mauvish", "--out", "{tmp}/a.png"], "'mauvish' is no colour"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: list[str], sentence: str, triplet: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.psd").write_text("precious")
    said = run(*(part.format(fox=triplet, tmp=tmp_path) for part in arguments), code=2)
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fox", "old.psd"]
    assert (tmp_path / "old.psd").read_text() == "precious"


def test_an_export_that_fails_for_one_target_writes_none(tmp_path: Path) -> None:
    """A slide cannot be that narrow, which is only known once the others are ready."""
    stack = LayerStack(2000, 1, [Layer("line", np.zeros((1, 2000, 3), np.uint8))])
    source = write(stack, tmp_path / "line")
    (tmp_path / "old.ora").write_text("precious")
    targets = [tmp_path / name for name in ("a.psd", "folder", "old.ora", "a.pptx")]
    said = run("export", source, *(part for target in targets for part in ("--to", target)), "--overwrite", code=2)
    assert said == "error: A slide cannot be as narrow as 2000×1; use a squarer canvas.\n"
    assert sorted(os.listdir(tmp_path)) == ["line", "old.ora"]
    assert (tmp_path / "old.ora").read_text() == "precious"


def test_a_disguised_eps_is_not_handed_to_ghostscript(triplet: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    arguments = ("edit", triplet, "--layer", "background", "--picture", tmp_path / "photo.jpg", "--out", tmp_path / "a")
    assert "photo.jpg is not a PNG or JPEG or" in run(*arguments, code=2)


def test_losses_are_notes(tmp_path: Path) -> None:
    source = write(example_stack(), tmp_path / "stack")
    said = run("export", source, "--to", tmp_path / "a.pptx")
    assert "note: PowerPoint has no multiply mode" in said


def test_the_manifest_is_plain(triplet: Path, tmp_path: Path) -> None:
    run("edit", triplet, "--layer", "foreground", "--move", "40,-20", "--out", tmp_path / "moved")
    manifest = json.loads((tmp_path / "moved" / "stack.json").read_text())
    assert manifest["layers"][1]["placement"] == [1, 0, 40, 0, 1, -20]
    assert manifest["layers"][1]["file"] == "01-foreground.png"
