"""Wrong files get one sentence that says what they are and which one to take."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from layerfusion.errors import LayerFusionError
from layerfusion.offsets import ForegroundOffsets, load_foreground, offsets_from_state_dict, published_form
from layerfusion.weights import WeightsError
from tests.tiny import tiny_transparent_decoder, tiny_transparent_encoder

QUERY = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
LDM = "diffusion_model.input_blocks.3.1.transformer_blocks.0"


def zeros(*shapes: tuple[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {key: torch.zeros(shape) for key, shape in shapes}


def conv_variant_of_forge() -> dict[str, Tensor]:
    return zeros(
        ("diffusion_model.input_blocks.1.0.in_layers.2.weight::diff::0", (16, 16, 3, 3)),
        (f"{LDM}.ff.net.2.weight::diff::0", (32, 128)),
        (f"{LDM}.attn1.to_out.0.weight::diff::0", (32, 32)),
    )


def style_lora() -> dict[str, Tensor]:
    return zeros(
        (f"unet.{QUERY}.lora_A.weight", (2, 32)),
        (f"unet.{QUERY}.lora_B.weight", (32, 2)),
        ("unet.down_blocks.1.resnets.0.conv1.lora_A.weight", (2, 16, 3, 3)),
        ("unet.down_blocks.1.resnets.0.conv1.lora_B.weight", (32, 2, 1, 1)),
    )


WRONG = {
    "Forge conv variant": (conv_variant_of_forge, "changes layers outside attention"),
    "diffusers conv variant": (
        lambda: zeros(("conv_in.weight", (16, 4, 3, 3)), ("down_blocks.1.resnets.0.conv1.weight", (32, 16, 3, 3))),
        "changes layers outside attention",
    ),
    "fg2ble": (
        lambda: zeros(("conv_in.weight", (16, 8, 3, 3)), (f"{QUERY}.weight", (32, 32))),
        r"sequential pipeline \(its conv_in takes 8 channels\)",
    ),
    "Forge bgble2fg": (
        lambda: zeros(("diffusion_model.input_blocks.0.0.weight::diff::0", (16, 12, 3, 3))),
        r"sequential pipeline \(its conv_in takes 12 channels\)",
    ),
    "transparent decoder": (lambda: tiny_transparent_decoder().state_dict(), "is a transparent decoder"),
    "transparent encoder": (lambda: tiny_transparent_encoder().state_dict(), "is a transparent encoder"),
    "checkpoint": (
        lambda: zeros(("model.diffusion_model.out.2.bias", (4,)), ("first_stage_model.decoder.conv_in.bias", (4,))),
        "is a whole checkpoint",
    ),
    "whole UNet": (
        lambda: zeros(("conv_in.weight", (16, 4, 3, 3)), (f"{QUERY}.weight", (32, 32))),
        "is a whole UNet",
    ),
    "VAE": (lambda: zeros(("quant_conv.weight", (8, 8, 1, 1))), "is a VAE"),
    "LoRA on text encoders": (
        lambda: zeros(("text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight", (2, 16))),
        "is a LoRA on a text encoder too; load it with load_lora_weights",
    ),
    "LoRA on convolutions": (style_lora, "is a LoRA on more than attention; load it with load_lora_weights"),
    "kohya LoRA": (
        lambda: zeros(("lora_unet_input_blocks_4_1_proj_in.lora_down.weight", (2, 32))),
        "is a LoRA on more than attention",
    ),
    "kohya LoRA on SD 1.5's attention": (
        lambda: zeros(("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight", (32, 2))),
        "was made for a UNet of another layout",
    ),
    "older LoRA on SD 1.5's attention": (
        lambda: zeros(("down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.up.weight", (32, 2))),
        "was made for a UNet of another layout",
    ),
    "DoRA": (
        lambda: zeros(
            (f"{QUERY}.lora_A.weight", (2, 32)),
            (f"{QUERY}.lora_B.weight", (32, 2)),
            (f"{QUERY}.lora_magnitude_vector.weight", (32,)),
        ),
        "is a DoRA, which rescales the UNet's own weights",
    ),
    "trained bias": (
        lambda: {f"{OUT}.weight": torch.zeros(32, 32), f"{OUT}.bias": torch.ones(32)},
        r"changes the bias of .*attn1\.to_out\.0, and foreground offsets change weight matrices alone",
    ),
    "PEFT's own file": (
        lambda: zeros((f"base_model.model.{QUERY}.lora_A.weight", (2, 32))),
        "is an adapter as PEFT saves it, without its configuration",
    ),
    "SD 1.5 attention sharing": (
        lambda: zeros(("layers.0.to_q_lora.0.down.weight", (2, 32))),
        "is LayerDiffuse for SD 1.5",
    ),
    "another layout": (
        lambda: zeros(("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight", (32, 32))),
        "was made for a UNet of another layout",
    ),
    "another size": (lambda: zeros((f"{QUERY}.weight", (32, 768))), "maps 768 to 32 channels, here 32 to 32"),
    "another size of LoRA": (
        lambda: zeros((f"{QUERY}.lora_A.weight", (2, 768)), (f"{QUERY}.lora_B.weight", (32, 2))),
        "maps 768 to 32 channels",
    ),
    "half a LoRA": (lambda: zeros((f"{QUERY}.lora_A.weight", (2, 32))), "has only down for .* is not whole"),
    "two ranks": (
        lambda: zeros((f"{QUERY}.lora_A.weight", (2, 32)), (f"{QUERY}.lora_B.weight", (32, 3))),
        "different ranks",
    ),
    "something else": (
        lambda: zeros(("weight", (2, 2))),
        r"holds no foreground offsets \(its first tensor is weight\)",
    ),
    "nothing": (dict, "holds no tensors"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_tensors_are_named(kind: str, tiny: dict[str, Any], tmp_path: Path) -> None:
    make, sentence = WRONG[kind]
    path = tmp_path / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in make().items()}, path)
    with pytest.raises(WeightsError, match=sentence) as error:
        load_foreground(path, tiny["unet"], show_progress=False)
    text = str(error.value)
    assert text.startswith(str(path)) and text.endswith(".") and "\n" not in text
    assert any(remedy in text for remedy in ("take ld_diffusers_sdxl_attn", "download it again", "save it with"))


def test_a_dora_known_by_its_metadata_alone_is_refused(tiny: dict[str, Any], tiny_offsets: ForegroundOffsets) -> None:
    state = published_form(tiny_offsets, "diffusers", tiny["unet"])
    metadata = {"lora_adapter_metadata": json.dumps({"unet.r": 4, "unet.lora_alpha": 4, "unet.use_dora": True})}
    with pytest.raises(WeightsError, match="is a DoRA"):
        offsets_from_state_dict(state, tiny["unet"], metadata=metadata)


def test_the_error_is_one_the_command_knows() -> None:
    assert issubclass(WeightsError, LayerFusionError)


@pytest.mark.parametrize("form", ["dense", "diffusers", "forge"])
def test_a_stranger_among_the_keys_is_refused(form: str, tiny: dict[str, Any], tiny_offsets: ForegroundOffsets) -> None:
    state = published_form(tiny_offsets, form, tiny["unet"])
    with pytest.raises(WeightsError):
        offsets_from_state_dict(state | {"something.else": torch.zeros(1)}, tiny["unet"])


def test_a_folder_of_another_model_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["vae"].save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="holds a AutoencoderKL, not foreground offsets"):
        load_foreground(tmp_path, tiny["unet"])


def test_a_saved_folder_for_another_unet_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    ForegroundOffsets({QUERY: [64, 32, 2]}).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="maps 64 to 32 channels"):
        load_foreground(tmp_path, tiny["unet"])


@pytest.mark.parametrize("damage", ["config", "weights", "projections"])
def test_a_damaged_folder_is_refused(
    damage: str, tiny: dict[str, Any], tiny_offsets: ForegroundOffsets, tmp_path: Path
) -> None:
    tiny_offsets.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    if damage == "config":
        config.write_text('{"_class_name": "Foreground')
    elif damage == "projections":
        config.write_text(json.dumps({"_class_name": "ForegroundOffsets", "projections": [1, 2]}))
    else:
        next(tmp_path.glob("*.safetensors")).write_bytes(b"\x08\x00")
    with pytest.raises(WeightsError, match="does not hold whole foreground offsets"):
        load_foreground(tmp_path, tiny["unet"])
