"""The transparent decoder against the published architecture, and its median against a loop."""

from pathlib import Path

import pytest
import torch

from layerfusion.errors import LayerFusionError
from layerfusion.transparency import TransparentDecoder

WIDTHS = (32, 32, 64, 128, 256, 512, 512)


def norm(path: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{path}.weight": (width,), f"{path}.bias": (width,)}


def layer(path: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{path}.weight": shape, f"{path}.bias": shape[:1]}


def resnet(path: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    keys = norm(f"{path}.norm1", inputs) | layer(f"{path}.conv1", outputs, inputs, 3, 3)
    keys |= norm(f"{path}.norm2", outputs) | layer(f"{path}.conv2", outputs, outputs, 3, 3)
    return keys | (layer(f"{path}.conv_shortcut", outputs, inputs, 1, 1) if inputs != outputs else {})


def attention(path: str, width: int) -> dict[str, tuple[int, ...]]:
    keys = norm(f"{path}.group_norm", width)
    for projection in ("to_q", "to_k", "to_v", "to_out.0"):
        keys |= layer(f"{path}.{projection}", width, width)
    return keys


def published_keys() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the published file, from its description alone."""
    keys = layer("conv_in", 32, 3, 3, 3) | layer("latent_conv_in", 64, 4, 1, 1)
    skips = [32]
    width = 32
    for level, outputs in enumerate(WIDTHS):
        for i in range(2):
            keys |= resnet(f"down_blocks.{level}.resnets.{i}", width, outputs)
            width = outputs
            skips.append(width)
            if level >= 4:
                keys |= attention(f"down_blocks.{level}.attentions.{i}", width)
        if level < 6:
            keys |= layer(f"down_blocks.{level}.downsamplers.0.conv", width, width, 3, 3)
            skips.append(width)
    keys |= resnet("mid_block.resnets.0", 512, 512) | resnet("mid_block.resnets.1", 512, 512)
    keys |= attention("mid_block.attentions.0", 512)
    for block, outputs in enumerate(reversed(WIDTHS)):
        for i in range(3):
            keys |= resnet(f"up_blocks.{block}.resnets.{i}", width + skips.pop(), outputs)
            width = outputs
            if block < 3:
                keys |= attention(f"up_blocks.{block}.attentions.{i}", width)
        if block < 6:
            keys |= layer(f"up_blocks.{block}.upsamplers.0.conv", width, width, 3, 3)
    assert not skips
    return keys | norm("conv_norm_out", 32) | layer("conv_out", 4, 32, 3, 3)


def small(**changes: object) -> TransparentDecoder:
    """Four levels and every weight away from zero, so that the latent matters."""
    torch.manual_seed(0)
    config = {"block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "attention_levels": 1} | changes
    decoder = TransparentDecoder(**config).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return decoder


def test_default_has_the_keys_and_shapes_of_the_published_file() -> None:
    with torch.device("meta"):
        decoder = TransparentDecoder()
    assert {key: tuple(value.shape) for key, value in decoder.state_dict().items()} == published_keys()
    assert decoder.side_multiple == 64
    assert decoder.down_blocks[4].attentions[0].heads == 256 // 8
    assert decoder.down_blocks[0].resnets[0].norm1.num_groups == 4


def test_latent_enters_before_the_block_at_its_resolution() -> None:
    decoder = small()
    inputs_seen: list[torch.Tensor] = []
    for block in decoder.down_blocks:
        block.register_forward_pre_hook(lambda _module, inputs: inputs_seen.append(inputs[0]))
    pixels = torch.rand(1, 3, 64, 32)
    decoder(pixels, torch.zeros(1, 4, 8, 4))
    decoder(pixels, torch.ones(1, 4, 8, 4))
    changed = [not torch.equal(*pair) for pair in zip(inputs_seen[:4], inputs_seen[4:], strict=True)]
    assert changed == [False, False, False, True]
    assert inputs_seen[3].shape == (1, 16, 8, 4)


def test_estimate_is_the_median_of_a_plain_loop() -> None:
    decoder = small()
    pixels, latents = torch.rand(2, 3, 48, 32), torch.randn(2, 4, 6, 4)
    results = []
    for mirrored in (False, True):
        for turn in range(4):
            views = [torch.rot90(x.flip(3) if mirrored else x, turn, (2, 3)) for x in (pixels, latents)]
            with torch.no_grad():
                back = torch.rot90(decoder(*views).clamp(0, 1), -turn, (2, 3))
            results.append(back.flip(3) if mirrored else back)
    expected = torch.stack(results).sort(dim=0).values[3][:, [1, 2, 3, 0]]
    torch.testing.assert_close(decoder.estimate(pixels, latents), expected, atol=1e-5, rtol=0)
    assert (torch.stack(results).std(dim=0) > 1e-3).any()


def test_estimate_commutes_with_turning_the_picture() -> None:
    decoder = small()
    pixels, latents = torch.rand(1, 3, 32, 32), torch.randn(1, 4, 4, 4)
    turned = decoder.estimate(torch.rot90(pixels, 1, (2, 3)), torch.rot90(latents, 1, (2, 3)))
    torch.testing.assert_close(torch.rot90(turned, -1, (2, 3)), decoder.estimate(pixels, latents), atol=1e-5, rtol=0)


def test_one_pass_is_the_clamped_forward() -> None:
    decoder = small()
    pixels, latents = torch.rand(1, 3, 32, 32), torch.randn(1, 4, 4, 4)
    found = decoder(pixels, latents).clamp(0, 1)[:, [1, 2, 3, 0]]  # the decoder itself puts alpha first
    torch.testing.assert_close(decoder.estimate(pixels, latents, passes=1), found)


def test_save_and_load(tmp_path: Path) -> None:
    decoder = small(latent_factor=4)
    decoder.save_pretrained(tmp_path)
    again = TransparentDecoder.from_pretrained(tmp_path)
    pixels, latents = torch.rand(1, 3, 32, 32), torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(again(pixels, latents), decoder(pixels, latents))


def test_refusals() -> None:
    decoder = small()
    with pytest.raises(LayerFusionError, match="multiples of 8"):
        decoder(torch.rand(1, 3, 36, 32), torch.rand(1, 4, 4, 4))
    with pytest.raises(LayerFusionError, match="1 or 8"):
        decoder.estimate(torch.rand(1, 3, 32, 32), torch.rand(1, 4, 4, 4), passes=4)
    with pytest.raises(LayerFusionError, match="none at 1/8"):
        TransparentDecoder((8, 8, 8), attention_levels=1)
