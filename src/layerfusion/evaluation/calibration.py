"""What suits a model: which self-attention knows where the foreground is, what its masks should be, how to blend.

Nobody has to know the truth: a model that draws foregrounds with alpha brings it along. Its priors are compared with
the alpha that its own decoder finds, and blended pictures with its own foregrounds and with the light that the paper's
method gives them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from layerfusion.decoding import decode_triplets
from layerfusion.evaluation.figures import short_name
from layerfusion.evaluation.measures import auc, colour_gain, fit, interior, lost, wholeness
from layerfusion.evaluation.priors import observe_priors
from layerfusion.method import AttentionPriors, LayerFusionConfig, resolve_structure_layer
from layerfusion.method.blending import soft_mask
from layerfusion.method.priors import resize_to_tokens
from layerfusion.pipeline import LayerFusionPipeline

TIMES = (0.8, 0.5, 0.2)  # of T
RANGES = ((0.0, 1.0), (0.0, 0.95), (0.05, 0.9), (0.1, 0.8))
TIE = 0.005  # in wholeness
LIGHT_KEPT = 0.9  # how much of the paper's light a blend may not fall below


@dataclass
class LayerScore:
    """Areas under the ROC curve of one attention against the alpha at its own grid, one for each time.

    Attributes:
        layer: Its path in the UNet.
        grid: (rows, columns) of its tokens.
        structure: Of s' = 1 − minmax(s); the other sign has 1 − area. Empty for a cross-attention.
        content: Of c.
        soft: Of mask_soft, made of this attention's c and the s' of the structure layer.
    """

    layer: str
    grid: tuple[int, int]
    structure: list[float] = field(default_factory=list)
    content: list[float] = field(default_factory=list)
    soft: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class BlendScore:
    """One configuration on the same pairs of prompts and seeds.

    Attributes:
        wholeness: Of its blended pictures, the mean.
        light: Slope of the subjects' colour gains on those under the paper's configuration: 1 is the same light.
        lost: Share of the foregrounds that have lost their subject, which without blending they have.
    """

    name: str
    config: LayerFusionConfig
    wholeness: float
    light: float
    lost: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """What was found.

    Attributes:
        layers: Every attention of the model.
        structure: The self-attention and the sign whose prior is best.
        ranges: Mean absolute error of mask_soft against alpha, over attentions and times, for each quantile range.
        blends: Every configuration that was tried, with that structure prior.
        choice: As `choose_blend` finds it.
    """

    layers: list[LayerScore]
    structure: tuple[str, int]
    ranges: dict[tuple[float, float], float]
    blends: list[BlendScore]
    choice: BlendScore


@dataclass(frozen=True)
class Observed:
    """The priors of N foregrounds without a scene, at several times, and what is known of them.

    Attributes:
        priors: For each time, every attention's priors of (N, rows, columns).
        alpha: (N, 1, H, W) in [0, 1].
    """

    priors: list[list[AttentionPriors]]
    alpha: Tensor


@torch.no_grad()
def observe(
    pipeline: LayerFusionPipeline,
    latents: Tensor,
    alpha: Tensor,
    prompts: Sequence[str],
    times: Sequence[float] = TIMES,
    batch: int = 8,
) -> Observed:
    """Noise foregrounds to several times and pass them through ε_FG, once for each time.

    Args:
        pipeline: The model.
        latents: (N, 4, h, w), foregrounds without noise.
        alpha: (N, 1, H, W) in [0, 1], theirs.
        prompts: N foreground prompts.
        times: As fractions of the training timesteps.
        batch: Foregrounds in one pass.
    """
    alphas = pipeline.scheduler.alphas_cumprod
    found = []
    for fraction in times:
        t = min(round(fraction * len(alphas)), len(alphas) - 1)
        generator = Generator().manual_seed(int(1000 * fraction))
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        noisy = alphas[t].sqrt() * latents + (1 - alphas[t]).sqrt() * noise
        parts = [slice(start, start + batch) for start in range(0, len(prompts), batch)]
        passes = [observe_priors(pipeline, list(prompts[part]), noisy[part], torch.tensor(t)) for part in parts]
        found.append([_joined(attention) for attention in zip(*passes, strict=True)])
    return Observed(found, alpha.float().cpu())


def _joined(batches: Sequence[AttentionPriors]) -> AttentionPriors:
    """One attention's priors of several batches as one."""
    sparsities = [each.sparsity for each in batches if each.sparsity is not None]
    content = torch.cat([each.content for each in batches])
    return AttentionPriors(batches[0].layer, torch.cat(sparsities) if sparsities else None, content)


def score_layers(observed: Observed, structure: tuple[str, int]) -> list[LayerScore]:
    """Compare every attention's priors with the alphas; mask_soft takes its s' from the given layer and sign.

    Returns:
        One entry for each attention, in the order in which they are computed.
    """
    scores = [LayerScore(each.layer, each.grid) for each in observed.priors[0]]
    for priors in observed.priors:
        prior = _structure(priors, structure)
        for score, each in zip(scores, priors, strict=True):
            inside = F.interpolate(observed.alpha, each.grid, mode="area") > 0.5
            if each.sparsity is not None:
                score.structure.append(_mean_auc(each.structure(), inside))
            score.content.append(_mean_auc(each.content, inside))
            score.soft.append(_mean_auc(_soft_mask(each, prior, (0.0, 1.0)), inside))
    return scores


def score_ranges(
    observed: Observed, structure: tuple[str, int], ranges: Sequence[tuple[float, float]] = RANGES
) -> dict[tuple[float, float], float]:
    """Mean absolute error of mask_soft against alpha, over pictures, attentions and times, for each quantile range."""
    errors: dict[tuple[float, float], list[float]] = {each: [] for each in ranges}
    for priors in observed.priors:
        prior = _structure(priors, structure)
        for each in priors:
            alpha = F.interpolate(observed.alpha, each.grid, mode="area").flatten(1)
            for mask_range, found in errors.items():
                found.append(float((_soft_mask(each, prior, mask_range) - alpha).abs().mean()))
    return {mask_range: float(np.mean(found)) for mask_range, found in errors.items()}


def _structure(priors: Sequence[AttentionPriors], structure: tuple[str, int]) -> Tensor:
    layer, sign = structure
    return next(each for each in priors if each.layer == layer).structure(sign)


def _soft_mask(each: AttentionPriors, structure: Tensor, mask_range: tuple[float, float]) -> Tensor:
    """(N, M)"""
    content = each.content.flatten(1)
    return soft_mask(resize_to_tokens(structure, each.grid, content.shape[1]), content, mask_range)


def _mean_auc(maps: Tensor, inside: Tensor) -> float:
    areas = [auc(one.numpy(), where.numpy()) for one, where in zip(maps, inside, strict=True)]
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")


def choose_structure(scores: Sequence[LayerScore]) -> tuple[str, int]:
    """The self-attention and sign whose structure prior is best on the mean over the times."""
    means = {score.layer: float(np.mean(score.structure)) for score in scores if score.structure}
    areas = {(layer, sign): mean if sign > 0 else 1 - mean for layer, mean in means.items() for sign in (1, -1)}
    return max(areas, key=lambda choice: areas[choice])


def candidates(paper: LayerFusionConfig, mask_range: tuple[float, float]) -> dict[str, LayerFusionConfig]:
    """The configurations to be tried: the paper's first, then the switches beyond it.

    Args:
        paper: The paper's configuration, with the model's structure layer and sign.
        mask_range: The best one by `score_ranges`.
    """
    ranged, detail = replace(paper, mask_range=mask_range), replace(paper, detail=1.0)
    return {
        "paper": paper,
        f"mask_range {mask_range}": ranged,
        f"mask_range {mask_range}, align 0.5": replace(ranged, align=0.5),
        "detail 1": detail,
        "detail 1, align 0.25": replace(detail, align=0.25),
        "detail 1, blended from 20% on": replace(detail, blend_range=(0.2, 1.0)),
    }


@torch.no_grad()
def calibrate(
    pipeline: LayerFusionPipeline,
    pairs: Sequence[tuple[str, str]],
    seed: int = 0,
    batch: int = 1,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> Calibration:
    """Generate foregrounds, score the model's priors by their alphas, and try ways to blend.

    Args:
        pipeline: The model, with a transparent decoder.
        pairs: Foreground and background prompts, of solid things and of places in different light.
        seed: Of the first pair; the others count up from it.
        batch: Triplets sampled at once.
        tell: Told how many of the triplets are done, and of how many.

    Raises:
        LayerFusionError: the model cannot make a triplet.
    """
    alone = LayerFusionConfig(blend=False, share_attention=False)
    latents, pictures = _generate(pipeline, pairs, alone, seed, batch)
    unlit = pictures["foreground"]
    prompts = [foreground for foreground, _ in pairs]
    observed = observe(pipeline, latents, unlit[:, 3:], prompts, batch=batch)
    last = resolve_structure_layer(pipeline.unet, None)
    structure = choose_structure(score_layers(observed, (last, 1)))
    ranges = score_ranges(observed, structure)
    paper = LayerFusionConfig(structure_layer=structure[0], structure_sign=structure[1])
    blends: list[BlendScore] = []
    papers_gains = np.empty(0)
    tried = candidates(paper, min(ranges, key=lambda each: ranges[each]))
    for done, (name, config) in enumerate(tried.items(), 1):
        tell(done * len(pairs), (len(tried) + 1) * len(pairs))
        _, pictures = _generate(pipeline, pairs, config, seed, batch)
        gains = _gains(pictures, unlit)
        papers_gains = papers_gains if blends else gains
        gone = lost(pictures["foreground"][:, 3].numpy(), unlit[:, 3].numpy())
        blends.append(BlendScore(name, config, _wholeness(pictures), fit(papers_gains, gains).slope, gone.mean()))
    return Calibration(score_layers(observed, structure), structure, ranges, blends, choose_blend(blends))


def choose_blend(blends: Sequence[BlendScore]) -> BlendScore:
    """The first of those as whole as the most whole (to `TIE`) that keep the light; the first of all if none does.

    Of these, only those that lose the fewest subjects: a subject that is lost is in no mean of the others' wholeness.
    """
    lit = [each for each in blends if each.light >= LIGHT_KEPT and np.isfinite(each.wholeness)]
    lit = [each for each in lit if each.lost == min(other.lost for other in lit)]
    best = max((each.wholeness for each in lit), default=np.nan)
    return next((each for each in lit if each.wholeness >= best - TIE), blends[0])


def _wholeness(pictures: dict[str, Tensor]) -> float:
    """The mean over the blended subjects that are large enough to be measured; NaN where none is."""
    pairs = zip(_arrays(pictures["blended"]), _arrays(pictures["foreground"]), strict=True)
    values = np.array([wholeness(blended, rgba[..., :3], rgba[..., 3]) for blended, rgba in pairs])
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _generate(
    pipeline: LayerFusionPipeline, pairs: Sequence[tuple[str, str]], config: LayerFusionConfig, seed: int, batch: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The foregrounds' latents (N, 4, h, w) and the pictures (N, channels, H, W) of one triplet for each pair."""
    latents, parts = [], []
    for start in range(0, len(pairs), batch):
        foregrounds, backgrounds = zip(*pairs[start : start + batch], strict=True)
        inputs = pipeline.check_inputs(
            foreground_prompt=list(foregrounds),
            background_prompt=list(backgrounds),
            generator=[Generator().manual_seed(seed + start + k) for k in range(len(foregrounds))],
            config=config,
        )
        sampler = pipeline.prepare(inputs, pipeline.encode(inputs))
        pipeline.denoise(sampler)
        latents.append(sampler.latents[0])
        parts.append(decode_triplets(pipeline.vae, pipeline.transparent_decoder, sampler.latents, passes=1)[0])
    pipeline.maybe_free_model_hooks()
    names = ("foreground", "blended")
    return torch.cat(latents), {name: torch.cat([part[name].float().cpu() for part in parts]) for name in names}


def _gains(pictures: dict[str, Tensor], unlit: Tensor) -> np.ndarray:
    """The colour gain (N, 3) of every blended subject on the same one generated alone."""
    arrays = (_arrays(pictures["blended"]), _arrays(pictures["foreground"]), _arrays(unlit))
    return np.array(
        [
            colour_gain(blended, alone[..., :3], interior(np.minimum(rgba[..., 3], alone[..., 3])))
            for blended, rgba, alone in zip(*arrays, strict=True)
        ]
    )


def _arrays(pictures: Tensor) -> np.ndarray:
    return pictures.movedim(1, -1).numpy()


def report(found: Calibration) -> str:
    """What was measured, and the choice, as text."""
    layer, sign = found.structure
    times = ", ".join(f"{time:g}" for time in TIMES)
    lines = [f"areas under the ROC curve against alpha at t = {times} T; structure with sign +1; * is the choice", ""]
    lines.append(f"  {'attention':<18} {'grid':<8} {'structure':<16} {'content':<16} mask_soft")
    for score in found.layers:
        name = f"{short_name(score.layer)} {'self' if score.structure else 'cross'}"
        areas = (" ".join(f"{area:.2f}" for area in part) for part in (score.structure, score.content, score.soft))
        structure, content, soft = areas
        mark = "*" if score.layer == layer else " "
        grid = f"{score.grid[0]}x{score.grid[1]}"
        lines.append(f"{mark} {name:<18} {grid:<8} {structure:<16} {content:<16} {soft}")
    lines += ["", "mean distance of mask_soft from alpha, by the quantile range of the mask", ""]
    best = min(found.ranges, key=lambda each: found.ranges[each])
    for (low, high), error in found.ranges.items():
        lines.append(f"{'*' if (low, high) == best else ' '} {f'{low:g} to {high:g}':<18} {error:.3f}")
    lines += [
        "",
        "wholeness of the blended subject, how much of the light of the paper's blend it keeps, subjects lost",
        "",
    ]
    for blend in found.blends:
        lines.append(
            f"{'*' if blend is found.choice else ' '} {blend.name:<36} {blend.wholeness:.3f}  {blend.light:.2f}  "
            f"{blend.lost:.0%}"
        )
    return "\n".join([*lines, "", f"choice: structure layer {layer}, sign {sign:+d}; {found.choice.name}"])
