"""The files as other programs open them: ImageMagick, GIMP, Krita, LibreOffice. `make apt` installs them."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from layerfusion.layers import LayerStack, read, write
from tests.layers.stacks import example_stack


def program(*names: str) -> str:
    """The first of these programs that is installed, or skip."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(f"needs {names[0]} (make apt)")


def run(*command: str | Path, home: Path) -> None:
    """Run a program with its settings in a folder of its own."""
    home.mkdir(parents=True, exist_ok=True)
    folders = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "XDG_DATA_HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
    }
    done = subprocess.run(command, env={**os.environ, **folders}, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


def difference(path: Path, stack: LayerStack) -> float:
    """Mean absolute difference, in steps of 1/255, of a rendered picture from our composite."""
    with Image.open(path) as picture:
        theirs = np.asarray(picture.convert("RGBA"), np.int16)
    ours = np.asarray(stack.composite(), np.int16)
    assert theirs.shape == ours.shape
    return float(np.abs(theirs - ours).mean())


@pytest.fixture
def stack() -> LayerStack:
    """Every blend mode, opacity, offsets beyond the canvas, a hidden layer, and one layer turned and scaled."""
    return example_stack().edited(2, lambda layer: layer.rotated(20).scaled(1.2))


def test_imagemagick_shows_the_preview_and_composites_the_layers(stack: LayerStack, tmp_path: Path) -> None:
    convert = program("convert-im6.q16", "magick")
    stack.layers.pop()  # ImageMagick composites hidden layers too
    write(stack, tmp_path / "a.psd")
    run(convert, f"{tmp_path}/a.psd[0]", f"{tmp_path}/preview.png", home=tmp_path / "home")
    assert difference(tmp_path / "preview.png", stack) == 0
    layers = f"{tmp_path}/a.psd[1-{len(stack)}]"
    run(convert, layers, "-background", "none", "-layers", "flatten", f"{tmp_path}/flat.png", home=tmp_path / "home")
    assert difference(tmp_path / "flat.png", stack) <= 1


def assert_read_back(path: Path, stack: LayerStack) -> None:
    """Another program's file holds our layers and gives our picture."""
    again = read(path)
    assert [(layer.name, layer.visible, layer.blend) for layer in again] == [
        (layer.name, layer.visible, layer.blend) for layer in stack
    ]
    again.composite().save(path.with_suffix(".again.png"))
    assert difference(path.with_suffix(".again.png"), stack) <= 1


def test_gimp_composites_the_psd_and_writes_one_that_we_read(stack: LayerStack, tmp_path: Path) -> None:
    gimp = program("gimp-console-2.10", "gimp-console")
    write(stack, tmp_path / "a.psd")
    script = (
        f'(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "{tmp_path}/a.psd" "a.psd")))'
        f' (saved (file-psd-save RUN-NONINTERACTIVE image -1 "{tmp_path}/gimp.psd" "gimp.psd" 0 0))'
        " (layer (car (gimp-image-merge-visible-layers image CLIP-TO-IMAGE))))"
        " (gimp-layer-resize-to-image-size layer)"
        f' (file-png-save RUN-NONINTERACTIVE image layer "{tmp_path}/gimp.png" "gimp.png" 0 9 0 0 0 0 0))'
    )
    run(gimp, "-i", "-d", "-f", "-s", "-b", script, "-b", "(gimp-quit 0)", home=tmp_path / "home")
    assert difference(tmp_path / "gimp.png", stack) <= 1
    assert_read_back(tmp_path / "gimp.psd", stack)


def test_krita_composites_the_ora_and_the_psd_and_writes_an_ora_that_we_read(stack: LayerStack, tmp_path: Path) -> None:
    krita, screen = program("krita"), program("xvfb-run")
    ours = {kind: write(stack, tmp_path / f"a.{kind}") for kind in ("ora", "psd")}
    for source, out in ((ours["ora"], "ora.png"), (ours["psd"], "psd.png"), (ours["psd"], "krita.ora")):
        run(screen, "-a", krita, "--nosplash", source, "--export", "--export-filename", tmp_path / out,
            home=tmp_path / "home")  # fmt: skip
    assert difference(tmp_path / "ora.png", stack) <= 1
    assert difference(tmp_path / "psd.png", stack) <= 1
    assert_read_back(tmp_path / "krita.ora", stack)


def test_libreoffice_lays_the_slide_out_alike(stack: LayerStack, tmp_path: Path) -> None:
    office = program("soffice", "libreoffice")
    stack.layers = [replace(layer, blend="normal") for layer in stack]
    write(stack, tmp_path / "a.pptx")
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    run(office, profile, "--headless", "--convert-to", "png", "--outdir", tmp_path, tmp_path / "a.pptx",
        home=tmp_path / "home")  # fmt: skip
    with Image.open(tmp_path / "a.png") as slide:
        assert slide.width / slide.height == pytest.approx(stack.width / stack.height, rel=0.01)
        slide.convert("RGB").resize(stack.size, Image.Resampling.BOX).save(tmp_path / "small.png")
    # LibreOffice enlarges to the slide and we shrink back, so edges differ a little; two pixels' shift differs more.
    here = difference(tmp_path / "small.png", stack)
    assert here <= 2
    for x, y in ((2, 0), (-2, 0), (0, 2), (0, -2)):
        moved = stack.edited(2, lambda layer, x=x, y=y: layer.moved(x, y))
        assert difference(tmp_path / "small.png", moved) > here
