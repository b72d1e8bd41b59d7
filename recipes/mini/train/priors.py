"""Which attention layer knows where the foreground is: the table that decides structure layer and sign."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from layerfusion.method.priors import content_confidence, structure_prior, token_grid
from layerfusion.transparency import encode_transparent
from recipes.mini.train.autoencoder import load_autoencoder
from recipes.mini.train.base import load_base, noise_schedule
from recipes.mini.train.foreground import attach, load_offsets
from recipes.mini.train.latents import load_normalised
from recipes.mini.train.settings import Settings
from recipes.mini.train.text import encode_text, load_tokenizer, tokenize
from recipes.mini.train.transparency import load_transparency
from recipes.mini.world import World

FRESH = 10_000_000
"""First seed of pictures that no training has seen."""
TIMES = (0.8, 0.5, 0.2)


def print_table(settings: Settings, run: Path, count: int = 96) -> None:
    """Print the area under the ROC curve of every layer's priors against the true alpha, at three noise levels."""
    structure, content = measure_priors(settings, run, count)
    print(f"{count} fresh foregrounds; AUC against alpha > 0.5 at t = {TIMES} T")
    for title, table in (("structure prior s' (sign +1)", structure), ("content prior c", content)):
        print(f"\n{title}")
        for layer, values in table.items():
            print(f"  {layer:64s} " + " ".join(f"{value:.3f}" for value in values))
    layers = {layer: (min(values), min(1 - value for value in values)) for layer, values in structure.items()}
    best = max(layers, key=lambda layer: max(layers[layer]))
    print(f"\nchoice: --structure-layer {best} --structure-sign {1 if layers[best][0] >= layers[best][1] else -1}")


@torch.no_grad()
def measure_priors(settings: Settings, run: Path, count: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Mean AUC over `count` fresh foregrounds: layer -> a value for each of `TIMES`, structure and content prior."""
    device = torch.device("cpu")
    base = load_base(settings, run, device)
    unet = cast(UNet2DConditionModel, base["unet"])
    attach(load_offsets(unet, settings.offset_rank, run), unet)
    latents, alpha, ids = _fresh(settings, run, count)
    embeds, pooled = encode_text(base["text_encoder"], base["text_encoder_2"], ids)
    eos = (ids == ids[0, -1]).int().argmax(dim=1)
    size = settings.size
    extra = {"text_embeds": pooled, "time_ids": torch.tensor([size, size, 0, 0, size, size]).expand(count, 6)}
    found: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(_note(found, name, eos), with_kwargs=True)
        for name, module in unet.named_modules()
        if isinstance(module, Attention)
    ]
    tables: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    generator = torch.Generator().manual_seed(0)
    for time in TIMES:
        step = torch.full((count,), int(time * 1000) - 1)
        noise = torch.randn(latents.shape, generator=generator)
        unet(noise_schedule().add_noise(latents, noise, step), step, embeds, added_cond_kwargs=extra)
        for layer, prior in found.items():
            grid = token_grid((size // 8, size // 8), prior.shape[1])
            truth = adaptive_avg_pool2d(alpha, grid).flatten(1) > 0.5
            table = tables[0] if layer.endswith("attn1") else tables[1]
            scores = [
                area_under_curve(one, which)
                for one, which in zip(prior, truth, strict=True)
                if 0 < which.sum() < len(which)
            ]
            table.setdefault(layer, []).append(float(np.mean(scores)))
    for hook in hooks:
        hook.remove()
    return tables


def area_under_curve(scores: Tensor, truth: Tensor) -> float:
    """Probability that a true token scores above a false one, ties counting half; both are (M,)."""
    difference = scores[truth][:, None] - scores[~truth][None]
    return ((difference > 0).float() + 0.5 * (difference == 0).float()).mean().item()


def _fresh(settings: Settings, run: Path, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Transparent latents (N, 4, h, w), alpha (N, 1, H, W) and token ids (N, T) of pictures no training has seen."""
    world = World(settings.size, settings.tier)
    samples = [world.sample(FRESH + i, "foreground") for i in range(count)]
    rgba = torch.from_numpy(np.stack([cast(np.ndarray, sample.foreground) for sample in samples]))
    ordered = rgba.movedim(-1, 1).float()[:, [3, 0, 1, 2]] / 255
    vae = load_normalised(load_autoencoder(settings, run, torch.device("cpu")), run)
    encoder, _ = load_transparency(settings, run, torch.device("cpu"))
    ids = tokenize(load_tokenizer(run / "tokenizer"), [sample.caption for sample in samples])
    return encode_transparent(vae, encoder, ordered), ordered[:, :1], ids


def _note(found: dict[str, Tensor], name: str, eos: Tensor) -> Any:
    def note(module: Attention, arguments: tuple[Tensor, ...], keywords: dict[str, Any]) -> None:
        hidden = arguments[0] if arguments else keywords["hidden_states"]
        context = keywords.get("encoder_hidden_states")
        query, key = module.to_q(hidden), module.to_k(hidden if context is None else context)
        query, key = (one.unflatten(-1, (module.heads, -1)).transpose(1, 2) for one in (query, key))
        if context is None:
            found[name] = structure_prior(query, key, module.scale)
        else:
            found[name] = content_confidence(query, key, eos, module.scale)

    return note
