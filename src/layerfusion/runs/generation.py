"""From a request to triplets, a batch at a time."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Generator

from layerfusion.errors import LayerFusionError, foreseen, told
from layerfusion.evaluation.figures import prior_overlays, priors_figure, structure_figure
from layerfusion.evaluation.priors import LatentsNear, observe_priors
from layerfusion.layers import Affine
from layerfusion.layers.pictures import PNG_LEVEL
from layerfusion.method import resolve_structure_layer
from layerfusion.models.presets import PRESETS
from layerfusion.output import LayerFusionOutput
from layerfusion.prompts import as_list
from layerfusion.runs.pictures import asked_of_the_pipeline
from layerfusion.runs.progress import Listener, Progress, silent
from layerfusion.runs.record import RECORD_FILE, Record, versions
from layerfusion.runs.request import Request
from layerfusion.runs.session import Session
from layerfusion.triplet import Triplet

# The paper's Fig. 3 and 9 look at t = 0.8 T; what becomes of the masks later is worth a look too.
FIGURE_TIMES = (0.8, 0.5, 0.2)
OVERLAY_TIME = 0.5


@dataclass(frozen=True)
class Generated:
    """One triplet of a run.

    Attributes:
        triplet: Its pictures.
        record: What it was made with; repeats it.
        figures: The priors and masks, by name, where the request asks for them.
    """

    triplet: Triplet
    record: Record
    figures: dict[str, Image.Image] = field(default_factory=dict)

    def fill(self, folder: Path) -> None:
        """Write its pictures and the record into a folder that is there; the PNGs carry the record too."""
        metadata = self.record.png_metadata()
        for name, picture in {**self.triplet.pictures(), **self.figures}.items():
            picture.save(folder / f"{name}.png", "PNG", pnginfo=metadata, compress_level=PNG_LEVEL)
        (folder / RECORD_FILE).write_text(self.record.dumps(), encoding="utf-8")


def generate(session: Session, request: Request, listener: Listener = silent) -> Iterator[Generated]:
    """Make the triplets of a request, with the seeds from its own on.

    Args:
        session: The model.
        request: What is asked for; it is completed first.
        listener: Told of every step and stage.

    Yields:
        `request.count` triplets, in the order of their seeds.

    Raises:
        LayerFusionError: something about the request cannot be done.
    """
    request = session.completed(request)
    count, size = request.count, min(request.batch_size or 1, request.count)
    steps = request.steps or 0
    for first in range(0, count, size):
        batch = min(size, count - first)
        progress = Progress("sampling", steps * (first // size), steps * math.ceil(count / size), first + batch)
        seeds = range((request.seed or 0) + first, (request.seed or 0) + first + batch)
        parts = [request.model_copy(update={"seed": seed}) for seed in seeds]
        yield from _batch(session, parts, progress, listener)


def generate_together(
    session: Session, requests: Sequence[Request], listener: Listener = silent
) -> Iterator[Generated]:
    """Make one triplet of each of several requests, denoised together: faster on a GPU, and the same to rounding.

    Args:
        session: The model.
        requests: Alike but for their prompts and seeds; those with given pictures or several foregrounds, and those
            that show their priors, alike but for their seeds.
        listener: Told of every step and stage.

    Yields:
        A triplet for each, in their order.

    Raises:
        LayerFusionError: something about them cannot be done.
    """
    requests = [session.completed(one).model_copy(update={"batch_size": len(requests)}) for one in requests]
    steps = requests[0].steps or 0
    yield from _batch(session, requests, Progress("sampling", 0, steps, len(requests)), listener)


def _batch(
    session: Session, requests: Sequence[Request], progress: Progress, listener: Listener
) -> Iterator[Generated]:
    """Triplets denoised together, one for each request; the first stands for all but their prompts and seeds."""
    pipeline, request = session.pipeline, requests[0]
    steps_seen = _Steps(FIGURE_TIMES[0], progress, request.steps or 0, listener)
    listener(progress)
    asked = asked_of_the_pipeline(request)
    pairs = [(one.foreground_prompt, one.background_prompt) for one in requests]
    if len(set(pairs)) > 1:
        asked["foreground_prompt"], asked["background_prompt"] = (list(prompts) for prompts in zip(*pairs, strict=True))
    with _strangers_mistakes(session):
        output = pipeline(
            **asked,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            width=request.width,
            height=request.height,
            config=request.config,
            transparency_passes=request.transparency_passes,
            num_images_per_prompt=1 if len(set(pairs)) > 1 else len(requests),
            # One generator each, on the CPU: a triplet depends neither on its batch nor on the kind of GPU.
            generator=[Generator().manual_seed(one.seed or 0) for one in requests],
            return_maps=request.show_priors,
            callback_on_step_end=steps_seen,
            callback_on_step_end_tensor_inputs=("latents", "clean_latents"),
        )
    for index, (one, triplet) in enumerate(zip(requests, output.triplets(), strict=True)):
        figures = _figures(session, one, output, index, steps_seen) if request.show_priors else {}
        yield Generated(triplet, Record(one, session.model, versions(), session.notes(one)), figures)


# What torch, diffusers and transformers raise where the parts or settings of a model do not fit together.
MISFITS = (ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


@contextmanager
def _strangers_mistakes(session: Session) -> Iterator[None]:
    """A model that is no preset may be whole and still make no sense: then that is said, with what became of it."""
    try:
        yield
    except (RuntimeError, *MISFITS) as error:
        if session.model.name in PRESETS or foreseen(error) is not None:
            raise
        reason = f"{type(error).__name__}: {told(error)}"
        raise LayerFusionError(
            f"the parts of {session.model.name} do not fit together ({reason}); download or save it again."
        ) from error


def _figures(
    session: Session, request: Request, output: LayerFusionOutput, index: int, seen: LatentsNear
) -> dict[str, Image.Image]:
    """Priors and masks of triplet `index` of a batch (Fig. 3), and the structure prior of every layer (Fig. 9)."""
    pipeline, config = session.pipeline, request.config or session.pipeline.defaults.config
    # Of several foregrounds, the farthest.
    prompt = pipeline.check_inputs(**asked_of_the_pipeline(request)).foreground[0].prompt
    priors = observe_priors(pipeline, as_list(prompt) or [], seen.latents[index : index + 1], seen.timestep)
    sign = config.structure_sign or pipeline.config.structure_sign
    layers = {each.layer: each.structure(sign)[0] for each in priors if each.sparsity is not None}
    chosen = resolve_structure_layer(pipeline.unet, config.structure_layer or pipeline.config.structure_layer)
    last = pipeline.scheduler.config.num_train_timesteps
    triplet, maps = output.triplet(index), output.maps or []
    # Foregrounds with places have priors in frames of their own.
    placements = [Affine(*subject.placement) for subject in triplet.subjects] or [Affine()]
    overlays = prior_overlays(maps, index, last, OVERLAY_TIME, triplet.blended.size, placements)
    return {
        "priors": priors_figure(triplet.pictures(), maps, index, last, FIGURE_TIMES),
        "structure": structure_figure(triplet.foreground, layers, float(seen.timestep) / last, chosen),
        **overlays,
    }


class _Steps(LatentsNear):
    """Tells a listener of every step, and of the decoding that follows the last one."""

    def __init__(self, time: float, progress: Progress, steps: int, listener: Listener) -> None:
        super().__init__(time, lambda: None)
        self.progress, self.steps, self.listener = progress, steps, listener

    def __call__(self, pipeline: Any, i: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        done = replace(self.progress, done=self.progress.done + i + 1, clean=tensors["clean_latents"])
        self.listener(done)
        if i + 1 == self.steps:
            self.listener(replace(done, stage="decoding", clean=None))
        return super().__call__(pipeline, i, t, tensors)
