"""Stage 5: the few-step LoRA. Base and offsets are distilled into their own consistency model, guidance folded in.

Latent consistency distillation (Luo et al. 2023, Algorithm 1, as a LoRA as in their second report): what the student
says of a noisy latent shall be what it says of the one that a step of the guided teacher leads to,

    f(x, t) = c_skip(t) x + c_out(t) x̂(x, t),     c_skip = σ² / ((10 t)² + σ²),     c_out = 10 t / √((10 t)² + σ²),

with σ = ½ and x̂ the clean latent that the predicted noise speaks of; diffusers' `LCMScheduler` samples from it. Teacher
and student are one UNet, without and with the LoRA. A part of the batches are objects with their transparency, with
the foreground offsets in place: the LoRA has to go with them.
"""

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import LCMScheduler, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor, nn

from recipes.mini.train.autoencoder import load_autoencoder
from recipes.mini.train.base import load_base, noise_schedule, use_plain_attention
from recipes.mini.train.data import Pictures
from recipes.mini.train.foreground import attach, load_offsets
from recipes.mini.train.latents import load_latents, load_normalised
from recipes.mini.train.loop import Loop, load_averaged
from recipes.mini.train.sampling import sample_latents, sampler, show_latents
from recipes.mini.train.settings import GUIDANCE_SCALE, Settings
from recipes.mini.train.text import encode_text, load_tokenizer, tokenize

SHARES = {"composite": 0.4, "background": 0.3, "transparent": 0.3}
"""Of the batches; one is all of one kind, because the offsets are in place or not."""
RANK = 32
TARGETS = (
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"),
)
"""As in the published LCM-LoRA: everything but the first and the last convolution."""
LEAP = 50
"""Of the teacher's step, in timesteps: as long as those of the model's own 20 steps."""
HUBER = 1e-3
DATA_STD, TIMESTEP_SCALING = 0.5, 10.0


def add_lora(unet: UNet2DConditionModel) -> nn.ParameterList:
    """Put a LoRA that does nothing yet on a UNet: its parameters, in a fixed order."""
    unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights=True, target_modules=list(TARGETS)))
    return nn.ParameterList([value for name, value in unet.named_parameters() if "lora" in name])


def load_lora(unet: UNet2DConditionModel, run: Path) -> dict[str, Tensor]:
    """The trained LoRA of a run, averaged, put on the UNet; and its state as peft names it."""
    lora = add_lora(unet)
    load_averaged(run, "few_step", {"lora": lora})
    # Not through convert_state_dict_to_diffusers: it renames the attentions alone, and they get lost when it is loaded.
    return cast("dict[str, Tensor]", get_peft_model_state_dict(unet))


def consistent(x: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Of latents x (B, 4, h, w) at timesteps t (B,) and the noise seen in them: f(x, t), and the clean latent x̂."""
    product = noise_schedule().alphas_cumprod.to(x.device)[t][:, None, None, None]
    clean = (x - (1 - product).sqrt() * noise) / product.sqrt()
    scaled = TIMESTEP_SCALING * t[:, None, None, None].float()
    norm = scaled.square() + DATA_STD**2
    return DATA_STD**2 / norm * x + scaled / norm.sqrt() * clean, clean


def train_few_step(settings: Settings, run: Path, device: torch.device, images: int) -> None:
    """Train the LoRA on a frozen base with its offsets; checkpoint, log and sheets lie in `run`."""
    latents = {kind: load_latents(run, kind)["mean"] for kind in SHARES}
    captions = {kind: Pictures(run / "data", "foreground" if kind == "transparent" else kind) for kind in SHARES}
    tokenizer = load_tokenizer(run / "tokenizer")
    ids = {kind: tokenize(tokenizer, pictures.captions) for kind, pictures in captions.items()}
    modules = load_base(settings, run, device)
    unet = cast(UNet2DConditionModel, modules["unet"])
    use_plain_attention(unet, device)
    offsets = load_offsets(unet, settings.offset_rank, run).to(device)
    torch.manual_seed(0)
    loop = Loop(run, "few_step", {"lora": add_lora(unet).to(device)}, images, peak=1e-3, ema=0.98, device=device)
    generator = np.random.default_rng((6, loop.step))
    torch.manual_seed(loop.step)
    for step, due in loop.steps():
        if due:
            _show(settings, run, loop, modules, run / f"few_step-{step:06d}.png")
        kind = str(generator.choice(list(SHARES), p=list(SHARES.values())))
        chosen = torch.from_numpy(generator.integers(len(latents[kind]), size=settings.unet_batch))
        with torch.no_grad(), loop.autocast():
            tokens = ids[kind][chosen].to(device)
            condition = encode_text(modules["text_encoder"], modules["text_encoder_2"], tokens)
        hooks = attach(offsets, unet) if kind == "transparent" else []
        batch = latents[kind][chosen].to(device).float()
        loss = distillation_loss(unet, batch, condition, settings.size, loop)
        for hook in hooks:
            hook.remove()
        loop.update(loss, settings.unet_batch)
    _show(settings, run, loop, modules, run / "few_step-last.png")


def distillation_loss(
    unet: UNet2DConditionModel, latents: Tensor, condition: tuple[Tensor, Tensor], size: int, loop: Loop
) -> Tensor:
    """Pseudo-Huber distance between f before and after a step of the teacher, mean over all values.

    Args:
        unet: with the LoRA on it; it is switched off for the teacher.
        latents: clean and scaled, (B, 4, h, w).
        condition: embeddings (B, T, C) and pooled embedding (B, P).
        size: side of the pictures in pixels.
        loop: whose precision the UNet runs in.
    """
    schedule = noise_schedule()
    t = torch.randint(1, schedule.config.num_train_timesteps, (len(latents),), device=latents.device)
    earlier = (t - LEAP).clamp(min=0)
    noisy = schedule.add_noise(latents, torch.randn_like(latents), t)
    time_ids = torch.tensor([size, size, 0, 0, size, size], device=latents.device)

    def predict(x: Tensor, at: Tensor, embeds: Tensor, pooled: Tensor) -> Tensor:
        extra = {"text_embeds": pooled, "time_ids": time_ids.expand(len(x), 6)}
        with loop.autocast():
            return cast(Tensor, unet(x, at, embeds, added_cond_kwargs=extra).sample).float()

    with torch.no_grad():
        unet.disable_adapters()
        both = [torch.cat([torch.zeros_like(part), part]) for part in condition]
        without, given = predict(noisy.repeat(2, 1, 1, 1), t.repeat(2), *both).chunk(2)
        unet.enable_adapters()
        noise = without + GUIDANCE_SCALE * (given - without)
        nearer = schedule.add_noise(consistent(noisy, noise, t)[1], noise, earlier)  # DDIM
        target, _ = consistent(nearer, predict(nearer, earlier, *condition), earlier)
    result, _ = consistent(noisy, predict(noisy, t, *condition), t)
    return ((result - target).square() + HUBER**2).sqrt().mean() - HUBER


def few_step_sampler() -> LCMScheduler:
    """The scheduler that samples with the LoRA."""
    return LCMScheduler.from_config(sampler().config)


def _show(settings: Settings, run: Path, loop: Loop, modules: dict[str, Any], path: Path) -> None:
    loop.ema.store(loop.parameters)
    loop.ema.copy_to(loop.parameters)
    vae = load_normalised(load_autoencoder(settings, run, loop.device), run)
    latents = sample_latents(settings, run, modules, loop.device, steps=6, guidance=1.0, scheduler=few_step_sampler())
    show_latents(vae, latents, path)
    loop.ema.restore(loop.parameters)
