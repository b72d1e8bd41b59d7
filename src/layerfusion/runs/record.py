"""`triplet.json`: a request with what was used, so that a triplet can be made again."""

import json
import platform
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import layerfusion
from layerfusion.errors import LayerFusionError, shown
from layerfusion.files import at_home, look, open_file
from layerfusion.runs.request import ON_TOP, Request

if TYPE_CHECKING:
    from PIL import PngImagePlugin

FORMAT = "layerfusion-triplet"
RECORD_FILE = "triplet.json"
PNG_KEY = "layerfusion"
LIBRARIES = ("torch", "diffusers", "transformers")
# What a request asks of a whole run, and a triplet's own record does not repeat.
OF_THE_RUN = {"count", "show_priors", "mask", "boundary", "harmony"}


@dataclass(frozen=True)
class ModelDescription:
    """Which model it was: its name, and what changes when the model does.

    Attributes:
        name: As the request called it.
        fingerprint: Of its files; "" where it is not known.
        revision: The hub's commit, of a model from there.
        few_step_fingerprint: Of the few-step LoRA, where it is in use.
        foreground_fingerprint, transparent_decoder_fingerprint, transparent_encoder_fingerprint: Of the files put on
            top of an SDXL.
    """

    name: str
    fingerprint: str = ""
    revision: str | None = None
    few_step_fingerprint: str | None = None
    foreground_fingerprint: str | None = None
    transparent_decoder_fingerprint: str | None = None
    transparent_encoder_fingerprint: str | None = None


@dataclass(frozen=True)
class PromptNotes:
    """What the user was told of the prompts.

    Attributes:
        cut_off: Which prompt → what of it was beyond the model's limit.
        unknown_words: A word the model was not trained with → the nearest names it knows.
        advice: What else a small model makes of the prompts, a sentence each; see `layerfusion.models.advice`.
    """

    cut_off: dict[str, str] = field(default_factory=dict)
    unknown_words: dict[str, list[str]] = field(default_factory=dict)
    advice: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """Everything that decides the pixels of one triplet.

    Attributes:
        request: Complete: nothing is left to the model or the machine.
        model: Which it was.
        versions: Of what the pixels depend on besides.
        notes: What was said of the prompts.
    """

    request: Request
    model: ModelDescription
    versions: dict[str, str]
    notes: PromptNotes = PromptNotes()

    def to_dict(self) -> dict[str, Any]:
        """The content of `triplet.json`."""
        asked = self.request.model_dump(exclude=OF_THE_RUN | {"model", "config"})
        config = self.request.config
        return {
            "format": FORMAT,
            "version": 1,
            **asked,
            "config": config.to_dict() if config else {},
            "model": {key: value for key, value in asdict(self.model).items() if value is not None},
            **{key: value for key, value in asdict(self.notes).items() if value},
            "versions": self.versions,
        }

    def dumps(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n"

    def png_metadata(self) -> "PngImagePlugin.PngInfo":
        """The record as the text chunk `layerfusion` of a PNG."""
        from PIL import PngImagePlugin

        info = PngImagePlugin.PngInfo()
        info.add_itxt(PNG_KEY, json.dumps(self.to_dict(), ensure_ascii=False))
        return info

    @classmethod
    def read(cls, source: Path) -> "Record":
        """From `triplet.json`, a triplet's folder, or one of its PNGs.

        Raises:
            LayerFusionError: the file is missing, broken, of another format, or holds a wrong value.
        """
        found = look(source)
        file = source / RECORD_FILE if found is not None and stat.S_ISDIR(found.st_mode) else source
        if look(file) is None:
            raise LayerFusionError(f"{file} does not exist; give the triplet.json of an earlier run.")
        values = _parse(file)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise LayerFusionError(f"{file} is JSON of another format; give the triplet.json of an earlier run.")
        if values.get("version") != 1:
            raise LayerFusionError(f"{file} was written by a newer layerfusion; upgrade to read it.")
        try:
            return cls._of(values)
        except LayerFusionError as error:
            raise LayerFusionError(f"{file}: {error}") from None

    @classmethod
    def _of(cls, values: dict[str, Any]) -> "Record":
        model, notes = values.get("model", {}), {key: values.get(key, {}) for key in ("cut_off", "unknown_words")}
        then, advice = values.get("versions", {}), values.get("advice", [])
        for key, value in (("model", model), ("versions", then), *notes.items()):
            if not isinstance(value, dict):
                raise LayerFusionError(f"wrong value for {key}: {shown(value)}; mend it.")
        if not isinstance(advice, list):
            raise LayerFusionError(f"wrong value for advice: {shown(advice)}; mend it.")
        if not all(isinstance(value, str) for value in (*model.values(), *then.values())):
            raise LayerFusionError(f"wrong value for model or versions: {shown(model)}, {shown(then)}; mend it.")
        known = {key: value for key, value in values.items() if key in Request.model_fields}
        description = {key: value for key, value in model.items() if key in ModelDescription.__dataclass_fields__}
        # Before it was a setting there were eight.
        known = {"transparency_passes": 8, **known, "model": model.get("name", "mini")}
        request = Request.checked(known)
        return cls(
            request,
            ModelDescription(**{"name": request.model, **description}),
            then,
            PromptNotes(**notes, advice=advice),
        )


def requested(given: dict[str, Any], record: Record | None = None, called: Callable[[str], str] = str) -> Request:
    """A request from values by name; where a run is repeated, its own values stand for what is not given.

    Args:
        given: By the names of the fields.
        record: The run to repeat.
        called: What an error calls a field.

    Raises:
        LayerFusionError: as for `Request.checked`.
    """
    values = record.request.model_dump(exclude={"config"}) | {"config": record.request.config} if record else {}
    if record is not None and "model" not in given:
        _check_is_here(record.request, called("model"))
    if given.get("model", values.get("model")) != values.get("model"):
        # The files that went on top of that model do not belong on this one.
        values |= dict.fromkeys(ON_TOP)
    if known := values.get("fingerprints"):
        # A picture given anew is another one.
        values["fingerprints"] = {name: one for name, one in known.items() if name.split(".")[0] not in given} or None
    if "foreground_prompt" in given:
        values["foregrounds"] = None
    elif "foregrounds" in given:
        values["foreground_prompt"] = None  # it is made of theirs
    if given.get("fast", values.get("fast")) != values.get("fast"):
        # Few steps are without guidance, and the many are not few.
        values |= {"steps": None, "guidance_scale": None}
    if given.get("exact"):
        # The record's passes are what a model saved by; exact has all of them, unless some are asked for now.
        values["transparency_passes"] = None
    return Request.checked({**values, **given}, called)


def _check_is_here(request: Request, option: str) -> None:
    """Raise a LayerFusionError where a record, which may be a stranger's, would have something fetched unasked."""
    from layerfusion.models.locate import here
    from layerfusion.models.presets import PRESETS

    weights = [name for name in request.on_top().values() if name is not None]
    fetched = [name for name in weights if look(at_home(name)) is None]
    if request.model not in PRESETS and here(request.model) is None:
        fetched.insert(0, request.model)
    if fetched:
        raise LayerFusionError(
            f"that run used {fetched[0]}, which is not on this machine and would be fetched; give "
            f"{option} {request.model} if that is wanted."
        )


def versions() -> dict[str, str]:
    """Of what the pixels depend on, and how many threads compute them: sums are rounded in another order by each."""
    import torch

    found = {name: metadata.version(name) for name in LIBRARIES}
    return {"layerfusion": layerfusion.__version__, **found, "python": platform.python_version()} | {
        "threads": str(torch.get_num_threads())
    }


def _parse(file: Path) -> Any:
    from layerfusion.layers.limits import MAX_TEXT_BYTES, opened, parse_json

    with open_file(file) as content:
        start = content.read(MAX_TEXT_BYTES + 1)
        if not start.startswith(b"\x89PNG"):
            return parse_json(start, str(file))
        with opened(file, str(file), ("PNG",)) as image:
            image.load()  # the settings may stand behind the pixels
            text = image.info.get(PNG_KEY)
    if not isinstance(text, str):
        raise LayerFusionError(f"{file} carries no settings; give a PNG or the triplet.json of an earlier run.")
    return parse_json(text.encode("utf-8", "surrogatepass"), f"the text in {file}")
