"""What a designer opens: bounding boxes, what the layers add up to here and in other programs, moved and turned layers.

Every figure is of the layers that `Triplet.to_stack` gives, as files hold them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from layerfusion import Triplet
from layerfusion.layers import Layer, LayerStack, read, write
from layerfusion.layers.layer import SUBJECT_ALPHA
from layerfusion.relighting import relight
from recipes.mini.triplets import STREAMS, Triplets, array, pixels, tensors

SHIFT = 0.2  # of the width, that a subject is moved by
DEPTH = 8  # of 255: a shadow or a light that can be seen
EDITS: dict[str, Callable[[Layer], Layer]] = {
    "flipped": lambda layer: layer.flipped(),
    "scaled to 0.6": lambda layer: layer.scaled(0.6),
    "turned by 90°": lambda layer: layer.rotated(90),
}


def measure(drawn: Sequence[Triplets], programs: int) -> dict[str, Any]:
    """Every figure over all triplets; the first, the last and some between are shown to other programs."""
    made = [triplet(triplets, i) for triplets in drawn for i in range(len(triplets.cases))]
    cases = [case for triplets in drawn for case in triplets.cases]
    stacks = [one.to_stack() for one in made]
    slack = np.array([tightness(stack["foreground"]) for stack in stacks])
    moves = [move(stack) for stack in stacks]
    shadows = [found["at_the_new_place"] for found in moves if found["at_the_new_place"] is not None]
    chosen = np.linspace(0, len(stacks) - 1, programs).round().astype(int)
    return {
        "triplets": len(stacks),
        "boxes": {"tight": int((slack <= 2).sum()), "most_pixels": int(slack.max())},
        "from_layered_255": {
            "our composite": max(farthest(s.composite(), t.layered) for s, t in zip(stacks, made, strict=True)),
            "our composite of our .psd": max(again(s, t, "psd") for s, t in zip(stacks, made, strict=True)),
            "our composite of our .ora": max(again(s, t, "ora") for s, t in zip(stacks, made, strict=True)),
            **in_other_programs([(stacks[i], made[i]) for i in chosen]),
        },
        "shown_to_programs": [f"{cases[i].obj}, {cases[i].scene}" for i in chosen],
        "moved": {
            "at_the_old_place_255": max(found["at_the_old_place"] for found in moves),
            "with_shadow_or_light": len(shadows),
            "effects_at_the_new_place_255": max(shadows, default=None),
        },
        "middle_pixels": {name: max(middle(stack, edit) for stack in stacks) for name, edit in EDITS.items()},
    }


def triplet(triplets: Triplets, index: int) -> Triplet:
    """One of them as the product's own, with its layers."""
    given = [getattr(triplets, name)[index : index + 1] for name in STREAMS]
    layers = relight(*tensors(*given))
    made = [array(getattr(layers, name)) for name in ("relit", "shadow", "light", "layered")]
    foreground, background, blended, composite, relit, shadow, light, layered = (
        Image.fromarray(pixels(picture[0])) for picture in (*given, triplets.composite[index : index + 1], *made)
    )
    return Triplet(foreground, background, blended, composite, relit, shadow, light, layered)


def farthest(one: Image.Image, other: Image.Image | None) -> int:
    """The largest difference of two pictures in any pixel, in 255ths."""
    assert other is not None
    return int(np.abs(np.asarray(one.convert("RGB"), int) - np.asarray(other.convert("RGB"), int)).max())


def box(seen: np.ndarray) -> np.ndarray:
    """(left, top, right, bottom) of a region (H, W); zeros where it is empty."""
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) if len(rows) else np.zeros(4, int)


def tightness(layer: Layer) -> int:
    """By how many pixels the frame of the trimmed layer is wider than what is plainly seen, at its worst side."""
    trimmed = layer.trimmed()
    left, top, right, bottom = box(trimmed.pixels[..., 3] >= SUBJECT_ALPHA)
    return int(max(left, top, trimmed.size[0] - right, trimmed.size[1] - bottom))


def again(stack: LayerStack, one: Triplet, ending: str) -> int:
    """How far `layered` is from our composite of a file of ours."""
    with tempfile.TemporaryDirectory() as folder:
        return farthest(read(write(stack, Path(folder) / f"a.{ending}")).composite(), one.layered)


def move(stack: LayerStack) -> dict[str, Any]:
    """A subject moved by a fifth of the width, to the side with more room.

    `at_the_old_place`: the largest difference to the background where subject, shadow and light were and are no more.
    `at_the_new_place`: the largest difference to background · shadow · light, each moved, beside the subject;
    None where there is neither.
    """
    width = stack.width
    by = round(SHIFT * width) * (1 if stack["foreground"].centre[0] < width / 2 else -1)
    moved = stack.edited("foreground", lambda layer: layer.moved(by, 0))
    picture, background = (np.asarray(x.convert("RGB"), int) for x in (moved.composite(), stack["background"].image))
    alphas = {name: stack[name].pixels[..., 3] for name in ("shadow", "light", "foreground")}
    before = np.max([*alphas.values()], axis=0) > 0
    after = {name: shifted(alpha, by) for name, alpha in alphas.items()}
    left = before & (np.max([*after.values()], axis=0) == 0)
    difference = np.abs(picture - background).max(-1)
    beside = (np.maximum(after["shadow"], after["light"]) >= DEPTH) & (after["foreground"] == 0)
    expected = under(background, *(shifted(stack[name].pixels, by) for name in ("shadow", "light")))
    return {
        "at_the_old_place": int(difference[left].max(initial=0)),
        "at_the_new_place": float(np.abs(picture - expected)[beside].max()) if beside.any() else None,
    }


def under(background: np.ndarray, shadow: np.ndarray, light: np.ndarray) -> np.ndarray:
    """background · shadow, screened by light, in 255ths; see `layers.effects`."""
    multiplied = background * (1 - shadow[..., 3:] / 255 * (1 - shadow[..., :3] / 255))
    return multiplied + light[..., 3:] / 255 * light[..., :3] * (1 - multiplied / 255)


def shifted(picture: np.ndarray, by: int) -> np.ndarray:
    """Moved to the right by so many pixels; clear pixels come in."""
    result = np.zeros_like(picture)
    if by >= 0:
        result[:, by:] = picture[:, : picture.shape[1] - by]
    else:
        result[:, :by] = picture[:, -by:]
    return result


def middle(stack: LayerStack, edit: Callable[[Layer], Layer]) -> float:
    """By how many pixels an edit moves the middle of the subject's box, measured on the pixels before and after."""
    middles = []
    for one in (stack, stack.edited("foreground", edit)):
        layer = one["foreground"].baked()
        left, top, right, bottom = box(layer.pixels[..., 3] >= SUBJECT_ALPHA)
        middles.append(np.array(layer.offset) + np.array([left + right, top + bottom]) / 2)
    return float(np.abs(middles[1] - middles[0]).max())


def in_other_programs(pairs: Sequence[tuple[LayerStack, Triplet]]) -> dict[str, int | str]:
    """How far `layered` is from what Krita and GIMP make of our files, or that a program is missing."""
    found: dict[str, int | str] = {}
    programs = (
        ("Krita, .psd", "psd", ("krita", "xvfb-run"), krita),
        ("Krita, .ora", "ora", ("krita", "xvfb-run"), krita),
        ("GIMP, .psd", "psd", ("gimp-console-2.10",), gimp),
    )
    for name, ending, needed, command in programs if pairs else ():
        missing = [program for program in needed if shutil.which(program) is None]
        found[name] = f"{missing[0]} is not installed" if missing else max(shown(*p, ending, command) for p in pairs)
    return found


def shown(stack: LayerStack, one: Triplet, ending: str, command: Callable[[Path, Path], list[str]]) -> int:
    """Let a program, with settings of its own, export our file as a picture, and compare that with `layered`."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = write(stack, Path(folder) / f"a.{ending}"), Path(folder) / "out.png"
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
        subprocess.run(
            command(source, out), env=os.environ | dict.fromkeys(names, folder), check=True, capture_output=True
        )
        with Image.open(out) as picture:
            return farthest(picture, one.layered)


def krita(source: Path, out: Path) -> list[str]:
    return ["xvfb-run", "-a", "krita", "--nosplash", str(source), "--export", "--export-filename", str(out)]


def gimp(source: Path, out: Path) -> list[str]:
    script = (
        f'(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "{source}" "a")))'
        " (layer (car (gimp-image-merge-visible-layers image CLIP-TO-IMAGE))))"
        " (gimp-layer-resize-to-image-size layer)"
        f' (file-png-save RUN-NONINTERACTIVE image layer "{out}" "out" 0 9 0 0 0 0 0))'
    )
    return ["gimp-console-2.10", "-i", "-d", "-f", "-s", "-b", script, "-b", "(gimp-quit 0)"]
