"""Given pictures as files: read, and known again by their fingerprints."""

import hashlib
from pathlib import Path
from typing import TypedDict

import numpy as np

from layerfusion.errors import LayerFusionError
from layerfusion.files import open_file
from layerfusion.foregrounds import Foreground
from layerfusion.layers.limits import decode
from layerfusion.runs.request import Request

CALLED = {"background_image": "background", "blended_image": "blended", "mask_image": "mask"}  # else a cut-out


def with_fingerprints(request: Request) -> Request:
    """A request whose files are named from the root, with their fingerprints.

    Raises:
        LayerFusionError: a file is missing, or is not the one whose fingerprint the request has.
    """
    files = {name: str(Path(file).absolute()) for name, file in request.files().items()}
    if not files:
        return request
    found = {name: fingerprint(Path(file)) for name, file in files.items()}
    for name, known in (request.fingerprints or {}).items():
        if found.get(name, known) != known:
            raise LayerFusionError(
                f"{files[name]} has changed since that run; give the picture that it was, or another by its own option."
            )
    foregrounds = [
        one.model_copy(update={"image": files.get(f"foregrounds.{number}")})
        for number, one in enumerate(request.foregrounds or [])
    ]
    single = {name: file for name, file in files.items() if "." not in name}
    return request.model_copy(update={**single, "foregrounds": foregrounds or None, "fingerprints": found})


def fingerprint(file: Path) -> str:
    """SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with open_file(file) as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Asked(TypedDict, total=False):
    """Prompts and given pictures, under the names of the pipeline's arguments."""

    foreground_prompt: str | list[str]
    background_prompt: str | list[str]
    foregrounds: list[Foreground]
    negative_foreground_prompt: str | None
    negative_background_prompt: str | None
    foreground_image: np.ndarray | None
    background_image: np.ndarray | None
    blended_image: np.ndarray | None
    mask: np.ndarray | None
    strength: float | None


def asked_of_the_pipeline(request: Request) -> Asked:
    """The prompts and the given pictures of a request, as arguments of the pipeline.

    Raises:
        LayerFusionError: a file is missing, no picture, damaged or too large, or a cut-out has no transparency.
    """
    pictures = {name: _picture(name, file) for name, file in request.files().items()}
    arguments: Asked = {
        "background_prompt": request.background_prompt,
        "negative_foreground_prompt": request.negative_foreground,
        "negative_background_prompt": request.negative_background,
        "background_image": pictures.get("background_image"),
        "blended_image": pictures.get("blended_image"),
        "mask": pictures.get("mask_image"),
        "strength": request.strength,
    }
    if request.foregrounds is None:
        arguments["foreground_prompt"] = request.foreground_prompt
        arguments["foreground_image"] = pictures.get("foreground_image")
        return arguments
    if "foreground_image" in pictures:
        raise LayerFusionError("foreground_image is beside foregrounds; give each of them its own image.")
    arguments["foregrounds"] = [
        Foreground(
            one.prompt,
            pictures.get(f"foregrounds.{number}"),
            None if one.box is None else (one.box[0], one.box[1], one.box[2], one.box[3]),
            one.z,
            one.flip,
            one.negative_prompt,
            one.seed,
        )
        for number, one in enumerate(request.foregrounds)
    ]
    return arguments


def _picture(name: str, file: str) -> np.ndarray:
    from layerfusion.given import from_rgba

    pixels = decode(Path(file), file)
    if name in CALLED:
        return from_rgba(pixels, CALLED[name], file)
    if pixels[..., 3].min() == 255:
        raise LayerFusionError(f"{file} has no transparency; cut its subject out first.")
    return pixels
