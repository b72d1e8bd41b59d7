"""The published forms of the foreground offsets: how their keys name a projection, and how to write them.

For the projection P of the attention A:

- dense: `A.P.weight` is ΔW, to be added to the base weight of the same key.
- diffusers: `unet.A.P.lora_A.weight` is down (rank, in), `unet.A.P.lora_B.weight` is up (out, rank); older spellings
  too.
- kohya: `lora_unet_A_P.lora_down.weight`, `.lora_up.weight` and `.alpha`, with A in diffusers' or in LDM's names and
  every dot an underscore.
- forge: with A.P in LDM's names, `diffusion_model.A.P.weight::lora::0` is up, `::lora::1` down, `::lora::2` alpha, and
  `::diff::0` is ΔW.
- own (what `ForegroundOffsets` saves): `A.P.down.weight` and `A.P.up.weight`, or `A.P.dense.weight`.

In every low-rank form ΔW = (alpha / rank) · up @ down, and alpha = rank where the file gives none.
"""

import re
from collections.abc import Mapping
from typing import Literal

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from layerfusion.offsets.model import ForegroundOffsets, attention_projections

Form = Literal["dense", "diffusers", "forge"]
Role = Literal["down", "up", "alpha", "dense", "bias", "magnitude"]

# Longest first: `.lora.down.weight` also ends with `.weight`.
SUFFIXES: dict[str, Role] = {
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_magnitude_vector.weight": "magnitude",
    ".lora_magnitude_vector": "magnitude",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".down.weight": "down",
    ".up.weight": "up",
    ".dense.weight": "dense",
    ".lora_B.bias": "bias",
    ".dora_scale": "magnitude",
    ".alpha": "alpha",
    ".weight": "dense",
    ".bias": "bias",
    ".weight::lora::0": "up",
    ".weight::lora::1": "down",
    ".weight::lora::2": "alpha",
    ".weight::diff::0": "dense",
    ".bias::diff::0": "bias",
}
PREFIX = re.compile(r"^(unet\.|(model\.)?diffusion_model\.|lora_unet_)")
OLD_PROCESSOR = re.compile(r"\.processor\.(to_q|to_k|to_v|to_out)_lora\.")


def ldm_names(unet: UNet2DConditionModel) -> dict[str, str]:
    """Name of a transformer in diffusers -> its name in the original (LDM) layout, for any number of levels and layers.

    LDM counts all layers on the way down in one list, `conv_in` first and each level's downsampler as one of them, and
    all layers on the way up in another, where the upsampler belongs to the level's last layer.
    """
    levels = len(unet.config.block_out_channels)
    layers = unet.config.layers_per_block
    counts = [layers] * levels if isinstance(layers, int) else list(layers)
    names = {"mid_block.attentions.0": "middle_block.1"}
    index = 1
    for level, count in enumerate(counts):
        for layer in range(count):
            names[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{index + layer}.1"
        index += count + 1
    index = 0
    for level, count in enumerate(reversed(counts)):
        for layer in range(count + 1):
            names[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{index + layer}.1"
        index += count + 1
    return names


def projection_names(unet: UNet2DConditionModel) -> dict[str, str]:
    """Every spelling of an attention projection's module path -> the path itself, for all of the UNet's."""
    ldm = ldm_names(unet)
    names: dict[str, str] = {}
    for path in attention_projections(unet):
        transformer, rest = path.split(".transformer_blocks.")
        for spelled in (path, f"{ldm[transformer]}.transformer_blocks.{rest}"):
            names |= {spelled: path, spelled.replace(".", "_"): path}
    return names


def parse_key(key: str, names: Mapping[str, str]) -> tuple[str, Role] | None:
    """Which projection of the UNet a key is about, and what its tensor is; None where it is about none.

    Args:
        key: a key of a published file.
        names: the UNet's `projection_names`.
    """
    key = PREFIX.sub("", key)
    key = OLD_PROCESSOR.sub(lambda match: f".{match[1].replace('to_out', 'to_out.0')}.lora.", key)
    for suffix, role in SUFFIXES.items():
        if key.endswith(suffix):
            path = names.get(key.removesuffix(suffix))
            return (path, role) if path else None
    return None


def published_form(offsets: ForegroundOffsets, form: Form, unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The offsets as the state dict of a published form, contiguous on the CPU, in the offsets' own type.

    Args:
        offsets: the offsets to write.
        form: `dense`, `diffusers` (a LoRA that `load_lora_weights` of diffusers takes) or `forge`.
        unet: a UNet of the layout the offsets were made for; only its configuration is used.
    """
    ldm = ldm_names(unet)
    state: dict[str, Tensor] = {}
    for path, offset in offsets().items():
        if form == "dense":
            state[f"{path}.weight"] = offset.delta().to(offsets.dtype)
            continue
        if offset.low_rank:
            down, up = offset.down.weight, offset.up.weight
        else:
            # A full-rank offset is a LoRA of rank in_features whose down projection is the identity.
            up = offset.dense.weight
            down = torch.eye(up.shape[1], dtype=up.dtype, device=up.device)
        if form == "diffusers":
            state |= {f"unet.{path}.lora_A.weight": down, f"unet.{path}.lora_B.weight": up}
        else:
            transformer, rest = path.split(".transformer_blocks.")
            key = f"diffusion_model.{ldm[transformer]}.transformer_blocks.{rest}.weight"
            state |= {f"{key}::lora::0": up, f"{key}::lora::1": down}
    return {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
