"""Stage 3: the UNet and both text encoders together, by noise prediction on the cached latents."""

from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.training_utils import compute_snr
from numpy.typing import NDArray
from torch import Tensor, nn

from recipes.mini.train.autoencoder import load_autoencoder
from recipes.mini.train.data import KINDS, Pictures
from recipes.mini.train.latents import load_latents, load_normalised
from recipes.mini.train.loop import Loop, load_averaged
from recipes.mini.train.sampling import sample_latents, show_latents
from recipes.mini.train.settings import Settings
from recipes.mini.train.text import build_text_encoders, encode_text, load_tokenizer, tokenize, train_tokenizer

SHARES = {"composite": 0.48, "background": 0.2, "foreground": 0.32}
CAPTION_DROPOUT = 0.1
TOGETHER = 2.0
"""How many times as often a composite whose caption names several different things is taken: which of them stands where
is what the model learns last."""
SNR_GAMMA = 5.0
TIME_EMBEDDING = 32
OFFSET_NOISE = 0.1
"""Of noise that is the same over a picture. Without it the mean colour shows through even at the last time: plain noise
over 32x32 latents has a mean of 1/32, the schedule's last signal is 0.07. Sampling, which starts at no colour at all,
then gives pale, grey pictures. SDXL was finished with offset noise for the same reason."""
FINEST_ATTENTION = 16
"""Tokens a side."""


def noise_schedule() -> DDPMScheduler:
    """SDXL's schedule."""
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)


def build_unet(settings: Settings) -> UNet2DConditionModel:
    """SDXL's kind of UNet: attention at every level but those finer than 16x16, as SDXL has none at its finest."""
    attends = [settings.size // 8 >> level <= FINEST_ATTENTION for level in range(len(settings.unet))]
    return UNet2DConditionModel(
        sample_size=settings.size // 8,
        down_block_types=tuple("CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if one else "UpBlock2D" for one in reversed(attends)),
        block_out_channels=settings.unet,
        layers_per_block=settings.unet_layers,
        cross_attention_dim=2 * settings.text_width,
        # diffusers reads this as the number of heads, for the sake of old checkpoints.
        attention_head_dim=tuple(width // settings.head_dim for width in settings.unet),
        use_linear_projection=True,
        norm_num_groups=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_EMBEDDING,
        projection_class_embeddings_input_dim=settings.text_width + 6 * TIME_EMBEDDING,
    )


def build_base(settings: Settings, run: Path) -> dict[str, nn.Module]:
    """`unet`, `text_encoder`, `text_encoder_2`, with the run's tokenizer."""
    first, second = build_text_encoders(settings, load_tokenizer(run / "tokenizer"))
    return {"unet": build_unet(settings), "text_encoder": first, "text_encoder_2": second}


def load_base(settings: Settings, run: Path, device: torch.device) -> dict[str, nn.Module]:
    """The trained base of a run, averaged and frozen."""
    modules = build_base(settings, run)
    load_averaged(run, "base", modules)
    return {name: module.to(device).eval().requires_grad_(False) for name, module in modules.items()}


def noise_loss(unet: nn.Module, latents: Tensor, condition: tuple[Tensor, Tensor], size: int, loop: Loop) -> Tensor:
    """Squared error of the predicted noise, weighted by min(SNR, 5) / SNR (Hang et al. 2023).

    Args:
        unet: predicts noise.
        latents: clean and scaled, (B, 4, h, w).
        condition: embeddings (B, T, C) and pooled embedding (B, P).
        size: side of the pictures in pixels.
        loop: whose precision the UNet runs in.

    Returns:
        The mean loss, a scalar.
    """
    schedule = noise_schedule()
    noise = torch.randn_like(latents) + OFFSET_NOISE * torch.randn_like(latents[:, :, :1, :1])
    steps = torch.randint(0, schedule.config.num_train_timesteps, (len(latents),), device=latents.device)
    noisy = schedule.add_noise(latents, noise, steps)
    time_ids = torch.tensor([size, size, 0, 0, size, size], device=latents.device).expand(len(latents), 6)
    with loop.autocast():
        extra = {"text_embeds": condition[1], "time_ids": time_ids}
        predicted = unet(noisy, steps, condition[0], added_cond_kwargs=extra).sample
    snr = compute_snr(schedule, steps)
    weight = snr.clamp(max=SNR_GAMMA) / snr
    return (weight * (predicted.float() - noise).pow(2).mean(dim=(1, 2, 3))).mean()


def use_plain_attention(unet: UNet2DConditionModel, device: torch.device) -> None:
    """On a CPU, plain products for attention: at this size they train faster than the fused kernel."""
    if device.type == "cpu":
        unet.set_attn_processor(AttnProcessor())


def prepare_tokenizer(run: Path) -> None:
    """Train the tokenizer on all captions, once a run."""
    if not (run / "tokenizer" / "tokenizer.json").exists():
        captions = [caption for kind in KINDS for caption in Pictures(run / "data", kind).captions]
        train_tokenizer(captions, run / "tokenizer")


def odds_of(captions: list[str]) -> NDArray[np.float64]:
    """How likely each of a kind's pictures is drawn; they sum to 1."""
    weights = np.array([TOGETHER if " and " in caption else 1.0 for caption in captions])
    return weights / weights.sum()


def draw(odds: dict[str, NDArray[np.float64]], count: int, generator: np.random.Generator) -> list[tuple[str, int]]:
    """(kind, index) of `count` pictures: the kinds by their `SHARES`, the pictures of each by its odds."""
    counts = generator.multinomial(count, list(SHARES.values()))
    return [
        (kind, int(i))
        for kind, several in zip(SHARES, counts, strict=True)
        for i in generator.choice(len(odds[kind]), several, p=odds[kind])
    ]


def train_base(settings: Settings, run: Path, device: torch.device, images: int) -> None:
    """Train the base on cached latents of all kinds; checkpoint, log and sheets lie in `run`."""
    prepare_tokenizer(run)
    tokenizer = load_tokenizer(run / "tokenizer")
    latents = {kind: load_latents(run, kind)["mean"] for kind in KINDS}
    # Half of the objects on grey carry their transparency: the offsets of the next stage sit on attention alone, and
    # the finest level, which has none, must know such latents already.
    marked = load_latents(run, "transparent")["mean"]
    captions = {kind: Pictures(run / "data", kind).captions for kind in KINDS}
    ids = {kind: tokenize(tokenizer, captions[kind]) for kind in KINDS}
    odds = {kind: odds_of(captions[kind]) for kind in KINDS}
    torch.manual_seed(0)
    modules = {name: module.to(device) for name, module in build_base(settings, run).items()}
    use_plain_attention(cast(UNet2DConditionModel, modules["unet"]), device)
    loop = Loop(run, "base", modules, images, peak=8e-4, ema=0.998, device=device)
    generator = np.random.default_rng((2, loop.step))
    torch.manual_seed(loop.step)
    for step, due in loop.steps():
        if due:
            _show(settings, run, loop, modules, run / f"base-{step:06d}.png")
        chosen = draw(odds, settings.unet_batch, generator)
        batch = torch.stack(
            [(marked if kind == "foreground" and i % 2 else latents[kind])[i] for kind, i in chosen]
        ).to(device, torch.float32)
        tokens = torch.stack([ids[kind][i] for kind, i in chosen]).to(device)
        keep = (torch.rand(len(tokens), device=device) >= CAPTION_DROPOUT).float()
        with loop.autocast():
            condition = encode_text(modules["text_encoder"], modules["text_encoder_2"], tokens, keep)
        loop.update(noise_loss(modules["unet"], batch, condition, settings.size, loop), settings.unet_batch)
    _show(settings, run, loop, modules, run / "base-last.png")


def _show(settings: Settings, run: Path, loop: Loop, modules: dict[str, nn.Module], path: Path) -> None:
    loop.ema.store(loop.parameters)
    loop.ema.copy_to(loop.parameters)
    vae = load_normalised(load_autoencoder(settings, run, loop.device), run)
    show_latents(vae, sample_latents(settings, run, modules, loop.device), path)
    loop.ema.restore(loop.parameters)
