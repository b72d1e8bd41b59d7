"""The transparent decoder: from a decoded picture and its latent to alpha and colour."""

from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d_blocks import (
    AttnDownBlock2D,
    AttnUpBlock2D,
    DownBlock2D,
    UNetMidBlock2D,
    UpBlock2D,
)
from torch import Tensor, nn

from layerfusion.errors import LayerFusionError


class TransparentDecoder(ModelMixin, ConfigMixin):
    """A UNet over pixels without time embedding; the latent joins where the resolution is that of the latent.

    With the default configuration its state dict has the keys and shapes of the published
    `ld_diffusers_sdxl_vae_transparent_decoder.safetensors`. Level k works at 1/2^k of the picture's size.

    Args:
        block_out_channels: widths of the levels, multiples of `norm_num_groups`, in the attention levels multiples of
            `attention_head_dim`.
        layers_per_block: resnets a level on the way down; the way up has one more.
        attention_levels: how many of the deepest levels have self-attention.
        attention_head_dim: channels of an attention head.
        norm_num_groups: groups of every group norm.
        latent_channels: channels of the latent.
        latent_factor: picture side over latent side, a power of two; the latent is added just before the down block
            that works at this resolution.

    Raises:
        LayerFusionError: no level works at the latent's resolution.
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: tuple[int, ...] = (32, 32, 64, 128, 256, 512, 512),
        layers_per_block: int = 2,
        attention_levels: int = 3,
        attention_head_dim: int = 8,
        norm_num_groups: int = 4,
        latent_channels: int = 4,
        latent_factor: int = 8,
    ) -> None:
        super().__init__()
        levels = len(block_out_channels)
        self.latent_level = latent_factor.bit_length() - 1
        if 2**self.latent_level != latent_factor or self.latent_level >= levels:
            raise LayerFusionError(
                f"A transparent decoder of {levels} levels has none at 1/{latent_factor} of the picture; "
                "give it more levels, or a latent factor that is a smaller power of two."
            )
        entered = block_out_channels[max(self.latent_level - 1, 0)]
        self.conv_in = nn.Conv2d(3, block_out_channels[0], 3, padding=1)
        self.latent_conv_in = nn.Conv2d(latent_channels, entered, 1)
        nn.init.zeros_(self.latent_conv_in.weight)
        nn.init.zeros_(self.latent_conv_in.bias)  # type: ignore[arg-type]

        shared = {"temb_channels": None, "resnet_eps": 1e-5, "resnet_groups": norm_num_groups}
        heads = {"attention_head_dim": attention_head_dim}
        self.down_blocks = nn.ModuleList()
        for level, width in enumerate(block_out_channels):
            arguments = shared | {
                "in_channels": block_out_channels[max(level - 1, 0)],
                "out_channels": width,
                "num_layers": layers_per_block,
            }
            last = level == levels - 1
            if level >= levels - attention_levels:
                resampling = None if last else "conv"
                self.down_blocks.append(AttnDownBlock2D(**arguments, **heads, downsample_type=resampling))
            else:
                self.down_blocks.append(DownBlock2D(**arguments, add_downsample=not last))
        self.mid_block = UNetMidBlock2D(in_channels=block_out_channels[-1], **shared, **heads)
        self.up_blocks = nn.ModuleList()
        for level in reversed(range(levels)):
            arguments = shared | {
                "in_channels": block_out_channels[max(level - 1, 0)],
                "out_channels": block_out_channels[level],
                "prev_output_channel": block_out_channels[min(level + 1, levels - 1)],
                "num_layers": layers_per_block + 1,
            }
            last = level == 0
            if level >= levels - attention_levels:
                resampling = None if last else "conv"
                self.up_blocks.append(AttnUpBlock2D(**arguments, **heads, upsample_type=resampling))
            else:
                self.up_blocks.append(UpBlock2D(**arguments, add_upsample=not last))
        self.conv_norm_out = nn.GroupNorm(norm_num_groups, block_out_channels[0], eps=1e-5)
        self.conv_act = nn.SiLU()
        self.conv_out = nn.Conv2d(block_out_channels[0], 4, 3, padding=1)

    @property
    def side_multiple(self) -> int:
        """Both sides of a picture must be multiples of this many pixels."""
        return 2 ** (len(self.config["block_out_channels"]) - 1)

    def forward(self, pixels: Tensor, latents: Tensor) -> Tensor:
        """One pass, not clamped.

        Args:
            pixels: (B, 3, H, W) in [0, 1], the picture the VAE decodes from `latents`; sides multiples of
                `side_multiple` (64 for the published model).
            latents: (B, latent_channels, H/8, W/8), divided by the VAE's scaling factor.

        Returns:
            (B, 4, H, W): alpha, then straight RGB.

        Raises:
            LayerFusionError: a side is not such a multiple.
        """
        if pixels.shape[2] % self.side_multiple or pixels.shape[3] % self.side_multiple:
            raise LayerFusionError(
                f"A picture of {pixels.shape[3]}x{pixels.shape[2]} does not fit the transparent decoder; "
                f"both sides must be multiples of {self.side_multiple}."
            )
        sample = self.conv_in(pixels)
        skips = [sample]
        for level, block in enumerate(self.down_blocks):
            if level == self.latent_level:
                sample = sample + self.latent_conv_in(latents)
            sample, block_skips = block(sample)
            skips += block_skips
        sample = self.mid_block(sample)
        for block in self.up_blocks:
            count = len(cast(nn.ModuleList, block.resnets))
            sample = block(sample, tuple(skips[-count:]))
            del skips[-count:]
        return self.conv_out(self.conv_act(self.conv_norm_out(sample)))

    @torch.no_grad()
    def estimate(self, pixels: Tensor, latents: Tensor, passes: int = 8) -> Tensor:
        """Alpha and colour as LayerDiffuse estimates them: the median over four rotations, each plain and mirrored.

        The median of eight values is their fourth smallest, as in the published code. The passes run one by one: on a
        CPU that is faster than batching them, whose activations leave the caches, and memory does not grow with the
        batch.

        Args:
            pixels: (B, 3, H, W) in [0, 1], see `forward`.
            latents: (B, latent_channels, H/8, W/8), divided by the VAE's scaling factor.
            passes: 8, or 1 for a single plain pass.

        Returns:
            RGBA (B, 4, H, W) in [0, 1], straight colour.

        Raises:
            LayerFusionError: `passes` is neither 1 nor 8, or a side does not fit.
        """
        if passes not in (1, 8):
            raise LayerFusionError(f"The transparent decoder makes 1 or 8 passes, not {passes}.")
        if passes == 1:
            found = self(pixels, latents).clamp(0, 1)
        else:
            found = torch.cat([self._median(pixels[i : i + 1], latents[i : i + 1]) for i in range(len(pixels))])
        return found.roll(-1, dims=1)  # alpha goes last

    def _median(self, pixels: Tensor, latents: Tensor) -> Tensor:
        """The eight-pass median of one picture: (1, 3, H, W), (1, latent_channels, h, w) -> as `forward`."""
        results = []
        for turn in range(4):
            for mirrored in (False, True):
                found = self(_view(pixels, turn, mirrored), _view(latents, turn, mirrored)).clamp(0, 1)
                upright = torch.rot90(found, k=-turn, dims=(2, 3))
                results.append(upright.flip(3) if mirrored else upright)
        return torch.stack(results).median(dim=0).values


def _view(picture: Tensor, turn: int, mirrored: bool) -> Tensor:
    """Mirror left and right if asked, then turn by `turn` quarter turns."""
    return torch.rot90(picture.flip(3) if mirrored else picture, k=turn, dims=(2, 3))
