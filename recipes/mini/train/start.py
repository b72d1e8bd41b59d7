"""Begins a run from a finished model instead of from nothing: its weights become the stages' first checkpoints.

A model of 256 pixels may begin from one of 128: autoencoder, transparency and text encoders do not depend on the size,
and the UNet of two levels becomes the two inner ones of three, where a token covers the same share of the picture. The
autoencoder's levels may be twice as wide: its latents stay what they are, and its decoder has room to learn more.
"""

import shutil
from pathlib import Path
from typing import cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from peft import set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from layerfusion.errors import LayerFusionError
from layerfusion.models.locate import FEW_STEP
from layerfusion.offsets import ForegroundOffsets
from layerfusion.transparency import TransparentDecoder, TransparentEncoder
from recipes.mini.train.autoencoder import NORM_GROUPS, build_autoencoder
from recipes.mini.train.base import build_base
from recipes.mini.train.few_step import add_lora
from recipes.mini.train.foreground import build_offsets
from recipes.mini.train.latents import SCALING_FACTOR, normalise
from recipes.mini.train.loop import Loop
from recipes.mini.train.settings import Settings
from recipes.mini.train.transparency import build_transparency


def start_from(settings: Settings, run: Path, model: Path) -> None:
    """Write the tokenizer and the first checkpoint of every stage from a folder that `export` wrote.

    The stages then go on from them at step 0.

    Raises:
        LayerFusionError: the settings' UNet cannot hold the model's.
    """
    shutil.copytree(model / "tokenizer", run / "tokenizer")
    vae = build_autoencoder(settings)
    vae.load_state_dict(wider(vae, AutoencoderKL.from_pretrained(model / "vae").state_dict()))
    # Back to a spread of 1, which the KL term asks for: it would take years over the factor of SDXL's scaling.
    normalise(vae, torch.zeros(4), torch.full((4,), SCALING_FACTOR**-2))
    _write(run, "autoencoder", {"vae": vae})

    encoder, decoder = build_transparency(settings)
    encoder.load_state_dict(TransparentEncoder.from_pretrained(model / "transparent_encoder").state_dict())
    decoder.load_state_dict(TransparentDecoder.from_pretrained(model / "transparent_decoder").state_dict())
    _write(run, "transparency", {"encoder": encoder, "decoder": decoder})

    base = build_base(settings, run)
    first = CLIPTextModel.from_pretrained(model / "text_encoder")
    second = CLIPTextModelWithProjection.from_pretrained(model / "text_encoder_2")
    base["text_encoder"].load_state_dict(first.state_dict())
    base["text_encoder_2"].load_state_dict(second.state_dict())
    unet, former = cast(UNet2DConditionModel, base["unet"]), UNet2DConditionModel.from_pretrained(model / "unet")
    added = len(unet.down_blocks) - len(former.down_blocks)
    if added not in (0, 1):
        raise LayerFusionError(
            f"The UNet of {model} has {added} levels fewer than this run wants; start from a larger one."
        )
    unet.load_state_dict(unet.state_dict() | inner_state(former.state_dict(), added))
    if added:
        wrap(unet, former)
    _write(run, "base", base)

    offsets = build_offsets(unet, settings.offset_rank)
    known = ForegroundOffsets.from_pretrained(model / "foreground").state_dict()
    offsets.load_state_dict(inner_state(known, added))
    _write(run, "foreground", {"foreground": offsets})

    if not added and (model / FEW_STEP).exists():
        lora = add_lora(unet)
        set_peft_model_state_dict(
            unet, {name.removeprefix("unet."): value for name, value in load_file(model / FEW_STEP).items()}
        )
        _write(run, "few_step", {"lora": lora})


def _write(run: Path, stage: str, modules: dict[str, nn.Module]) -> None:
    Loop(run, stage, modules, images=1, peak=0.0, ema=0.0, device=torch.device("cpu")).save()


UNEVEN = 0.3
"""How unlike the two copies of a channel are in what is made of them; alike, they would stay copies for good."""


def wider(module: nn.Module, former: dict[str, Tensor]) -> dict[str, Tensor]:
    """A narrower autoencoder's state, for one with twice its channels here and there, which then does the same.

    Each channel becomes two (Net2Net, Chen et al. 2016). They lie in the group of the norms that the one lay in, so
    that its mean and variance stay what they were; whatever takes them in takes a share of each.

    Raises:
        LayerFusionError: a level has neither the former's channels nor twice as many.
    """
    state = {}
    for name, like in module.state_dict().items():
        value = former[name]
        for dim, (channels, were) in enumerate(zip(like.shape, value.shape, strict=True)):
            if channels == were:
                continue
            if channels != 2 * were:
                raise LayerFusionError(f"{name} has {channels} channels and had {were}; keep them, or double them.")
            groups = torch.arange(were).reshape(NORM_GROUPS, -1)
            value = value.index_select(dim, torch.cat([groups, groups], dim=1).flatten())
            if dim == 1:
                half = torch.full((NORM_GROUPS, groups.shape[1]), 0.5)
                share = torch.cat([half * (1 + UNEVEN), half * (1 - UNEVEN)], dim=1).flatten()
                value = value * share.reshape(-1, *[1] * (value.ndim - 2))
        state[name] = value
    return state


def inner_state(state: dict[str, Tensor], added: int) -> dict[str, Tensor]:
    """A UNet's state under its names inside one with `added` finer levels: only `down_blocks` count on."""
    renamed = {}
    for name, value in state.items():
        head, *rest = name.split(".")
        if head == "down_blocks":
            rest[0] = str(int(rest[0]) + added)
        if not (added and head == "conv_in"):
            renamed[".".join([head, *rest])] = value
    return renamed


@torch.no_grad()
def wrap(unet: UNet2DConditionModel, former: UNet2DConditionModel) -> None:
    """Start the added finest level so that the inner levels see what they saw before, and are heard.

    For a latent enlarged twice by repetition, the first downsampler gives exactly what `former.conv_in` gave for the
    small one, and the prediction is the former's, enlarged. What the finest level adds of its own begins at zero.
    """
    width, kernel = unet.conv_in.out_channels, former.conv_in.weight
    channels = kernel.shape[1]
    if former.conv_in.out_channels != width or width < 9 * channels:
        raise LayerFusionError("The finest level must be as wide as the former's, and hold nine copies of a latent.")
    # conv_in keeps the nine neighbours of each pixel apart: feature 9 * channel + 3 * row + column of the window.
    nn.init.zeros_(unet.conv_in.weight)
    nn.init.zeros_(cast(Tensor, unet.conv_in.bias))
    for channel in range(channels):
        for place in range(9):
            unet.conv_in.weight[9 * channel + place, channel, place // 3, place % 3] = 1
    # Along an axis: coarse pixel i - 1 is fine pixels 2i - 2 and 2i - 1, i is 2i and 2i + 1, i + 1 begins at 2i + 2.
    # The downsampler's tap at 2i - 1 + t holds the neighbour n of it, fine pixel 2i - 2 + t + n.
    taps = torch.zeros(3, 3, 3)  # coarse neighbour, tap, neighbour of the tap
    taps[0, 0, 0] = taps[0, 0, 1] = taps[1, 1, 1] = taps[1, 2, 1] = 0.5
    taps[2, 2, 2] = 1
    down = unet.down_blocks[0].downsamplers[0].conv
    nn.init.zeros_(down.weight)
    spread = torch.einsum("ocyx,ytn,xsm->ocnmts", kernel, taps, taps)
    down.weight[:, : 9 * channels] = spread.reshape(width, 9 * channels, 3, 3)
    down.bias.copy_(former.conv_in.bias)

    up = unet.up_blocks[-2].upsamplers[0].conv
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    up.weight[:, :, 1, 1] = torch.eye(width)
    for resnet in (*unet.down_blocks[0].resnets, *unet.up_blocks[-1].resnets):
        nn.init.zeros_(resnet.conv2.weight)
        nn.init.zeros_(resnet.conv2.bias)
        if resnet.conv_shortcut is not None:
            nn.init.zeros_(resnet.conv_shortcut.weight)
            nn.init.zeros_(resnet.conv_shortcut.bias)
            resnet.conv_shortcut.weight[:, :width, 0, 0] = torch.eye(width)
