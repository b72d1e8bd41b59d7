"""The offset encoder against the published architecture, and the latent it makes."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL

from layerfusion.transparency import TransparentEncoder, encode_transparent, pad_rgb_batch

# (index in `blocks`, inputs, outputs) of the convolutions; SiLU stands between them.
CONVOLUTIONS = [
    (0, 4, 32),
    (2, 32, 32),
    (4, 32, 64),
    (6, 64, 64),
    (8, 64, 128),
    (10, 128, 128),
    (12, 128, 256),
    (14, 256, 256),
    (16, 256, 4),
]


def tiny_vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        latent_channels=4,
        norm_num_groups=2,
        scaling_factor=0.5,
    ).eval()


def tiny_encoder() -> TransparentEncoder:
    torch.manual_seed(1)
    encoder = TransparentEncoder((4, 4, 8, 8)).eval()
    torch.nn.init.normal_(encoder.blocks[-1].weight, std=0.01)
    return encoder


def test_default_has_the_keys_and_shapes_of_the_published_file() -> None:
    encoder = TransparentEncoder()
    expected: dict[str, tuple[int, ...]] = {}
    for index, inputs, outputs in CONVOLUTIONS:
        expected |= {f"blocks.{index}.weight": (outputs, inputs, 3, 3), f"blocks.{index}.bias": (outputs,)}
    assert {key: tuple(value.shape) for key, value in encoder.state_dict().items()} == expected
    assert encoder(torch.rand(2, 4, 64, 128)).shape == (2, 4, 8, 16)


def test_a_new_encoder_leaves_the_latent_alone() -> None:
    vae, rgba = tiny_vae(), torch.rand(2, 4, 32, 64)
    premultiplied = (2 * rgba[:, :3] - 1) * rgba[:, 3:]
    with torch.no_grad():
        mean = vae.encode(premultiplied).latent_dist.mean
        latents = encode_transparent(vae, TransparentEncoder((4, 4, 8, 8)), rgba)
    torch.testing.assert_close(latents, mean * 0.5)


def test_latent_is_mean_plus_std_times_offset() -> None:
    vae, encoder, rgba = tiny_vae(), tiny_encoder(), torch.rand(2, 4, 32, 32)
    with torch.no_grad():
        posterior = vae.encode((2 * rgba[:, :3] - 1) * rgba[:, 3:]).latent_dist
        offset = encoder(torch.cat([rgba[:, 3:], pad_rgb_batch(rgba)], dim=1))
        latents = encode_transparent(vae, encoder, rgba)
    assert latents.shape == (2, 4, 4, 4)
    torch.testing.assert_close(latents, (posterior.mean + posterior.std * 300 * offset) * 0.5)


def test_save_and_load(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    encoder.save_pretrained(tmp_path)
    rgba = torch.rand(1, 4, 32, 32)
    torch.testing.assert_close(TransparentEncoder.from_pretrained(tmp_path)(rgba), encoder(rgba))
