"""A loaded model: completes requests with the model's own settings, and knows what to say of them. Prints nothing."""

from dataclasses import dataclass, replace

import torch

from layerfusion.errors import LayerFusionError
from layerfusion.layers.limits import memory_limit
from layerfusion.models import Vocabulary, locate, read_vocabulary
from layerfusion.models.advice import advise
from layerfusion.models.footprint import Footprint, footprint
from layerfusion.models.load import choose_device, choose_dtype, load
from layerfusion.pipeline import LayerFusionPipeline
from layerfusion.runs.pictures import asked_of_the_pipeline, with_fingerprints
from layerfusion.runs.preflight import preflight
from layerfusion.runs.progress import Listener, Progress, silent
from layerfusion.runs.record import ModelDescription, PromptNotes, Record, versions
from layerfusion.runs.request import Offload, Request


@dataclass(frozen=True)
class Session:
    """A model on its device.

    Attributes:
        pipeline: The model.
        model: Which it is.
        vocabulary: What it knows; None of a model that takes any words.
        device, dtype, offload: Where and how it computes, as a request names them.
        footprint: How much memory it takes.
        warnings: What a user should know of how it was opened, a sentence each.
    """

    pipeline: LayerFusionPipeline
    model: ModelDescription
    vocabulary: Vocabulary | None
    device: str
    dtype: str
    offload: Offload
    footprint: Footprint
    warnings: tuple[str, ...] = ()

    @classmethod
    def open(cls, request: Request, repeated: Record | None = None, listener: Listener = silent) -> "Session":
        """Find and load the model that a request names.

        Args:
            request: Its model, weights, device, dtype and offload.
            repeated: The run that the request repeats: its device may be replaced by what there is.
            listener: Told that the model is being loaded.

        Raises:
            LayerFusionError: the model or the device cannot be found, or the model cannot be loaded.
        """
        preflight(request, repeated)
        device, warnings = _device(request, repeated)
        dtype = choose_dtype(request.dtype, device)
        offload = request.offload or "none"
        if device.type == "cpu" and repeated is not None and offload == repeated.request.offload:
            # The run was made on a GPU; here there is nothing to offload from.
            offload = "none"
        listener(Progress("loading"))
        files = locate(request.model, **request.on_top(), few_step=request.fast)
        pipeline = load(files, dtype, device, offload)
        pipeline.set_progress_bar_config(disable=True)
        session = cls(
            pipeline,
            ModelDescription(**files.describe()),
            read_vocabulary(files.path) if files.path.is_dir() else None,
            str(device),
            str(dtype).removeprefix("torch."),
            offload,
            footprint(files.path),
        )
        if device.type == "cpu" and dtype == torch.float16:
            warnings.append("few CPUs compute in float16, so this is slow; leave out --dtype, or choose bfloat16.")
        return replace(session, warnings=(*warnings, *session._changed_since(repeated)))

    def completed(self, request: Request) -> Request:
        """A request with nothing left to the model or the machine.

        Raises:
            LayerFusionError: a switch is out of range, or the size does not suit the model or the memory.
        """
        own = self.pipeline.defaults
        request = with_fingerprints(request)
        inputs = self.pipeline.check_inputs(
            **asked_of_the_pipeline(request),
            width=request.width,
            height=request.height,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            config=request.varied(own.config),
            transparency_passes=request.transparency_passes or (8 if request.exact else None),
        )
        steps = inputs.num_inference_steps
        if request.show_priors and not any(inputs.config.blends_at(i, steps) for i in range(steps)):
            raise LayerFusionError(
                f"there are no priors to draw: no step of {steps} blends; take more, or leave out the figures."
            )
        self._check_memory(request, inputs.width, inputs.height, inputs.guidance_scale)
        filled = {
            "width": inputs.width,
            "height": inputs.height,
            "steps": inputs.num_inference_steps,
            "guidance_scale": float(inputs.guidance_scale),
            "config": inputs.config,
            "transparency_passes": inputs.transparency_passes,
            "negative_foreground": _first(request.negative_foreground, own.negative_foreground),
            "negative_background": _first(request.negative_background, own.negative_background),
            "batch_size": request.batch_size or 1,
            "device": self.device,
            "dtype": self.dtype,
            "offload": self.offload,
        }
        settled = {"mask": None, "boundary": None, "harmony": None, "exact": False}
        return request.with_seed().model_copy(update={**filled, **settled})

    def _check_memory(self, request: Request, width: int, height: int, guidance_scale: float) -> None:
        device = torch.device(self.device)
        if device.type == "cpu":
            limit = memory_limit()
        elif device.type == "cuda" and self.offload == "none":
            limit = torch.cuda.get_device_properties(device).total_memory
        else:
            return
        batch = request.batch_size or 1
        self.footprint.check(width, height, batch, guidance_scale > 1, self.dtype, limit, request.subjects)

    def notes(self, request: Request) -> PromptNotes:
        """What there is to say of a completed request's prompts."""
        cut_off: dict[str, str] = {}
        unknown: dict[str, list[str]] = {}
        for which, prompt in _prompts(request).items():
            if cut := _cut_off(self.pipeline, prompt):
                cut_off[which] = cut
            unknown |= self.vocabulary.unknown_words(prompt) if self.vocabulary else {}
        return PromptNotes(cut_off, unknown, self._advice(request))

    def warnings_for(self, request: Request) -> list[str]:
        """What a user should know of a completed request's prompts, a sentence each."""
        sentences = self._advice(request)
        for which, prompt in _prompts(request).items():
            if cut := _cut_off(self.pipeline, prompt):
                sentences.append(f"the {which} is longer than the model reads, and this was cut off: “{cut}”.")
            if unknown := self.vocabulary.unknown_words(prompt) if self.vocabulary else {}:
                sentences.append(
                    f"{self.model.name} does not know {_with_nearest(unknown)} of the {which}; "
                    "see `layerfusion vocabulary`."
                )
        return sentences

    def _advice(self, request: Request) -> list[str]:
        if self.vocabulary is None:
            return []
        each = [
            sentence
            for prompt in _foreground_prompts(request).values()
            for sentence in advise(self.vocabulary, self.model.name, prompt, request.background_prompt)
        ]
        return list(dict.fromkeys(each))

    def _changed_since(self, repeated: Record | None) -> list[str]:
        """When a run is repeated: what is not as it was, so that the pixels may differ."""
        if repeated is None:
            return []
        sentences = []
        was, now = repeated.model, self.model
        if was.name == now.name and was.fingerprint != now.fingerprint:
            sentences.append(f"the model {now.name} has changed since that run, so the pixels may differ.")
        then, today = repeated.versions, versions()
        changed = [f"{n} {then[n]} (now {today[n]})" for n in today if n in then and then[n] != today[n]]
        if changed:
            sentences.append(f"that run was made with {', '.join(changed)}, so the pixels may differ.")
        return sentences


def _device(request: Request, repeated: Record | None) -> tuple[torch.device, list[str]]:
    """The device asked for. One that only the record names, and this machine has not, is replaced, and that is said."""
    try:
        return choose_device(request.device), []
    except LayerFusionError:
        if repeated is None or request.device != repeated.request.device:
            raise
        device = choose_device(None)
        return device, [
            f"the run was made on {request.device}; this machine has none, so {device} is used and pixels differ."
        ]


def _first(given: str | None, own: str) -> str:
    return own if given is None else given


def _prompts(request: Request) -> dict[str, str]:
    """The prompts of a completed request, by what a user calls them."""
    return {
        **_foreground_prompts(request),
        "background prompt": request.background_prompt,
        "negative foreground prompt": request.negative_foreground or "",
        "negative background prompt": request.negative_background or "",
    }


def _foreground_prompts(request: Request) -> dict[str, str]:
    """Of several foregrounds each its own: every one has a stream to itself."""
    if not request.foregrounds:
        return {"foreground prompt": request.foreground_prompt}
    return {f"prompt of foreground {n}": one.prompt for n, one in enumerate(request.foregrounds, start=1)}


def _with_nearest(unknown: dict[str, list[str]]) -> str:
    """“wyvern” and “foxes” (nearest: fox)"""
    words = [f"“{word}”" + (f" (nearest: {', '.join(names)})" if names else "") for word, names in unknown.items()]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _cut_off(pipeline: LayerFusionPipeline, prompt: str) -> str:
    """What is beyond the tokenizers' limit (77 tokens for CLIP, with the start and the end), or nothing."""
    for tokenizer in (pipeline.tokenizer, pipeline.tokenizer_2):
        if tokenizer is None:
            continue
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        room = tokenizer.model_max_length - 2
        if len(ids) > room:
            return str(tokenizer.decode(ids[room:], skip_special_tokens=True)).strip()
    return ""
