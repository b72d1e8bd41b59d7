"""The latent-transparency encoder: hides alpha and padded colour in a latent that the VAE still decodes as usual."""

from diffusers import AutoencoderKL
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from layerfusion.transparency.padding import alpha_and_padded_rgb

OFFSET_GAIN = 300.0
"""The encoder's output is multiplied by this (as a LoRA's alpha: its last layer starts at zero and learns slowly)."""


class TransparentEncoder(ModelMixin, ConfigMixin):
    """Convolutions from RGBA pixels to an offset in latent space.

    With the default configuration its state dict has the keys and shapes of the published
    `ld_diffusers_sdxl_vae_transparent_encoder.safetensors`. Each level after the first halves the resolution.

    Args:
        level_channels: widths of the levels; four of them give the SDXL VAE's factor 8.
        latent_channels: channels of the latent.
    """

    @register_to_config
    def __init__(self, level_channels: tuple[int, ...] = (32, 64, 128, 256), latent_channels: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = 4
        for level, channels in enumerate(level_channels):
            layers += [nn.Conv2d(previous, channels, 3, stride=1 if level == 0 else 2, padding=1), nn.SiLU()]
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU()]
            previous = channels
        last = nn.Conv2d(previous, latent_channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.blocks = nn.Sequential(*layers, last)

    def forward(self, pixels: Tensor) -> Tensor:
        """Offset of the latent, before `OFFSET_GAIN`.

        Args:
            pixels: (B, 4, H, W) in [0, 1]: alpha first, then padded RGB (`alpha_and_padded_rgb`).

        Returns:
            (B, latent_channels, H/8, W/8).
        """
        return self.blocks(pixels)


def encode_transparent(vae: AutoencoderKL, encoder: TransparentEncoder, rgba: Tensor) -> Tensor:
    """Encode RGBA pictures as latents a foreground UNet works on.

        latent = (mean + std * OFFSET_GAIN * encoder([alpha, padded RGB])) * scaling_factor

    where mean and std are the VAE's posterior for (2 RGB - 1) * alpha: invisible pixels are mid-grey to it.

    Args:
        vae: the VAE of the model.
        encoder: the offset encoder that belongs to it.
        rgba: (B, 4, H, W) in [0, 1], straight colour; any size the VAE takes, on the device that it works on.

    Returns:
        (B, latent_channels, H/8, W/8), scaled as the UNet sees latents.
    """
    # Not on vae.device: offloading brings the VAE to the device only when it is called.
    rgb, alpha = rgba.to(vae.dtype).split([3, 1], dim=1)
    posterior = vae.encode((2 * rgb - 1) * alpha).latent_dist
    offset = encoder(alpha_and_padded_rgb(rgba).to(encoder.dtype)).to(vae.dtype)
    return (posterior.mean + posterior.std * OFFSET_GAIN * offset) * vae.config.scaling_factor
