"""Sizes of the model and budgets of its training, for 128 pixels on a CPU and 256 pixels on a GPU."""

from dataclasses import dataclass, field

from recipes.mini.world import Tier


@dataclass(frozen=True)
class Settings:
    """Everything that differs between the CPU model and the GPU model. Widths are per level, finest first."""

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
    minutes: dict[str, float] = field(default_factory=dict)


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
        minutes={"autoencoder": 45, "decoder": 20, "transparency": 35, "base": 130, "foreground": 15},
    ),
    256: Settings(
        size=256,
        tier="full",
        vae=(32, 64, 128, 128),
        vae_layers=1,
        vae_batch=32,
        unet=(128, 256, 384),
        unet_layers=1,
        unet_batch=256,
        head_dim=32,
        text_width=128,
        text_layers=3,
        decoder=(16, 32, 48, 64, 96),
        encoder=(24, 32, 64, 128),
        transparency_batch=32,
        offset_rank=32,
        pictures={"composite": 60000, "background": 30000, "foreground": 40000},
        minutes={"autoencoder": 5, "decoder": 1.5, "transparency": 3, "base": 12, "foreground": 3},
    ),
}
