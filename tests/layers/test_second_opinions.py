"""The files as other programs open them: ImageMagick, GIMP, Krita, LibreOffice. `make apt` installs them."""

import itertools
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from layerfusion.layers import LayerStack, read, write
from tests.layers.stacks import example_stack, lit_stack

# Screens of Xvfb that no other run on this machine takes, and none twice: the last may still be closing.
DISPLAYS = itertools.count(1000 + os.getpid() % 5_000 * 10)


def program(*names: str) -> str:
    """The first of these programs that is installed, or skip."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    pytest.skip(f"needs {names[0]} (make apt)")


def started(*command: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a program with its settings in a folder of its own."""
    home.mkdir(parents=True, exist_ok=True)
    folders = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home),
        "XDG_DATA_HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
    }
    return subprocess.run(command, env={**os.environ, **folders}, capture_output=True, text=True, timeout=240)


def run(*command: str | Path, home: Path) -> None:
    """The same, and it must succeed."""
    done = started(*command, home=home)
    assert done.returncode == 0, done.stdout + done.stderr


def differences(path: Path, stack: LayerStack) -> np.ndarray:
    """Absolute differences, in steps of 1/255, of a rendered picture from our composite."""
    with Image.open(path) as picture:
        theirs = np.asarray(picture.convert("RGBA"), np.int16)
    ours = np.asarray(stack.composite(), np.int16)
    assert theirs.shape == ours.shape
    return np.abs(theirs - ours)


def difference(path: Path, stack: LayerStack) -> float:
    """Their mean."""
    return float(differences(path, stack).mean())


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


def run_gimp(psd: Path, tmp_path: Path) -> None:
    """Let GIMP write the PSD again as gimp.psd, and its composite as gimp.png."""
    gimp = program("gimp-console-2.10", "gimp-console")
    script = (
        f'(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "{psd}" "a.psd")))'
        f' (saved (file-psd-save RUN-NONINTERACTIVE image -1 "{tmp_path}/gimp.psd" "gimp.psd" 0 0))'
        " (layer (car (gimp-image-merge-visible-layers image CLIP-TO-IMAGE))))"
        " (gimp-layer-resize-to-image-size layer)"
        f' (file-png-save RUN-NONINTERACTIVE image layer "{tmp_path}/gimp.png" "gimp.png" 0 9 0 0 0 0 0))'
    )
    run(gimp, "-i", "-d", "-f", "-s", "-b", script, "-b", "(gimp-quit 0)", home=tmp_path / "home")


def test_gimp_composites_the_psd_and_writes_one_that_we_read(stack: LayerStack, tmp_path: Path) -> None:
    run_gimp(write(stack, tmp_path / "a.psd"), tmp_path)
    assert difference(tmp_path / "gimp.png", stack) <= 1
    assert_read_back(tmp_path / "gimp.psd", stack)


def test_gimp_shows_a_lit_triplet_and_keeps_its_group(tmp_path: Path) -> None:
    run_gimp(write(lit_stack(), tmp_path / "a.psd"), tmp_path)
    assert differences(tmp_path / "gimp.png", lit_stack()).max() <= 1
    again = read(tmp_path / "gimp.psd")
    assert [layer.group for layer in again] == [layer.group for layer in lit_stack()]
    assert_read_back(tmp_path / "gimp.psd", lit_stack())


def run_krita(stack: LayerStack, tmp_path: Path) -> None:
    """Let Krita write ora.png and psd.png, the composites of our files, and the PSD again as krita.ora."""
    krita, screen = program("krita"), program("xvfb-run")
    ours = {kind: write(stack, tmp_path / f"a.{kind}") for kind in ("ora", "psd")}
    for source, out in ((ours["ora"], "ora.png"), (ours["psd"], "psd.png"), (ours["psd"], "krita.ora")):
        for _ in range(3):  # on a busy machine a screen may not answer yet when Krita looks for it
            display = str(next(DISPLAYS))
            done = started(screen, "-n", display, krita, "--nosplash", source, "--export", "--export-filename",
                           tmp_path / out, home=tmp_path / "home")  # fmt: skip
            if "could not connect to display" not in done.stderr:
                break
        assert done.returncode == 0, done.stdout + done.stderr


def test_krita_composites_the_ora_and_the_psd_and_writes_an_ora_that_we_read(stack: LayerStack, tmp_path: Path) -> None:
    run_krita(stack, tmp_path)
    assert difference(tmp_path / "ora.png", stack) <= 1
    assert difference(tmp_path / "psd.png", stack) <= 1
    assert_read_back(tmp_path / "krita.ora", stack)


def test_krita_shows_a_lit_triplet_and_keeps_its_group(tmp_path: Path) -> None:
    run_krita(lit_stack(), tmp_path)
    for kind in ("ora", "psd"):
        assert differences(tmp_path / f"{kind}.png", lit_stack()).max() <= 1
    again = read(tmp_path / "krita.ora")
    assert [layer.group for layer in again] == [layer.group for layer in lit_stack()]
    assert_read_back(tmp_path / "krita.ora", lit_stack())


def run_libreoffice(stack: LayerStack, tmp_path: Path) -> Path:
    """Let LibreOffice draw the slide; the picture is shrunk to the canvas's size."""
    office = program("soffice", "libreoffice")
    write(stack, tmp_path / "a.pptx")
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    run(office, profile, "--headless", "--convert-to", "png", "--outdir", tmp_path, tmp_path / "a.pptx",
        home=tmp_path / "home")  # fmt: skip
    with Image.open(tmp_path / "a.png") as slide:
        assert slide.width / slide.height == pytest.approx(stack.width / stack.height, rel=0.01)
        slide.convert("RGB").resize(stack.size, Image.Resampling.BOX).save(tmp_path / "small.png")
    return tmp_path / "small.png"


def test_libreoffice_lays_the_slide_out_alike(stack: LayerStack, tmp_path: Path) -> None:
    stack.layers = [replace(layer, blend="normal") for layer in stack]
    small = run_libreoffice(stack, tmp_path)
    # LibreOffice enlarges to the slide and we shrink back, so edges differ a little; two pixels' shift differs more.
    here = difference(small, stack)
    assert here <= 2
    for x, y in ((2, 0), (-2, 0), (0, 2), (0, -2)):
        moved = stack.edited(2, lambda layer, x=x, y=y: layer.moved(x, y))
        assert difference(small, moved) > here


@pytest.mark.filterwarnings("ignore:PowerPoint has no")
def test_libreoffice_shows_shadow_and_light_nearly_as_they_are(tmp_path: Path) -> None:
    small = run_libreoffice(lit_stack(), tmp_path)
    assert difference(small, lit_stack()) <= 2
    without = lit_stack()
    without.layers = [layer for layer in without if layer.blend == "normal"]
    assert difference(small, without) > 3 * difference(small, lit_stack())
