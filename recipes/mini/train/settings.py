"""Sizes of the model and budgets of its training, for pictures of 128 and of 256 pixels."""

from dataclasses import dataclass, field

from recipes.mini.world import Tier

# What the model's command takes where the user says nothing; more guidance makes subjects larger and coarser.
STEPS, GUIDANCE_SCALE = 20, 2.5


@dataclass(frozen=True)
class Settings:
    """Everything that differs between the two models. Widths are per level, finest first.

    `pictures` counts what is rendered of each kind, `images` what each stage trains on, repetitions included.
    """

    size: int
    tier: Tier
    vae: tuple[int, ...]
    vae_layers: int
    vae_batch: int
    unet: tuple[int, ...]
    unet_layers: int
    unet_batch: int
    head_dim: int
    text_width: int
    text_layers: int
    decoder: tuple[int, ...]
    encoder: tuple[int, ...]
    transparency_batch: int
    offset_rank: int
    pictures: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)


SETTINGS = {
    128: Settings(
        size=128,
        tier="core",
        vae=(16, 24, 64, 128),
        vae_layers=1,
        vae_batch=3,
        unet=(64, 128),
        unet_layers=1,
        unet_batch=24,
        head_dim=16,
        text_width=96,
        text_layers=3,
        decoder=(16, 16, 32, 48, 64),
        encoder=(16, 24, 32, 64),
        transparency_batch=12,
        offset_rank=16,
        pictures={"composite": 10000, "background": 4000, "foreground": 7000},
        images={
            "autoencoder": 31000,
            "decoder": 16000,
            "transparency": 11000,
            "alpha": 4000,
            "base": 258000,
            "foreground": 38000,
            "few_step": 17000,
        },
    ),
    256: Settings(
        size=256,
        tier="core",
        vae=(32, 48, 64, 128),
        vae_layers=1,
        vae_batch=3,
        unet=(64, 64, 128),
        unet_layers=1,
        unet_batch=24,
        head_dim=16,
        text_width=96,
        text_layers=3,
        decoder=(16, 16, 32, 48, 64),
        encoder=(16, 24, 32, 64),
        transparency_batch=12,
        offset_rank=16,
        pictures={"composite": 9000, "background": 1500, "foreground": 3600},
        images={
            "autoencoder": 30000,
            "decoder": 10000,
            "transparency": 11000,
            "alpha": 4000,
            "base": 250000,
            "foreground": 40000,
            "few_step": 17000,
        },
    ),
}
