"""A model's health, seen from one triplet: which parts there are, what a step costs, what the pictures look like."""

import os
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from layerfusion.decoding import decode_triplets
from layerfusion.evaluation.measures import auc
from layerfusion.output import StepMaps
from layerfusion.pipeline import LayerFusionPipeline
from layerfusion.sampling import Sampler

Verdict = Literal["good", "look", "bad"]
GREY_TOLERANCE = 0.06  # mean distance from mid-grey behind the subject
BORDER_ALPHA = 8 / 255  # what may remain in the outermost pixels
FRINGE_TOLERANCE = 0.15  # mean colour distance between a soft edge and the subject beside it
PRIOR_AREA = 0.9  # area under the ROC curve of mask_soft against alpha


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is about, how it stands, and a sentence that says what to do."""

    about: str
    verdict: Verdict
    says: str


def examine(
    pipeline: LayerFusionPipeline, foreground_prompt: str, background_prompt: str, seed: int = 0
) -> list[Finding]:
    """Make one triplet with the model's own settings and look at everything that can go wrong on the way.

    Args:
        pipeline: The model, on its device, with a transparent decoder.
        foreground_prompt: Of one solid thing on its own; findings about alpha take it for that.
        background_prompt: Of any place.
        seed: Of the triplet.

    Raises:
        LayerFusionError: the model cannot make a triplet at all.
    """
    findings = [_parts(pipeline), _types(pipeline)]
    inputs = pipeline.check_inputs(
        foreground_prompt=foreground_prompt,
        background_prompt=background_prompt,
        generator=Generator().manual_seed(seed),
        return_maps=True,
    )
    clock: list[float] = [time.perf_counter()]

    def note_time(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        clock.append(time.perf_counter())
        return tensors

    with torch.no_grad():
        sampler = pipeline.prepare(inputs, pipeline.encode(inputs))
        pipeline.denoise(sampler, note_time)
        findings += [_speed(np.diff(clock), inputs.width, inputs.height), _latents(sampler)]
        if findings[-1].verdict == "bad":
            return findings
        tensors = decode_triplets(pipeline.vae, pipeline.transparent_decoder, sampler.latents)[0]
    findings.append(_memory(pipeline._execution_device))
    pictures = {name: tensor[0].float().cpu() for name, tensor in tensors.items()}
    alpha = pictures["foreground"][3]
    findings.append(_pictures(pictures))
    findings.append(_cover(alpha))
    if findings[-1].verdict == "good":
        findings += [_backdrop(pictures["premultiplied"], alpha), _border(alpha), _fringe(pictures["foreground"])]
        findings.append(_priors(sampler.maps or [], alpha))
    pipeline.maybe_free_model_hooks()
    return findings


def _parts(pipeline: LayerFusionPipeline) -> Finding:
    modules = {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in modules.items()}
    listed = ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in counts.items())
    missing = [name for name in ("transparent_decoder", "transparent_encoder") if getattr(pipeline, name) is None]
    if missing:
        return Finding(
            "parts",
            "look",
            f"{' and '.join(missing)} missing; pictures that you give cannot be encoded "
            f"without an encoder, nor any decoded without a decoder (there are {listed}).",
        )
    return Finding("parts", "good", f"All parts are there: {listed}.")


def _types(pipeline: LayerFusionPipeline) -> Finding:
    device, dtype = pipeline._execution_device, pipeline.unet.dtype
    if device.type == "cpu" and dtype == torch.float16:
        return Finding("type", "look", "The weights are float16 on a CPU, which is slow; choose float32.")
    if dtype == torch.float16 and pipeline.vae.dtype == torch.float16 and pipeline.vae.config.force_upcast:
        return Finding("type", "good", "float16; the VAE overflows in it and is decoded in float32 each time.")
    return Finding("type", "good", f"The weights are {str(dtype).removeprefix('torch.')} on {device}.")


def _speed(seconds: np.ndarray, width: int, height: int) -> Finding:
    # The first step warms caches up.
    each = float(np.median(seconds[1:])) if len(seconds) > 1 else float(seconds[0])
    return Finding("speed", "good", f"A step takes {each:.2f} s at {width}x{height}; a triplet has {len(seconds)}.")


def _memory(device: torch.device) -> Finding:
    if device.type == "cuda":
        peak, whole = torch.cuda.max_memory_allocated(device), torch.cuda.get_device_properties(device).total_memory
        advice = "" if peak < 0.9 * whole else "; choose --offload model, or a smaller size"
        verdict: Verdict = "good" if not advice else "look"
        return Finding("memory", verdict, f"At most {peak / 2**30:.1f} of {whole / 2**30:.1f} GiB were used{advice}.")
    try:
        import resource
    except ImportError:  # Windows
        return Finding("memory", "good", "The peak of memory is not known on this system.")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if os.uname().sysname == "Darwin" else 1024)
    return Finding("memory", "good", f"At most {peak / 2**30:.1f} GiB were used.")


def _latents(sampler: Sampler) -> Finding:
    wrong = [n for n, x in zip(sampler.layout.names, sampler.latents, strict=True) if not bool(x.isfinite().all())]
    if wrong:
        return Finding("numbers", "bad", f"The latents of {', '.join(wrong)} are NaN; choose bfloat16 or float32.")
    return Finding("numbers", "good", "All latents are finite.")


def _pictures(pictures: dict[str, Tensor]) -> Finding:
    streams = ("background", "blended", "premultiplied")
    flat = [name for name in streams if float(pictures[name].flatten(1).std(dim=1).max()) < 0.01]
    if flat:
        return Finding("pictures", "bad", f"The {', '.join(flat)} picture has only one colour; check the VAE.")
    return Finding("pictures", "good", "No picture is empty or black.")


def _cover(alpha: Tensor) -> Finding:
    share = float((alpha > 0.5).float().mean())
    if share < 0.01:
        return Finding(
            "subject",
            "bad",
            "The foreground is empty; check that the foreground weights belong to this "
            "base, and that the transparent decoder belongs to this VAE.",
        )
    if share > 0.95:
        return Finding(
            "subject",
            "bad",
            "The foreground fills the whole frame, so nothing was cut out; check that the "
            "foreground weights are loaded, and that no LoRA or style overrides them.",
        )
    return Finding("subject", "good", f"The subject covers {share:.0%} of the frame.")


def _backdrop(premultiplied: Tensor, alpha: Tensor) -> Finding:
    """ε_FG paints its subject over mid-grey: another backdrop means that it is not the one at work."""
    outside = premultiplied[:, alpha < 0.05]
    distance = float((outside - 0.5).abs().mean()) if outside.numel() else 0.0
    if distance > GREY_TOLERANCE:
        return Finding(
            "backdrop",
            "bad",
            f"Behind the subject is no mid-grey (off by {distance:.2f}); the foreground "
            "weights act too weakly, so check their file and take strong LoRAs off.",
        )
    return Finding("backdrop", "good", f"Behind the subject is mid-grey (off by {distance:.3f}).")


def _border(alpha: Tensor) -> Finding:
    edge = torch.cat([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    highest = float(edge.max())
    if highest > 0.5:
        return Finding("border", "look", "The subject runs out of the frame; ask for all of it, or for a smaller one.")
    if highest > BORDER_ALPHA:
        return Finding(
            "border",
            "look",
            f"Alpha of {highest * 255:.0f} of 255 remains along the border, so boxes are "
            "not tight; take 8 transparency passes, or trim layers by hand.",
        )
    return Finding("border", "good", f"The border is empty (alpha at most {highest * 255:.0f} of 255).")


def _fringe(foreground: Tensor) -> Finding:
    """At a soft edge the straight colour should be the subject's, not the backdrop's."""
    rgb, alpha = foreground[:3], foreground[3]
    edge, solid = (alpha > 0.1) & (alpha < 0.9), (alpha >= 0.9).float()
    weight = F.avg_pool2d(solid[None, None], 9, 1, 4)[0, 0]
    near = F.avg_pool2d((rgb * solid)[None], 9, 1, 4)[0] / weight.clamp(min=1e-6)
    where = edge & (weight > 0.05)
    if int(where.sum()) < 20:
        return Finding("fringe", "good", "There are too few soft pixels for a fringe.")
    distance = float((rgb - near).abs().mean(0)[where].mean())
    if distance > FRINGE_TOLERANCE:
        return Finding(
            "fringe",
            "look",
            f"Soft edges have another colour than the subject beside them (off by "
            f"{distance:.2f}), seen as a fringe on dark and light; check the transparent decoder's file.",
        )
    return Finding("fringe", "good", f"Soft edges have the subject's colour (off by {distance:.2f}).")


def _priors(maps: list[StepMaps], alpha: Tensor) -> Finding:
    """mask_soft, the mean over steps and attentions, against the alpha that the decoder found."""
    soft = [each.soft[0, 0] for step in maps for each in step.attentions]
    if not soft:
        return Finding("masks", "look", "Blending acted in no step, so there are no masks to compare with alpha.")
    grid = max((x.shape for x in soft), key=lambda shape: shape[0] * shape[1])
    mean = torch.stack([F.interpolate(x[None, None], grid, mode="bilinear")[0, 0] for x in soft]).mean(0)
    inside = F.interpolate(alpha[None, None], grid, mode="area")[0, 0] > 0.5
    area = auc(mean.numpy(), inside.numpy())
    if not area >= PRIOR_AREA:
        return Finding(
            "masks",
            "look",
            f"The masks find the subject poorly (area under the curve {area:.2f}); run "
            "layerfusion calibrate to choose the structure layer and its sign for this model.",
        )
    return Finding("masks", "good", f"The masks find the subject (area under the curve {area:.2f}).")


def report(findings: list[Finding], facts: dict[str, str]) -> str:
    """Facts and findings as text to paste into an issue."""
    marks: dict[Verdict, str] = {"good": "ok  ", "look": "look", "bad": "BAD "}
    width = max(map(len, [*facts, *(each.about for each in findings)]))
    lines = [f"     {name:<{width}}  {value}" for name, value in facts.items()]
    lines += [f"{marks[each.verdict]} {each.about:<{width}}  {each.says}" for each in findings]
    return "\n".join(lines)
