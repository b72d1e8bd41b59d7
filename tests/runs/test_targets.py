"""A triplet is the old one or the new one, whole: wherever a run is killed, and whenever the disk is full."""

import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from layerfusion import LayerFusionError, Triplet
from layerfusion.files import sweep
from layerfusion.layers import read, write
from layerfusion.runs import Record, Request, Target
from layerfusion.runs.generation import Generated
from layerfusion.runs.record import ModelDescription
from tests.faults import Fault, at_every_change, content
from tests.layers.stacks import example_stack

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def generated(colour: str) -> Generated:
    """What a run yields, of one colour."""
    rgba, rgb = Image.new("RGBA", (8, 8), colour), Image.new("RGB", (8, 8), colour)
    triplet = Triplet(rgba, rgb, rgb, rgb, rgba, rgba, rgba, rgb)
    request = Request(foreground_prompt=colour, background_prompt="a wall", seed=1)
    return Generated(triplet, Record(request, ModelDescription("mini"), {}))


def triplet_over_another(target: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:
    target = target.with_suffix("")
    return lambda: Target(target).write(generated("red")), lambda: Target(target).write(generated("blue"), True)


def edited_layers(target: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """As `layerfusion edit poster --out poster --overwrite`."""

    def edit() -> None:
        write(read(target).edited(0, lambda layer: layer.moved(3, 4)), target)

    return lambda: write(example_stack(), target), edit


def exported_layers(target: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """As `layerfusion export … --overwrite`."""
    moved = example_stack().edited(0, lambda layer: layer.moved(3, 4))
    return lambda: write(example_stack(), target), lambda: write(moved, target)


@pytest.mark.parametrize("fault", ["kill", "disk full"])
@pytest.mark.parametrize(
    ("name", "job"),
    [
        ("poster.pptx", exported_layers),
        ("poster.tiff", exported_layers),
        ("poster.webp", exported_layers),
        ("triplet", triplet_over_another),
        ("poster", edited_layers),
        ("poster.psd", edited_layers),
        ("poster.ora", edited_layers),
        ("poster.html", edited_layers),
    ],
)
def test_whole_old_or_whole_new(name: str, job: Callable, fault: Fault, tmp_path: Path) -> None:
    target = tmp_path / "place" / name
    make_old, make_new = job(target)
    make_old()
    old = content(target)
    make_new()
    new = content(target)
    assert old != new
    codes = []

    def again() -> None:
        shutil.rmtree(target.parent)
        make_old()

    again()
    for code in at_every_change(make_new, fault):
        codes.append(code)
        assert content(target) in (old, new)
        if fault == "disk full":
            # What could not be cleared away once the new one is there is no failure.
            assert code == (3 if content(target) == old else 0)
        sweep(target.parent)
        assert [entry.name for entry in target.parent.iterdir()] == [name]
        assert content(target) in (old, new)
        again()
    assert len(codes) > 5 and set(codes) <= ({-9} if fault == "kill" else {0, 3})


def test_a_file_that_may_not_grow_is_a_sentence(tmp_path: Path) -> None:
    """As a quota says it: by the kernel, in the middle of a write."""
    target = tmp_path / "poster.psd"
    write(example_stack(), target)
    old = content(target)
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        code = 1
        try:
            write(example_stack().edited(0, lambda layer: layer.moved(3, 4)), target)
        except LayerFusionError as error:
            code = 0 if "File too large" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert content(target) == old and os.listdir(tmp_path) == ["poster.psd"]
