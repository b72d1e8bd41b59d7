"""`triplet.json`: everything that is needed to make a triplet again."""

import json
import platform
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

import layerfusion
from layerfusion.errors import LayerFusionError

if TYPE_CHECKING:
    from layerfusion.method import LayerFusionConfig

FORMAT = "layerfusion-triplet"
RECORD_FILE = "triplet.json"
PNG_KEY = "layerfusion"
LIBRARIES = ("torch", "diffusers", "transformers")

# The values of a record that a run is repeated from, and their kinds.
KINDS: dict[str, Any] = {
    "foreground_prompt": str,
    "background_prompt": str,
    "negative_foreground": str,
    "negative_background": str,
    "seed": int,
    "steps": int,
    "guidance_scale": (int, float),
    "width": int,
    "height": int,
    "config": dict,
    "foreground_weights": (str, type(None)),
    "transparent_decoder": (str, type(None)),
    "device": str,
    "dtype": str,
    "offload": str,
    "batch_size": int,
}
COUNTS = ("steps", "width", "height", "batch_size")


@dataclass(frozen=True)
class Settings:
    """Everything that decides the pixels of one triplet, but for the model and the machine.

    Attributes:
        foreground_prompt, background_prompt: What to draw.
        negative_foreground, negative_background: What to steer away from; empty for nothing.
        seed: Of the triplet's own generator.
        steps: Sampling steps.
        guidance_scale: Classifier-free guidance; 1 turns it off.
        width, height: In pixels.
        config: The switches of the method.
    """

    foreground_prompt: str
    background_prompt: str
    negative_foreground: str
    negative_background: str
    seed: int
    steps: int
    guidance_scale: float
    width: int
    height: int
    config: "LayerFusionConfig"

    def to_dict(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "config": self.config.to_dict()}


def make_record(settings: Settings, model: dict[str, Any], machine: dict[str, Any], notes: dict[str, Any]) -> dict:
    """The content of `triplet.json`.

    Args:
        settings: What was asked for.
        model: What `ModelFiles.describe` says.
        machine: Weights files, device, dtype, offload, batch size, as the options name them.
        notes: What the user was told of the prompts: words not known, text cut off.
    """
    return {
        "format": FORMAT,
        "version": 1,
        **settings.to_dict(),
        "model": model,
        **machine,
        **notes,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of what the pixels depend on."""
    found = {name: metadata.version(name) for name in LIBRARIES}
    return {"layerfusion": layerfusion.__version__, **found, "python": platform.python_version()}


def dumps(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, indent=2) + "\n"


def png_metadata(record: dict[str, Any]) -> PngImagePlugin.PngInfo:
    """The record as the text chunk `layerfusion` of a PNG."""
    info = PngImagePlugin.PngInfo()
    info.add_itxt(PNG_KEY, json.dumps(record, ensure_ascii=False))
    return info


def read_record(source: Path) -> dict[str, Any]:
    """A record, checked: from `triplet.json`, a triplet's folder, or one of its PNGs.

    Raises:
        LayerFusionError: the file is missing, broken, of another kind, or holds a wrong value.
    """
    file = source / RECORD_FILE if source.is_dir() else source
    if not file.is_file():
        raise LayerFusionError(f"{file} does not exist; give the triplet.json of an earlier run.")
    record = _parse(file)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise LayerFusionError(f"{file} is JSON of another kind; give the triplet.json of an earlier run.")
    if record.get("version") != 1:
        raise LayerFusionError(f"{file} was written by a newer layerfusion; upgrade to read it.")
    for key, kind in KINDS.items():
        if key not in record:
            continue
        value = record[key]
        if not isinstance(value, kind) or isinstance(value, bool) or (key in COUNTS and value < 1):
            raise LayerFusionError(f"{file} has a wrong value for {key}: {record[key]!r}; mend it.")
    model = record.get("model", {})
    if not isinstance(model, dict) or not isinstance(model.get("name", ""), str):
        raise LayerFusionError(f"{file} has a wrong value for model: {model!r}; mend it.")
    return record


def _parse(file: Path) -> Any:
    try:
        content = file.read_bytes()
        if content.startswith(b"\x89PNG"):
            with Image.open(file) as image:
                image.load()
                text = image.info.get(PNG_KEY)
            if text is None:
                raise LayerFusionError(f"{file} carries no settings; give a PNG or the triplet.json of an earlier run.")
            return json.loads(text)
        return json.loads(content)
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, LayerFusionError):
            raise
        raise LayerFusionError(f"{file} cannot be read as JSON ({error}); give an unbroken triplet.json.") from None
