"""Which self-attention knows where the foreground is, and with which sign: a model's priors against known alphas."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from layerfusion.evaluation.measures import auc
from layerfusion.evaluation.priors import observe_priors
from layerfusion.method import AttentionPriors, resolve_structure_layer
from layerfusion.method.blending import soft_mask
from layerfusion.method.priors import resize_to_tokens
from layerfusion.pipeline import LayerFusionPipeline

TIMES = (0.8, 0.5, 0.2)  # of T


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


@torch.no_grad()
def score_layers(
    pipeline: LayerFusionPipeline,
    latents: Tensor,
    alpha: Tensor,
    prompts: Sequence[str],
    times: Sequence[float] = TIMES,
    batch: int = 8,
) -> list[LayerScore]:
    """Noise foregrounds to several times, pass them through ε_FG once, and compare its priors with their alphas.

    Args:
        pipeline: The model. Soft masks use its own structure layer and sign.
        latents: (N, 4, h, w), foregrounds without noise.
        alpha: (N, 1, H, W) in [0, 1], theirs.
        prompts: N foreground prompts.
        times: As fractions of the training timesteps.
        batch: Foregrounds in one pass.

    Returns:
        One entry for each attention, in the order in which they are computed.
    """
    alphas = pipeline.scheduler.alphas_cumprod
    chosen = resolve_structure_layer(pipeline.unet, pipeline.config.structure_layer)
    scores: dict[str, LayerScore] = {}
    for fraction in times:
        t = min(round(fraction * len(alphas)), len(alphas) - 1)
        generator = torch.Generator().manual_seed(int(1000 * fraction))
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        noisy = alphas[t].sqrt() * latents + (1 - alphas[t]).sqrt() * noise
        areas: dict[str, list[tuple[float, float, float]]] = {}
        for start in range(0, len(prompts), batch):
            part = slice(start, start + batch)
            priors = observe_priors(pipeline, list(prompts[part]), noisy[part], torch.tensor(t))
            structure = next(p for p in priors if p.layer == chosen).structure(pipeline.config.structure_sign)
            for each in priors:
                scores.setdefault(each.layer, LayerScore(each.layer, each.grid))
                areas.setdefault(each.layer, []).extend(_areas(each, structure, alpha[part].float().cpu()))
        for layer, rows in areas.items():
            columns = np.array(rows).T
            if not np.isnan(columns[0]).all():  # a cross-attention has no structure prior
                scores[layer].structure.append(float(np.nanmean(columns[0])))
            scores[layer].content.append(float(np.nanmean(columns[1])))
            scores[layer].soft.append(float(np.nanmean(columns[2])))
    return list(scores.values())


def _areas(each: AttentionPriors, structure: Tensor, alpha: Tensor) -> list[tuple[float, float, float]]:
    """The areas of s', c and mask_soft for each picture of a batch; NaN for the s' of a cross-attention."""
    inside = F.interpolate(alpha, each.grid, mode="area")[:, 0].numpy() > 0.5
    content = each.content.flatten(1)
    soft = soft_mask(resize_to_tokens(structure, each.grid, content.shape[1]), content)
    own = torch.full_like(content, np.nan) if each.sparsity is None else each.structure().flatten(1)
    return [
        (np.nan if each.sparsity is None else auc(s, where), auc(c, where), auc(mask, where))
        for s, c, mask, where in zip(own.numpy(), content.numpy(), soft.numpy(), inside, strict=True)
    ]


def choose_structure(scores: Sequence[LayerScore]) -> tuple[str, int]:
    """The self-attention and sign whose structure prior is best on the mean over the times."""
    means = {score.layer: float(np.mean(score.structure)) for score in scores if score.structure}
    areas = {(layer, sign): mean if sign > 0 else 1 - mean for layer, mean in means.items() for sign in (1, -1)}
    return max(areas, key=lambda choice: areas[choice])
