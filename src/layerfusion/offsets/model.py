"""Offsets on the attention projections of a UNet, low-rank where they are low-rank, as a component of a pipeline."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from diffusers import UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.attention_processor import Attention
from diffusers.models.modeling_utils import ModelMixin
from peft.tuners.lora import LoraLayer
from peft.tuners.lycoris_utils import LycorisLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from layerfusion.errors import LayerFusionError

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")


class Offset(nn.Module):
    """ΔW of one projection: `up.weight @ down.weight` at a rank, or `dense.weight` (rank 0).

    Calling it returns ΔW x, the offset of the projection's output: (..., in_features) -> (..., out_features).
    A new one is zero. `fused` is W + ΔW where `ForegroundOffsets.fuse` has put it; it moves with the module and is
    never saved.
    """

    fused: Tensor | None

    def __init__(self, in_features: int, out_features: int, rank: int) -> None:
        super().__init__()
        if rank:
            self.down = nn.Linear(in_features, rank, bias=False)
            self.up = nn.Linear(rank, out_features, bias=False)
            nn.init.zeros_(self.up.weight)
        else:
            self.dense = nn.Linear(in_features, out_features, bias=False)
            nn.init.zeros_(self.dense.weight)
        self.low_rank = rank > 0
        self.register_buffer("fused", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x)) if self.low_rank else self.dense(x)

    def project(self, linear: nn.Module, x: Tensor, n_foreground: int) -> Tensor:
        """A projection of a batch whose first rows belong to ε_FG and whose other rows belong to ε.

        Args:
            linear: the UNet's module of this projection; it may carry a user's LoRA, which then acts on all rows.
            x: (rows, tokens, in_features), of the UNet's type and device.
            n_foreground: how many of the first rows get the offset, 0 to rows.

        Returns:
            (rows, tokens, out_features): W x + b, with ΔW x added to the first `n_foreground` rows.
        """
        if n_foreground == 0:
            return cast(Tensor, linear(x))
        # Only a plain Linear may be bypassed: a LoRA or quantised layer computes more than W x + b, and an offloaded
        # one, whose forward a hook has replaced, must be called to be brought in.
        if self.fused is not None and type(linear) is nn.Linear and "forward" not in vars(linear):
            foreground = nn.functional.linear(x[:n_foreground], self.fused, linear.bias)
            return foreground if n_foreground == len(x) else torch.cat([foreground, linear(x[n_foreground:])])
        projected = cast(Tensor, linear(x))
        projected[:n_foreground] += self(x[:n_foreground])
        return projected

    def delta(self) -> Tensor:
        """ΔW: (out_features, in_features), float32 on the offset's device."""
        if self.low_rank:
            return self.up.weight.detach().float() @ self.down.weight.detach().float()
        return self.dense.weight.detach().float()


class ForegroundOffsets(ModelMixin, ConfigMixin):
    """What ε_FG has beyond the base UNet ε: an offset for each of its attention projections.

    It is saved and loaded as any model of diffusers. The keys of its state dict are the UNet's module paths followed by
    `.down.weight` and `.up.weight`, or `.dense.weight`.

    Call it (without arguments) to get the offsets by path. Offloading moves a component to the device when it is
    called, so call it once before the passes of a step, and keep it out of `model_cpu_offload_seq`: the next component
    of that chain would send it away again at each of its own calls.

    Args:
        projections: module path in the UNet, such as `down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q` (the
            output projection is `….to_out.0`), to [in_features, out_features, rank]; rank 0 stores ΔW dense. A
            projection that is not named has no offset.
    """

    fused_from: Tensor | None

    @register_to_config
    def __init__(self, projections: dict[str, list[int]]) -> None:
        super().__init__()
        self.register_buffer("fused_from", None, persistent=False)
        self._offsets: dict[str, Offset] = {}
        for path, (in_features, out_features, rank) in projections.items():
            offset = Offset(in_features, out_features, rank)
            *parents, last = path.split(".")
            parent: nn.Module = self
            for name in parents:
                if name not in parent._modules:
                    parent.add_module(name, nn.Module())
                parent = cast(nn.Module, parent._modules[name])
            parent.add_module(last, offset)
            self._offsets[path] = offset

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Sequence[Tensor]]) -> "ForegroundOffsets":
        """Wrap weights without copying them.

        Args:
            tensors: module path -> (down (rank, in_features), up (out_features, rank)), or only ΔW (out_features,
                in_features).
        """
        projections: dict[str, list[int]] = {}
        state: dict[str, Tensor] = {}
        for path, weights in tensors.items():
            if len(weights) == 2:
                down, up = weights
                projections[path] = [down.shape[1], up.shape[0], down.shape[0]]
                state |= {f"{path}.down.weight": down, f"{path}.up.weight": up}
            else:
                (dense,) = weights
                projections[path] = [dense.shape[1], dense.shape[0], 0]
                state[f"{path}.dense.weight"] = dense
        with torch.device("meta"):
            offsets = cls(projections)
        offsets.load_state_dict(state, assign=True)
        return offsets.eval().requires_grad_(False)

    def forward(self) -> dict[str, Offset]:
        """Module path -> the module whose call returns the offset of that projection's output."""
        return self._offsets

    def delta(self, path: str) -> Tensor:
        """ΔW of one projection: (out_features, in_features), float32; zeros belong to a path without an offset."""
        return self._offsets[path].delta()

    def within(self, path: str) -> dict[str, Offset]:
        """The offsets of the projections below a module of the UNet, by their paths from there."""
        return {
            name.removeprefix(f"{path}."): each for name, each in self._offsets.items() if name.startswith(f"{path}.")
        }

    def prepare(self, unet: UNet2DConditionModel) -> None:
        """Make sure, before a run, that these offsets and this UNet go together as they stand now.

        Where the UNet's weights have changed since `fuse`, as by a LoRA that was fused or unfused, they are fused anew.

        Raises:
            LayerFusionError: a projection carries a DoRA, or another adapter that rescales the weights beneath it: it
                was made for ε's weights, and ε_FG's would need a scale of their own.
        """
        unet = _uncompiled(unet)
        for path in self._offsets:
            layer = unet.get_submodule(path)
            if isinstance(layer, BaseTunerLayer) and not layer.merged and not _adds(layer):
                raise LayerFusionError(
                    f"The UNet's {path} carries an adapter that rescales the weights (such as a DoRA), which cannot "
                    "act on all streams alike; make it part of the weights with fuse_lora()."
                )
        if self.fused_from is not None:
            # Weights that are offloaded leaf by leaf are never read in their fused form.
            offloaded = any(linear.weight.is_meta for linear in self._projections(unet).values())
            if not offloaded and not torch.equal(self.fused_from, self._imprint(unet)):
                self.fuse(unet)

    @torch.no_grad()
    def fuse(self, unet: UNet2DConditionModel) -> None:
        """Keep W + ΔW beside each ΔW, so that the foreground's rows cost one matrix product instead of three.

        It takes the memory of the UNet's attention projections once more (2 GB for SDXL in half precision) and gives
        the same pictures to rounding. Projections that carry a LoRA, now or later, go on unfused.

        Raises:
            LayerFusionError: the UNet's weights are not in memory (sequential or group offload) or quantised, or the
                offsets were made for another UNet.
        """
        for path, linear in self._projections(unet).items():
            offset, weight = self._offsets[path], _plain_weight(path, linear)
            ours = next(offset.parameters())
            offset.fused = (weight.float() + offset.delta().to(weight.device)).to(ours.device, weight.dtype)
        self.fused_from = self._imprint(unet)

    def unfuse(self) -> None:
        """Drop what `fuse` made."""
        self.fused_from = None
        for offset in self._offsets.values():
            offset.fused = None

    @torch.no_grad()
    def merge_into(self, unet: UNet2DConditionModel) -> None:
        """Add the offsets to the UNet's own weights, in place: the UNet becomes ε_FG for every row.

        Raises:
            LayerFusionError: as `fuse`.
        """
        for path, linear in self._projections(unet).items():
            weight = _plain_weight(path, linear)
            weight.copy_(weight.float() + self._offsets[path].delta().to(weight.device))

    def _projections(self, unet: UNet2DConditionModel) -> dict[str, nn.Linear]:
        """Those of the UNet's `attention_projections` that have an offset."""
        linears = attention_projections(unet)
        unknown = [path for path in self._offsets if path not in linears]
        if unknown:
            raise LayerFusionError(f"This UNet has no projection {unknown[0]}; take foreground weights made for it.")
        return {path: linears[path] for path in self._offsets}

    def _imprint(self, unet: UNet2DConditionModel) -> Tensor:
        """By what a change of the UNet's weights is known: their diagonals, which meet every row or every column."""
        return torch.cat(
            [
                linear.weight.detach().diagonal().to(self._offsets[path].fused)
                for path, linear in self._projections(unet).items()
            ]
        )

    def enable_group_offload(self, *args: Any, offload_type: str = "leaf_level", **kwargs: Any) -> None:
        """As in diffusers, always by leaves: no block of offsets is ever called as a whole to be brought in."""
        super().enable_group_offload(*args, offload_type="leaf_level", **kwargs)


def attention_projections(unet: UNet2DConditionModel) -> dict[str, nn.Linear]:
    """Module path -> the base projection (under a LoRA, if there is one), of every attention in the UNet's order."""
    linears = {}
    for name, module in _uncompiled(unet).named_modules():
        if isinstance(module, Attention):
            for projection in PROJECTIONS:
                linear = module.get_submodule(projection)
                linears[f"{name}.{projection}"] = cast(nn.Linear, getattr(linear, "base_layer", linear))
    return linears


def _uncompiled(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The UNet itself where `torch.compile(unet)` has wrapped it, which would prefix all its paths."""
    return getattr(unet, "_orig_mod", unet)


def _adds(layer: BaseTunerLayer) -> bool:
    """Whether an adapter's active part adds to the projection's output, whatever the weights beneath are."""
    if isinstance(layer, LoraLayer):
        return not any(adapter in layer.lora_magnitude_vector for adapter in layer.active_adapters)
    return isinstance(layer, LycorisLayer)


def _plain_weight(path: str, linear: nn.Linear) -> Tensor:
    """The projection's weight, to be read and added to.

    Raises:
        LayerFusionError: it is quantised, or not in memory.
    """
    if type(linear) is not nn.Linear or type(linear.weight.data) is not Tensor:
        raise LayerFusionError(
            f"Foreground weights cannot be added to a quantised UNet, as {path} shows; run them beside it, unfused."
        )
    if linear.weight.is_meta:
        raise LayerFusionError("Foreground weights cannot be added to an offloaded UNet; do it before offloading.")
    return linear.weight
