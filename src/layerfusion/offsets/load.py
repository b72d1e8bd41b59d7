"""From a published file, or from our own, to `ForegroundOffsets`."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from peft.utils.other import get_pattern_key
from rich.progress import track
from torch import Tensor, nn

from layerfusion.errors import LayerFusionError, told
from layerfusion.files import at_home, atomic_folder
from layerfusion.offsets.forms import Role, parse_key, projection_names
from layerfusion.offsets.model import ForegroundOffsets, attention_projections
from layerfusion.offsets.refusals import ADVICE, refusal
from layerfusion.weights import WeightsError, find_weights, read_weights

PUBLISHED = {
    "lllyasviel/LayerDiffuse_Diffusers": "ld_diffusers_sdxl_attn.safetensors",
    "rootonchair/diffuser_layerdiffuse": "diffuser_layer_xl_transparent_attn.safetensors",
    "LayerDiffusion/layerdiffusion-v1": "layer_xl_transparent_attn.safetensors",
}
OVERSAMPLING = 16


def load_foreground(
    source: str | Path, unet: UNet2DConditionModel, *, max_rank: int = 256, show_progress: bool = True
) -> ForegroundOffsets:
    """Load foreground offsets in any published form.

    Args:
        source: a safetensors file; a folder that `ForegroundOffsets.save_pretrained` or a whole pipeline was saved to;
            `owner/name:file.safetensors` on the hub; or one of LayerDiffuse's repositories by name alone.
        unet: the UNet they are for. It is not changed.
        max_rank: dense offsets are searched for this rank (LayerDiffuse's is 256).
        show_progress: draw a bar on stderr while dense offsets are factored, which takes about a minute for SDXL. The
            factors are kept for the next time (`factored_folder`).

    Returns:
        The offsets in the UNet's type, on the CPU, without gradients.

    Raises:
        WeightsError: the file is missing, broken, a pickle, or something else than foreground offsets for this UNet;
            the sentence says what it is and which file to take.
    """
    folder = at_home(source)
    if folder.is_dir():
        for candidate in (folder, folder / "foreground"):
            if (candidate / "config.json").is_file():
                return _load_saved(candidate, unet)
    path = find_weights(source, PUBLISHED)
    state_dict, metadata = read_weights(path)
    if not _is_dense(state_dict, unet):
        return offsets_from_state_dict(state_dict, unet, name=str(source), metadata=metadata)
    kept = factored_folder(path, unet.dtype, max_rank)
    if kept.is_dir():
        with suppress(WeightsError):  # what is no longer whole is factored and kept anew
            return _load_saved(kept, unet)
    offsets = offsets_from_state_dict(
        state_dict, unet, name=str(source), metadata=metadata, max_rank=max_rank, show_progress=show_progress
    )
    # Where nothing can be kept, the next time takes as long as this one.
    with suppress(LayerFusionError, OSError), atomic_folder(kept) as folder:
        offsets.save_pretrained(folder)
    return offsets


def factored_folder(path: Path, dtype: torch.dtype, max_rank: int) -> Path:
    """Where the factors of a dense file are kept: under the file's SHA-256, in `LAYERFUSION_CACHE`.

    That is `layerfusion` in the user's cache (`XDG_CACHE_HOME`, or `~/.cache`) where the variable is not set.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("LAYERFUSION_CACHE") or Path(caches) / "layerfusion")
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while part := file.read(1 << 22):
            digest.update(part)
    return cache / "offsets" / f"{digest.hexdigest()}-{str(dtype).removeprefix('torch.')}-{max_rank}"


def _is_dense(state_dict: Mapping[str, Tensor], unet: UNet2DConditionModel) -> bool:
    names = projection_names(unet)
    return any(parsed[1] == "dense" for key in state_dict if (parsed := parse_key(key, names)))


def _load_saved(folder: Path, unet: UNet2DConditionModel) -> ForegroundOffsets:
    try:
        config = json.loads((folder / "config.json").read_text())
        if config["_class_name"] != "ForegroundOffsets":
            raise WeightsError(f"{folder} holds a {config['_class_name']}, not foreground offsets; {ADVICE}.")
        offsets = ForegroundOffsets.from_pretrained(folder, torch_dtype=unet.dtype)
    except WeightsError:
        raise
    except Exception as error:  # whatever a stranger's configuration makes of diffusers
        raise WeightsError(
            f"{folder} does not hold whole foreground offsets ({told(error)}); save them again."
        ) from None
    linears = attention_projections(unet)
    for path, (in_features, out_features, _) in offsets.config.projections.items():
        _check_shape(str(folder), path, linears.get(path), in_features, out_features)
    return offsets.eval().requires_grad_(False)


def offsets_from_state_dict(
    state_dict: Mapping[str, Tensor],
    unet: UNet2DConditionModel,
    *,
    name: str = "The state dict",
    metadata: Mapping[str, str] | None = None,
    max_rank: int = 256,
    show_progress: bool = False,
) -> ForegroundOffsets:
    """As `load_foreground`, from tensors already read.

    Args:
        state_dict: a published form (`layerfusion.offsets.forms`), any floating type, on the CPU.
        unet: the UNet they are for.
        name: what an error calls the tensors.
        metadata: the file's metadata, where diffusers writes a LoRA's configuration, and so its alpha.
        max_rank: dense offsets are searched for this rank.
        show_progress: draw a bar on stderr.
    """
    linears = attention_projections(unet)
    names = projection_names(unet)
    parts: dict[str, dict[Role, Tensor]] = {}
    for key, tensor in state_dict.items():
        parsed = parse_key(key, names)
        if parsed is None:
            raise WeightsError(refusal(name, {key: tuple(value.shape) for key, value in state_dict.items()}, unet))
        path, role = parsed
        parts.setdefault(path, {})[role] = tensor
    if not parts:
        raise WeightsError(refusal(name, {}, unet))
    _check_parts(name, parts, linears)
    adapter = _adapter(name, metadata or {})
    work = track(parts, "Foreground weights", transient=True, disable=not show_progress)
    return ForegroundOffsets.from_tensors(
        {path: _weights(path, parts[path], adapter, unet.dtype, max_rank) for path in work}
    )


def _check_parts(name: str, parts: dict[str, dict[Role, Tensor]], linears: dict[str, nn.Linear]) -> None:
    """Every projection has both its matrices, or its dense one, in the UNet's shape, and nothing that is not ΔW."""
    for path, part in parts.items():
        if "magnitude" in part:
            raise WeightsError(f"{name} is a DoRA, which rescales the UNet's own weights; {ADVICE}.")
        # The difference of two UNets holds the bias of every output projection, zero where it was not trained.
        if "bias" in part and part["bias"].any():
            raise WeightsError(
                f"{name} changes the bias of {path}, and foreground offsets change weight matrices alone; {ADVICE}."
            )
        if "dense" in part:
            out_features, in_features = part["dense"].flatten(1).shape
        elif "down" in part and "up" in part:
            in_features, out_features = part["down"].flatten(1).shape[1], part["up"].shape[0]
            if part["up"].flatten(1).shape[1] != part["down"].shape[0]:
                raise WeightsError(f"{name} has matrices of different ranks for {path}; download it again.")
        else:
            raise WeightsError(
                f"{name} has only {' and '.join(part)} for {path}, so it is not whole; download it again."
            )
        _check_shape(name, path, linears[path], in_features, out_features)


def _check_shape(name: str, path: str, linear: nn.Linear | None, in_features: int, out_features: int) -> None:
    if linear is None:
        raise WeightsError(f"{name} was made for a UNet of another layout ({path} is not in this one); {ADVICE}.")
    if (linear.in_features, linear.out_features) != (in_features, out_features):
        raise WeightsError(
            f"{name} was made for a UNet of another size ({path} maps {in_features} to {out_features} channels, here "
            f"{linear.in_features} to {linear.out_features}); for SDXL {ADVICE}."
        )


def _adapter(name: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """PEFT's configuration of a LoRA on the UNet, where diffusers has kept it in the file's metadata; else empty."""
    packed = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    adapter = {key.removeprefix("unet."): value for key, value in packed.items() if key.startswith("unet.")}
    if adapter.get("use_dora"):
        raise WeightsError(f"{name} is a DoRA, which rescales the UNet's own weights; {ADVICE}.")
    return adapter


def _scale(path: str, part: dict[Role, Tensor], adapter: dict[str, Any]) -> float:
    """The factor of up @ down: alpha / rank, with PEFT's rules where the file has its configuration."""
    rank = len(part["down"])
    if "alpha" in part:
        return float(part["alpha"]) / rank
    if "lora_alpha" not in adapter:
        return 1.0
    pattern = adapter.get("alpha_pattern") or {}
    alpha = pattern.get(get_pattern_key(pattern, path), adapter["lora_alpha"])
    return alpha / (math.sqrt(rank) if adapter.get("use_rslora") else rank)


def _weights(
    path: str, part: dict[Role, Tensor], adapter: dict[str, Any], dtype: torch.dtype, max_rank: int
) -> tuple[Tensor, ...]:
    """(down, up) or (ΔW,) in `dtype`, copied out of the file."""
    if "dense" in part:
        return tuple(weight.to(dtype).contiguous() for weight in factored(part["dense"].flatten(1), max_rank))
    down, up = part["down"].flatten(1), part["up"].flatten(1)
    scale = _scale(path, part, adapter)
    if scale != 1:
        up = up.float() * scale
    return down.to(dtype, copy=True), up.to(dtype, copy=True)


@torch.no_grad()
def factored(dense: Tensor, max_rank: int = 256) -> tuple[Tensor, ...]:
    """Find the low rank in a dense ΔW: (down, up) with up @ down = ΔW to its rounding, or (ΔW,) where there is none.

    A randomized SVD with one power iteration (Halko, Martinsson & Tropp 2011). The factors are kept where they take
    less room than ΔW and miss no more of its norm than rounding may have cost: 1e-4, or half the epsilon of the type.

    Args:
        dense: (out_features, in_features), any floating type.
        max_rank: the largest rank to look for.

    Returns:
        float32: (down (rank, in_features), up (out_features, rank)) at the smallest such rank, at least 1; or (dense,).
    """
    matrix = dense.float()
    rows, columns = matrix.shape
    worthwhile = (rows * columns - 1) // (rows + columns)
    size = min(max_rank + OVERSAMPLING, rows, columns)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        u, s, v = torch.svd_lowrank(matrix, q=size, niter=1)
    # missed[r] is the norm of what rank r leaves out: the singular values from r on, and what none of them holds.
    missed = torch.sqrt((matrix - (u * s) @ v.T).square().sum() + s.square().flip(0).cumsum(0).flip(0))
    tolerance = max(1e-4, torch.finfo(dense.dtype).eps / 2)
    fitting = (missed <= tolerance * matrix.norm()).nonzero()
    if not len(fitting):
        return (matrix,)
    rank = max(int(fitting[0]), 1)
    if rank > min(max_rank, worthwhile):
        return (matrix,)
    balance = s[:rank].sqrt()
    return (v[:, :rank] * balance).T, u[:, :rank] * balance
