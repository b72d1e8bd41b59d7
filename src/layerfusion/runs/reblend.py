"""A stack of a run, blended again with the model and the settings that its files remember."""

from typing import Any

from torch import Generator

from layerfusion.errors import LayerFusionError
from layerfusion.foregrounds import Foreground, farthest_first
from layerfusion.layers import LayerStack
from layerfusion.reblending import reblend, subjects_of
from layerfusion.runs.progress import Listener, Progress, silent
from layerfusion.runs.request import Request
from layerfusion.runs.session import Session

REMEMBERED = ("negative_foreground", "negative_background", "seed", "steps", "guidance_scale", "config", "fast")


def remembered(stack: LayerStack, given: dict[str, Any]) -> tuple[Request, list[str]]:
    """What a stack remembers of its run as a request, with what is given in its place; and its foregrounds' prompts.

    Args:
        stack: Its provenance is the content of `triplet.json`, if it has one.
        given: Fields of `Request`, and `prompts`: those of the shown subjects, from the farthest to the nearest.

    Raises:
        LayerFusionError: nothing says what the subjects or the scene are, or a value is wrong.
    """
    known = stack.provenance or {}
    values = {name: known[name] for name in (*REMEMBERED, "background_prompt") if known.get(name) is not None}
    model = known.get("model")
    if isinstance(model, dict) and isinstance(model.get("name"), str):
        values["model"] = model["name"]
    prompts = list(given.pop("prompts", None) or [])
    if not prompts and isinstance(known.get("foregrounds"), list):
        each = [one for one in known["foregrounds"] if isinstance(one, dict) and isinstance(one.get("prompt"), str)]
        listed = [Foreground(one["prompt"], z=one.get("z")) for one in each]
        prompts = [one.prompt for _, one in farthest_first(listed)]
    elif not prompts and isinstance(known.get("foreground_prompt"), str):
        prompts = [known["foreground_prompt"]]
    values |= {name: value for name, value in given.items() if value is not None}
    if not prompts or "background_prompt" not in values:
        raise LayerFusionError("the stack does not say what it shows; give a --foreground for each and a --background.")
    shown = len(subjects_of(stack)[1])
    if shown != len(prompts):
        raise LayerFusionError(
            f"the stack shows {shown} subjects and {len(prompts)} are described; give a --foreground for each, the "
            "farthest first."
        )
    return Request.checked({"foreground_prompt": " and ".join(prompts), **values}).with_seed(), prompts


def blended_again(stack: LayerStack, given: dict[str, Any], listener: Listener = silent) -> LayerStack:
    """A stack, blended again; arguments and errors as for `remembered`, and as for `layerfusion.reblending.reblend`."""
    request, prompts = remembered(stack, dict(given))
    session = Session.open(request, listener=listener)
    listener(Progress("sampling"))
    result = reblend(
        session.pipeline,
        stack,
        prompts,
        request.background_prompt,
        strength=request.strength,
        generator=[Generator().manual_seed(request.seed or 0)],
        config=request.varied(session.pipeline.defaults.config),
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        negative_foreground_prompt=request.negative_foreground,
        negative_background_prompt=request.negative_background,
    )
    again = {"strength": request.strength, "seed": request.seed}
    return LayerStack(*result.size, result.layers, {**(stack.provenance or {}), "reblended": again})
