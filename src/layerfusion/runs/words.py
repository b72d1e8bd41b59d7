"""What is asked for in words, as a command line or a form has it, turned into the values of a request."""

import re
from collections.abc import Iterable
from typing import Any

from layerfusion.errors import LayerFusionError


def width_and_height(size: str | None) -> dict[str, int]:
    """1024x768 → width and height."""
    if size is None:
        return {}
    match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", size.strip().lower())
    if match is None:
        raise LayerFusionError(f"the size {size!r} is not WIDTHxHEIGHT; write it as 1024x1024.")
    return {"width": int(match[1]), "height": int(match[2])}


def numbers(text: str, option: str, counts: Iterable[int], example: str) -> list[float]:
    """40,-20 → as many numbers as one of `counts` says.

    Raises:
        LayerFusionError: they are no numbers, or too many or few; it names the option and shows the example.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) not in counts:
        wanted = " or ".join(map(str, counts))
        raise LayerFusionError(f"{option} {text!r} is not {wanted} numbers; write it as {example}.")
    return found


def place(text: str | None) -> dict[str, Any]:
    """0.1,0.5,0.4,0.4 → the box; the whole frame is `all`; with `,flip` after either, mirrored left to right."""
    where = (text or "all").strip().lower()
    unflipped = where.removesuffix("flip").rstrip().removesuffix(",").strip()
    flip = unflipped != where
    if unflipped in ("", "all"):
        return {"box": None, "flip": flip}
    return {"box": numbers(unflipped, "--at", (4,), "0.1,0.5,0.4,0.4, or all, and ,flip after it"), "flip": flip}


def with_foregrounds(given: dict[str, Any], prompts: list[str], at: list[str], images: list[str]) -> dict[str, Any]:
    """What is asked for, with the foregrounds that --foreground, --at and --foreground-image describe together."""
    given = dict(given)
    if prompts and "background_prompt" not in given and "foreground_prompt" in given:
        # The foregrounds are named by --foreground, so the only argument is the background.
        given["background_prompt"] = given.pop("foreground_prompt")
    if not prompts and not at and len(images) < 2:
        return given | ({"foreground_image": images[0]} if images else {})
    if prompts and "foreground_prompt" in given:
        raise LayerFusionError("a foreground prompt is beside --foreground; give it as a --foreground too.")
    named = prompts or ([given["foreground_prompt"]] if "foreground_prompt" in given else [])
    if not named:
        raise LayerFusionError("--at says where a foreground stands; say with --foreground what it is.")
    for option, values in (("--at", at), ("--foreground-image", images)):
        if len(values) not in (0, len(named)):
            raise LayerFusionError(
                f"{option} is given {len(values)} times for {len(named)} foregrounds; give one for each, or none."
            )
    boxes, files = ([*values, *[None] * (len(named) - len(values))] for values in (at, images))
    each = zip(named, boxes, files, strict=True)
    return given | {"foregrounds": [{"prompt": p, **place(b), "image": i or None} for p, b, i in each]}
