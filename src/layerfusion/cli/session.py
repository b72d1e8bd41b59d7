"""A loaded model, with the settings completed by its own and what it makes of the prompts."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from layerfusion.cli.console import loading_bar, note
from layerfusion.cli.record import Settings, versions
from layerfusion.errors import LayerFusionError
from layerfusion.method import LayerFusionConfig
from layerfusion.models import Defaults, Vocabulary, locate, read_vocabulary
from layerfusion.models.load import choose_device, choose_dtype, load
from layerfusion.pipeline import LayerFusionPipeline, check_size

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Session:
    """What a run works with.

    Attributes:
        pipeline: The model, on its device.
        settings: Of the first triplet.
        model, machine, notes: For the record; see `make_record`.
    """

    pipeline: LayerFusionPipeline
    settings: Settings
    model: dict[str, Any]
    machine: dict[str, Any]
    notes: dict[str, Any]


def prepare(values: dict[str, Any], record: dict[str, Any]) -> Session:
    """Find and load the model.

    Args:
        values: What is asked for; the model fills in what is missing.
        record: The run that is repeated, or empty.

    Raises:
        LayerFusionError: a value is out of range, or the model cannot be found or loaded.
    """
    config = read_config(values)
    if "width" in values and "height" in values:
        check_size(values["width"], values["height"])
    device = _device(values, record)
    dtype = choose_dtype(values.get("dtype"), device)
    offload = values.get("offload", "none")
    if device.type == "cpu" and offload == record.get("offload"):
        # The run was made on a GPU; here there is nothing to offload from.
        offload = "none"
    name = values["model"]
    files = locate(name, values.get("foreground_weights"), values.get("transparent_decoder"))
    with loading_bar() as bar:
        bar.add_task(f"Loading {name}", total=None)
        pipeline = load(files, dtype, device, offload)
    pipeline.set_progress_bar_config(disable=True)  # the command draws its own
    settings = complete(values, files.defaults, pipeline, config)
    machine = {
        "foreground_weights": values.get("foreground_weights"),
        "transparent_decoder": values.get("transparent_decoder"),
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "offload": offload,
        "batch_size": values.get("batch_size", 1),
    }
    model = files.describe()
    _say_what_changed(record, model)
    vocabulary = read_vocabulary(files.path) if files.path.is_dir() else None
    return Session(pipeline, settings, model, machine, prompt_notes(pipeline, settings, name, vocabulary))


def read_config(values: dict[str, Any]) -> LayerFusionConfig:
    """The record's switches of the method, with --mask and --boundary in their place."""
    try:
        config = LayerFusionConfig.from_dict(values.get("config", {}))
        return replace(config, **{key: values[key] for key in ("mask", "boundary") if key in values})
    except TypeError as error:
        raise LayerFusionError(f"the configuration in the record has a value of the wrong kind ({error}).") from None


def complete(
    values: dict[str, Any], defaults: Defaults, pipeline: LayerFusionPipeline, config: LayerFusionConfig
) -> Settings:
    """Settings with the model's own where the user gave none."""
    own = pipeline.default_sample_size * pipeline.vae_scale_factor
    width, height = defaults.size or (own, own)
    return Settings(
        foreground_prompt=values["foreground_prompt"],
        background_prompt=values["background_prompt"],
        negative_foreground=values.get("negative_foreground", defaults.negative_foreground),
        negative_background=values.get("negative_background", defaults.negative_background),
        seed=values["seed"],
        steps=values.get("steps", defaults.steps),
        guidance_scale=float(values.get("guidance_scale", defaults.guidance_scale)),
        width=values.get("width", width),
        height=values.get("height", height),
        config=config,
    )


def prompt_notes(
    pipeline: LayerFusionPipeline, settings: Settings, name: str, vocabulary: Vocabulary | None
) -> dict[str, Any]:
    """Say which words of the prompts the model does not know and which it will not read; return the same."""
    notes: dict[str, Any] = {}
    prompts = {
        "foreground prompt": settings.foreground_prompt,
        "background prompt": settings.background_prompt,
        "negative foreground prompt": settings.negative_foreground,
        "negative background prompt": settings.negative_background,
    }
    for which, prompt in prompts.items():
        cut = text_cut_off(pipeline, prompt)
        if cut:
            note(f"the {which} is longer than the model reads, and this was cut off: “{cut}”.")
            notes.setdefault("cut_off", {})[which] = cut
        unknown = vocabulary.unknown_words(prompt) if vocabulary else {}
        if unknown:
            note(f"{name} does not know {_with_nearest(unknown)} of the {which}; see `layerfusion vocabulary`.")
            notes.setdefault("unknown_words", {}).update(unknown)
    return notes


def _with_nearest(unknown: dict[str, list[str]]) -> str:
    """“wyvern” and “foxes” (nearest: fox)"""
    words = [f"“{word}”" + (f" (nearest: {', '.join(names)})" if names else "") for word, names in unknown.items()]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def text_cut_off(pipeline: LayerFusionPipeline, prompt: str) -> str:
    """What is beyond the tokenizers' limit (77 tokens for CLIP, with the start and the end), or nothing."""
    for tokenizer in (pipeline.tokenizer, pipeline.tokenizer_2):
        if tokenizer is None:
            continue
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        room = tokenizer.model_max_length - 2
        if len(ids) > room:
            return str(tokenizer.decode(ids[room:], skip_special_tokens=True)).strip()
    return ""


def _device(values: dict[str, Any], record: dict[str, Any]) -> "torch.device":
    """The device asked for. One that only the record names, and this machine has not, is replaced and said."""
    try:
        return choose_device(values.get("device"))
    except LayerFusionError:
        if values.get("device") != record.get("device"):
            raise
        device = choose_device(None)
        note(f"the run was made on {record['device']}; this machine has none, so {device} is used and pixels differ.")
        return device


def _say_what_changed(record: dict[str, Any], model: dict[str, Any]) -> None:
    """When a run is repeated: what is not as it was, so that the pixels may differ."""
    if not record:
        return
    was = record.get("model", {})
    if was.get("name") == model["name"] and was.get("fingerprint") != model["fingerprint"]:
        note(f"the model {model['name']} has changed since that run, so the pixels may differ.")
    then, now = record.get("versions", {}), versions()
    changed = [f"{name} {then[name]} (now {now[name]})" for name in now if name in then and then[name] != now[name]]
    if changed:
        note(f"that run was made with {', '.join(changed)}, so the pixels may differ.")
