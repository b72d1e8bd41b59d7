"""A small sequential LayerDiffuse for the embedded model: its two stages fg2ble and fgble2bg.

    python -m recipes.mini.train.sequential triplets        # draws and encodes what they learn from
    python -m recipes.mini.train.sequential fg2ble
    python -m recipes.mini.train.sequential fgble2bg

The paper compares with such a pipeline in Table 1. This one learns from what no other has: rendered triplets, whose
layers are exact. As in the published weights, a stage is offsets to everything of the base but its attentions, with a
first convolution that sees the latents of what is there already; the coarse half of the way up, which holds a third of
the weights, stays the base's, so that both stages together are 8 MB. Each command goes on where it was stopped.
"""

import argparse
import copy
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from layerfusion import LayerFusionPipeline
from layerfusion.evaluation.baselines.layerdiffuse import CONDITIONS, Stage, widen
from layerfusion.files import atomic_write
from layerfusion.models import load_pipeline, model_folder
from recipes.mini.precision import fast_products
from recipes.mini.train.base import CAPTION_DROPOUT, noise_loss, use_plain_attention
from recipes.mini.train.data import over_grey
from recipes.mini.train.foreground import encode_captions
from recipes.mini.train.loop import Loop
from recipes.mini.world import World
from recipes.mini.world.captions import caption

STAGES: tuple[Stage, ...] = ("fg2ble", "fgble2bg")
LAYERS = ("foreground", "blended", "background")
FOLDER = Path(__file__).parents[1] / "sequential"
"""Where the trained weights lie in the repository."""
CHUNK, BATCH = 250, 24
TRIPLETS = 3000
IMAGES = 30_000
UNTRAINED = ("attentions.", "up_blocks.0.", "embedding.")
NOISE = 0.1
"""Most noise on the condition latents, in their own spread: at use they are generated, and never exact."""


def file_of(stage: Stage) -> str:
    return f"layer_mini_{stage}.safetensors"


@torch.no_grad()
def draw_triplets(pipe: LayerFusionPipeline, world: World, run: Path, count: int) -> None:
    """Write the scaled latents of `count` rendered triplets, and their captions, chunk by chunk."""
    vae = pipe.vae.to(memory_format=torch.channels_last)
    styles = {style.key: style for style in world.styles}
    (run / "triplets").mkdir(parents=True, exist_ok=True)
    for start in range(0, count, CHUNK):
        path = run / "triplets" / f"{start:06d}.safetensors"
        if path.exists():
            continue
        parts: dict[str, list[Tensor]] = {layer: [] for layer in LAYERS}
        words: dict[str, list[str]] = {"blended": [], "background": []}
        for seed in range(start, min(start + CHUNK, count)):
            sample = world.sample(seed, "composite", alone=True)
            assert sample.foreground is not None and sample.background is not None
            cut = torch.from_numpy(sample.foreground).movedim(-1, 0)[None].float() / 255
            others = [
                torch.from_numpy(p).movedim(-1, 0)[None].float() / 255 for p in (sample.picture, sample.background)
            ]
            with fast_products():
                mean = vae.encode(2 * torch.cat([over_grey(cut), *others]) - 1).latent_dist.mean
            for layer, latent in zip(LAYERS, (mean.float() * vae.config.scaling_factor).half(), strict=True):
                parts[layer].append(latent)
            words["blended"].append(sample.caption)
            place, style = world.scene(sample.truth["scene"]), styles.get(sample.truth["style"] or "")
            words["background"].append(caption(None, [], [], place, style))
        with atomic_write(path) as temporary:
            save_file(
                {layer: torch.stack(latents) for layer, latents in parts.items()},
                temporary,
                {name: "\n".join(lines) for name, lines in words.items()},
            )
        print(f"{path.name}: {len(words['blended'])} triplets", flush=True)


def read_triplets(run: Path) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Latents (N, 4, h, w) fp16 by layer, and the captions of the blended picture and of the background."""
    from safetensors import safe_open

    paths = sorted((run / "triplets").glob("*.safetensors"))
    chunks = [load_file(path) for path in paths]
    captions: dict[str, list[str]] = {"blended": [], "background": []}
    for path in paths:
        with safe_open(path, "pt") as file:
            for name, lines in file.metadata().items():
                captions[name] += lines.split("\n")
    return {layer: torch.cat([chunk[layer] for chunk in chunks]) for layer in LAYERS}, captions


def trained_part(unet: UNet2DConditionModel) -> dict[str, nn.Parameter]:
    """What a stage trains of its UNet, by key."""
    return {name: p for name, p in unet.named_parameters() if not any(part in name for part in UNTRAINED)}


def train_stage(
    pipe: LayerFusionPipeline, stage: Stage, run: Path, tokenizer: Path, images: int, minutes: float
) -> bool:
    """Train a stage for so many minutes at most; whether it has seen its pictures, and its weights are written."""
    latents, captions = read_triplets(run)
    target = "blended" if stage == "fg2ble" else "background"
    seen = LAYERS[: CONDITIONS[stage]]
    modules = {name: getattr(pipe, name).requires_grad_(False) for name in ("text_encoder", "text_encoder_2")}
    device = torch.device("cpu")
    embeds, pooled = encode_captions(captions[target], tokenizer, modules, device)
    unet = copy.deepcopy(pipe.unet).requires_grad_(False).train()
    conv = widen(unet, CONDITIONS[stage])
    for parameter in trained_part(unet).values():
        parameter.requires_grad_(True)
    use_plain_attention(unet, device)
    torch.manual_seed(0)
    loop = Loop(run, stage, {"unet": unet}, images, peak=4e-4, ema=0.995, device=device)
    generator = np.random.default_rng((7, loop.step))
    torch.manual_seed(loop.step)
    started = time.monotonic()
    size = pipe.default_sample_size * pipe.vae_scale_factor
    for _ in loop.steps():
        chosen = torch.from_numpy(generator.integers(len(latents[target]), size=BATCH))
        keep = (torch.rand(BATCH) >= CAPTION_DROPOUT).float()
        condition = embeds[chosen].float() * keep[:, None, None], pooled[chosen].float() * keep[:, None]
        shown = torch.cat([latents[layer][chosen].float() for layer in seen], dim=1)
        conv.condition = shown + NOISE * torch.rand(BATCH, 1, 1, 1) * torch.randn_like(shown)
        loop.update(noise_loss(unet, latents[target][chosen].float(), condition, size, loop), BATCH)
        if time.monotonic() - started > 60 * minutes:
            loop.save()
            return False
    save_offsets(pipe.unet, loop, cast(UNet2DConditionModel, loop.modules["unet"]), stage)
    return True


def save_offsets(base: UNet2DConditionModel, loop: Loop, unet: UNet2DConditionModel, stage: Stage) -> None:
    """The averaged weights' differences to the base, in half precision, as the published stages are kept."""
    averaged = dict(zip(trained_part(unet), loop.ema.shadow_params, strict=True))
    offsets = {}
    for name, value in averaged.items():
        offset = value.detach().clone()
        of_base = base.get_parameter(name)
        if name == "conv_in.weight":
            offset[:, : of_base.shape[1]] -= of_base
        else:
            offset -= of_base
        offsets[name] = offset.half().contiguous()
    FOLDER.mkdir(exist_ok=True)
    with atomic_write(FOLDER / file_of(stage)) as path:
        save_file(offsets, path, {"base": "the embedded model of 256 pixels", "stage": stage})
    print(FOLDER / file_of(stage))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small sequential LayerDiffuse beside the embedded model.")
    parser.add_argument("stage", choices=("triplets", *STAGES))
    parser.add_argument("--model", default="mini", help="the embedded model, or one made like it")
    parser.add_argument("--run", type=Path, default=Path("runs/sequential"), help="folder of triplets and checkpoints")
    parser.add_argument("--build", type=Path, default=Path("build/world"), help="where the world's sprites are")
    parser.add_argument("--triplets", type=int, default=TRIPLETS)
    parser.add_argument("--images", type=int, default=IMAGES, help="pictures a stage sees in all")
    parser.add_argument("--minutes", type=float, default=1e9, help="of this sitting, at most")
    arguments = parser.parse_args()
    pipe = load_pipeline(arguments.model)
    if arguments.stage == "triplets":
        world = World(pipe.default_sample_size * pipe.vae_scale_factor, build=arguments.build)
        draw_triplets(pipe, world, arguments.run, arguments.triplets)
        return
    folder = model_folder(arguments.model)
    assert folder is not None, "the embedded model lies in a folder"
    done = train_stage(pipe, arguments.stage, arguments.run, folder / "tokenizer", arguments.images, arguments.minutes)
    print("done" if done else "stopped; the same command goes on")


if __name__ == "__main__":
    main()
