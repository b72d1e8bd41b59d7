"""The benchmark measures SDXL's architecture, and runs."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from benchmarks import sdxl
from layerfusion.offsets import attention_projections


def test_the_benchmark_builds_the_real_unet() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**sdxl.UNET)
    assert sum(parameter.numel() for parameter in unet.parameters()) == 2_567_463_684
    projections = attention_projections(unet)
    assert len(projections) == 560
    assert {(linear.in_features, linear.out_features) for linear in projections.values()} == {
        (640, 640),
        (2048, 640),
        (1280, 1280),
        (2048, 1280),
    }


def test_the_cpu_part_runs_at_a_small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"block_out_channels": (32, 64, 64), "attention_head_dim": (1, 2, 2), "transformer_layers_per_block": 1}
    monkeypatch.setattr(sdxl, "UNET", sdxl.UNET | small)
    monkeypatch.setattr(sdxl, "VAE", sdxl.VAE | {"block_out_channels": (32, 32, 32, 32)})
    monkeypatch.setattr(sdxl, "RANK", 8)
    results = sdxl.joint_step_on_cpu()
    assert 0 < results["peak_rss_gib"] < results["limit_gib"] == 24
    assert results["step_seconds"] > 0
