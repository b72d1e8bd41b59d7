"""How well each attention layer of a model knows where the foreground is.

Fresh foregrounds of the world are encoded, noised to several times, and passed through ε_FG once; the structure prior
of every self-attention, the content confidence of every attention and the soft mask made of both are compared with the
true alpha at the layer's own grid, as areas under the ROC curve.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from layerfusion import LayerFusionConfig, LayerFusionPipeline
from layerfusion.method import JointAttention, StreamLayout, UNetPass, resolve_structure_layer
from layerfusion.method.attention import StreamProcessor, transformer_blocks
from layerfusion.method.blending import soft_mask
from layerfusion.method.priors import content_confidence, resize_to_tokens, structure_prior, token_grid
from layerfusion.prompts import first_eos
from layerfusion.transparency import encode_transparent
from recipes.mini.measures import auc
from recipes.mini.world import World

TIMES = (0.8, 0.5, 0.2)  # of T
SEED = 70_000_000  # of the foregrounds that choose the layer; the report scores it on others


@dataclass
class Recorder(StreamProcessor):
    """The method's own attention processor, which also notes the priors it sees."""

    structure: Tensor | None = None
    content: Tensor | None = None

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float, share: bool) -> Tensor:
        if self.name == "attn1":
            self.structure = structure_prior(query, key, scale)
            self.content = self._content_before_cross_attention()
        else:
            self.content = content_confidence(query, key, self.joint.current.eos, scale)
        return super()._attend(query, key, value, scale, share)


@dataclass
class LayerScore:
    """Areas under the curve of one attention at each time; `structure` is empty for cross-attentions."""

    layer: str
    grid: tuple[int, int]
    structure: list[float] = field(default_factory=list)
    content: list[float] = field(default_factory=list)
    soft: list[float] = field(default_factory=list)


def fresh_foregrounds(world: World, count: int, seed: int) -> tuple[Tensor, list[str]]:
    """`count` objects never seen in training: (count, 4, H, W) in [0, 1], alpha first, and their captions."""
    samples = [world.sample(seed + k, "foreground") for k in range(count)]
    pictures = torch.from_numpy(np.stack([s.foreground for s in samples if s.foreground is not None]))
    return pictures.movedim(-1, 1)[:, [3, 0, 1, 2]].float() / 255, [sample.caption for sample in samples]


@torch.no_grad()
def score_layers(
    pipe: LayerFusionPipeline,
    world: World,
    count: int = 48,
    times: Sequence[float] = TIMES,
    batch: int = 16,
    seed: int = SEED,
) -> list[LayerScore]:
    """The table: one entry for every attention of the UNet, in the order of computation.

    Soft masks use the structure layer and sign that the model is saved with.
    """
    rgba, captions = fresh_foregrounds(world, count, seed)
    chosen = resolve_structure_layer(pipe.unet, pipe.config.structure_layer)
    scores: dict[str, LayerScore] = {}
    for fraction in times:
        found: dict[str, list[tuple[float, float, float]]] = {}
        for start in range(0, count, batch):
            part = slice(start, start + batch)
            recorders = _record(pipe, rgba[part], captions[part], fraction)
            size = (rgba.shape[-2] // pipe.vae_scale_factor, rgba.shape[-1] // pipe.vae_scale_factor)
            prior = recorders[chosen].structure
            assert prior is not None
            if pipe.config.structure_sign < 0:
                prior = 1 - prior
            prior = prior.unflatten(1, token_grid(size, prior.shape[1]))
            for layer, recorder in recorders.items():
                content = recorder.content
                assert content is not None
                grid = token_grid(size, content.shape[1])
                scores.setdefault(layer, LayerScore(layer, grid))
                inside = F.interpolate(rgba[part, :1], grid, mode="area").flatten(1) > 0.5
                soft = soft_mask(resize_to_tokens(prior, size, content.shape[1]), content)
                for i in range(len(content)):
                    maps = (recorder.structure, content, soft)
                    values = [auc(m[i].numpy(), inside[i].numpy()) if m is not None else np.nan for m in maps]
                    found.setdefault(layer, []).append((values[0], values[1], values[2]))
        for layer, rows in found.items():
            # Cross-attentions have no structure prior: their first column is NaN throughout.
            columns = [
                float(np.mean(column[np.isfinite(column)])) for column in np.array(rows).T if not np.isnan(column).all()
            ]
            if layer.endswith("attn1"):
                scores[layer].structure.append(columns[0])
            scores[layer].content.append(columns[-2])
            scores[layer].soft.append(columns[-1])
    return list(scores.values())


def _record(pipe: LayerFusionPipeline, rgba: Tensor, captions: list[str], fraction: float) -> dict[str, Recorder]:
    """One pass of ε_FG over noised foregrounds, with every attention's priors noted."""
    assert pipe.transparent_encoder is not None
    latents = encode_transparent(pipe.vae, pipe.transparent_encoder, rgba)
    alphas = pipe.scheduler.alphas_cumprod
    t = min(round(fraction * len(alphas)), len(alphas) - 1)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(int(1000 * fraction)))
    noisy = alphas[t].sqrt() * latents + (1 - alphas[t]).sqrt() * noise

    embeds, _, pooled, _ = pipe.encode_prompt(captions, do_classifier_free_guidance=False, device=latents.device)
    side = rgba.shape[-1]
    time_ids = torch.tensor([[side, side, 0, 0, side, side]], dtype=embeds.dtype).repeat(len(captions), 1)
    layout = StreamLayout(len(captions), guidance=False, plain=())
    eos = first_eos(pipe.tokenizer, captions)
    layer = resolve_structure_layer(pipe.unet, pipe.config.structure_layer)
    joint = JointAttention(pipe.unet, pipe.foreground, LayerFusionConfig(), layer, pipe.config.structure_sign)
    recorders = {
        f"{path}.{name}": Recorder(joint, path, block, name)
        for path, block in transformer_blocks(pipe.unet)
        for name in ("attn1", "attn2")
    }
    with joint.installed():
        pipe.unet.set_attn_processor({f"{path}.processor": recorder for path, recorder in recorders.items()})
        joint.predict(
            UNetPass(layout, (latents.shape[-2], latents.shape[-1]), eos),
            noisy.to(pipe.unet.dtype),
            torch.tensor(t),
            encoder_hidden_states=embeds,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids},
        )
    return recorders


def choose_structure(scores: Sequence[LayerScore]) -> tuple[str, int]:
    """The self-attention and sign whose structure prior is best on the mean over the times."""
    means = {score.layer: float(np.mean(score.structure)) for score in scores if score.structure}
    areas = {(layer, sign): mean if sign > 0 else 1 - mean for layer, mean in means.items() for sign in (1, -1)}
    return max(areas, key=lambda choice: areas[choice])


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the table of priors, and the structure layer it speaks for.")
    parser.add_argument("--model", type=Path, required=True, help="a folder of a whole pipeline")
    parser.add_argument("--tier", choices=("core", "full"), default="core", help="the vocabulary of its world")
    parser.add_argument("--count", type=int, default=48, help="fresh foregrounds")
    args = parser.parse_args()
    pipe = LayerFusionPipeline.from_pretrained(args.model)
    size = pipe.default_sample_size * pipe.vae_scale_factor
    scores = score_layers(pipe, World(size, args.tier), args.count)
    print(f"area under the ROC curve against the true alpha, at t = {', '.join(map(str, TIMES))} of T")
    for score in scores:
        columns = [("structure", score.structure), ("content", score.content), ("mask_soft", score.soft)]
        cells = [f"{name} {' '.join(f'{value:.2f}' for value in values):15s}" for name, values in columns]
        print(f"{score.layer:60s} {'  '.join(cells)}")
    layer, sign = choose_structure(scores)
    print(f"choice: --structure-layer {layer} --structure-sign {sign}")


if __name__ == "__main__":
    main()
