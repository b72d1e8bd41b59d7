"""Attention blending (Algorithm 3): one UNet, every stream in one batch.

`JointAttention` puts its processors on a UNet for the time of a `with` block and leaves it as it was found. Within the
block, `predict` and `take_prior` call the UNet and tell the processors what the call is. Each processor projects the
foregrounds' rows through the foreground offsets, lets the blended and the background stream attend to each other, and
blends the attention outputs after the output projection, the only place where both models' outputs live in one space.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor,
    AttnProcessor2_0,
    AttnProcessorNPU,
    FusedAttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
    XLAFlashAttnProcessor2_0,
)
from jaxtyping import Float, Float32
from torch import Tensor, nn

from layerfusion.errors import LayerFusionError
from layerfusion.method.blending import align_mean, blend_into_blended, blend_into_foreground, hard_mask, soft_mask
from layerfusion.method.blocks import transformer_blocks
from layerfusion.method.config import LayerFusionConfig
from layerfusion.method.image_prompts import IP_ADAPTERS, IPAdapters, attend_to_pictures
from layerfusion.method.observer import AttentionPriors, Observer
from layerfusion.method.passes import UNetPass
from layerfusion.method.priors import content_confidence, resize_to_tokens, structure_prior, token_grid
from layerfusion.method.sharing import attend_to_both
from layerfusion.method.streams import BLENDED
from layerfusion.placing import Places

# These compute plain attention, each in its own way.
REPLACEABLE = (
    AttnProcessor,
    AttnProcessor2_0,
    AttnProcessorNPU,
    FusedAttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
    XLAFlashAttnProcessor2_0,
)


@runtime_checkable
class Offset(Protocol):
    """What ε_FG adds to one projection of ε: `layerfusion.offsets.model.Offset`."""

    def project(self, linear: nn.Module, x: Tensor, n_foreground: int) -> Tensor:
        """linear(x), with the offset added to the first `n_foreground` rows."""


@runtime_checkable
class Offsets(Protocol):
    """What ε_FG adds to ε: `layerfusion.offsets.ForegroundOffsets`."""

    def within(self, path: str) -> Mapping[str, Offset]:
        """The offsets of the projections below a module of the UNet, by their paths from there."""


class StructureReady(Exception):
    """Ends the prior pass at the structure layer: nothing after it is needed."""


@dataclass
class JointAttention:
    """The attention of all streams of one run.

    Attributes:
        unet: ε, a UNet2DConditionModel or what `torch.compile` makes of one. Only its attention processors are
            exchanged, for the time of `installed`.
        offsets: ε_FG − ε.
        config: The switches.
        structure_layer, structure_sign: As `config` and the model decide them; see `resolve_structure_layer`.
        structure: s' of the last pass that took it, (F·B, h, w).
    """

    unet: Any
    offsets: Offsets
    config: LayerFusionConfig
    structure_layer: str
    structure_sign: int
    structure: Tensor | None = None
    current: UNetPass = field(init=False, repr=False)
    processors: list["StreamProcessor"] = field(init=False, repr=False, default_factory=list)
    # Inputs of the transformer block being computed: hidden states before any norm, and the prompt embeddings.
    block_inputs: tuple[Tensor, Tensor] = field(init=False, repr=False)

    @contextmanager
    def installed(self) -> Iterator["JointAttention"]:
        """Put the processors on the UNet, and take them off again, also after an exception.

        Raises:
            LayerFusionError: another run uses the UNet, or it has processors that compute something else than
                attention, or than attention and IP-Adapters.
        """
        found = dict(self.unet.attn_processors)
        for layer, processor in found.items():
            if isinstance(processor, StreamProcessor):
                raise LayerFusionError(
                    "the UNet is in use by another run; wait for its end, or use a pipeline for each."
                )
            if not isinstance(processor, (*REPLACEABLE, *IP_ADAPTERS)):
                raise LayerFusionError(
                    f"the UNet's {layer} is a {type(processor).__name__}, whose work LayerFusion would not do; "
                    "take it off with unet.set_attn_processor(AttnProcessor2_0())."
                )
        hooks = []
        adapted: list[Attention] = []
        processors: dict[str, StreamProcessor] = {}
        for path, block in transformer_blocks(self.unet):
            blends = any(fnmatchcase(path, pattern) for pattern in self.config.blocks)
            offsets = self.offsets.within(path)
            hooks.append(block.register_forward_pre_hook(self._note_block_inputs, with_kwargs=True))
            for name in ("attn1", "attn2"):
                layer, attention = f"{path}.{name}.processor", block.get_submodule(name)
                adapters = found[layer] if isinstance(found[layer], IP_ADAPTERS) else None
                processors[layer] = StreamProcessor(self, path, block, name, offsets, blends, adapters)
                if adapters is not None:
                    # While their weights stay part of the UNet, offloading goes on moving them.
                    attention.add_module("ip_adapters", adapters)
                    adapted.append(attention)
        self.processors = list(processors.values())
        try:
            self.unet.set_attn_processor(processors)
            yield self
        finally:
            for hook in hooks:
                hook.remove()
            for attention in adapted:
                del attention.ip_adapters
            self.unet.set_attn_processor(found)
            self.processors = []

    def _note_block_inputs(self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden_states = args[0] if args else kwargs["hidden_states"]
        self.block_inputs = (hidden_states, split_pictures(kwargs["encoder_hidden_states"])[0])

    def predict(self, joint_pass: UNetPass, sample: Tensor, timestep: Tensor, **conditions: Any) -> Tensor:
        """Call the UNet on the rows of `joint_pass.layout` and return the noise it predicts.

        Raises:
            LayerFusionError: the processors are not on the UNet.
        """
        if not self.processors:
            raise LayerFusionError("the joint attention is not on the UNet; take steps within `joint.installed()`.")
        self.current = joint_pass
        prediction = self.unet(sample, timestep, return_dict=False, **conditions)[0]
        if joint_pass.blend:
            joint_pass.soft_masks = [each.soft_mask for each in self.processors if each.blends]
        return prediction

    def take_prior(self, prior_pass: UNetPass, sample: Tensor, timestep: Tensor, **conditions: Any) -> None:
        """Call ε_FG on its rows alone, only as far as the structure layer, and keep `structure` (Fig. 2a)."""
        # What is compiled cannot be left by an exception.
        with torch.compiler.set_stance("force_eager"), suppress(StructureReady):
            self.predict(prior_pass, sample, timestep, **conditions)

    def observe_priors(
        self, prior_pass: UNetPass, sample: Tensor, timestep: Tensor, **conditions: Any
    ) -> list[AttentionPriors]:
        """Call ε_FG on its rows alone, to the end, and return the priors of every attention in order of computation."""
        observer = Observer()
        self.predict(replace(prior_pass, take_structure=False, observer=observer), sample, timestep, **conditions)
        return observer.priors

    def keep_structure(
        self, query: Float[Tensor, "rows heads M dim"], key: Float[Tensor, "rows heads M dim"], scale: float
    ) -> None:
        """Keep s' of the conditional foregrounds from the structure layer's queries and keys."""
        rows = self.current.layout.conditional_foregrounds
        prior = structure_prior(rows(query), rows(key), scale, self.structure_sign)
        self.structure = prior.unflatten(1, token_grid(self.current.size, prior.shape[1]))
        if not self.current.layout.plain:
            raise StructureReady

    def masks(
        self, content: Float32[Tensor, "FB M"], attention: "StreamProcessor"
    ) -> tuple[Float32[Tensor, "F B M"], Float32[Tensor, "F B M"]]:
        """mask_soft and mask_hard of one attention from its content confidence (F·B, M): each (F, B, M), float32."""
        structure = self.current.structure
        if structure is None:
            s = torch.ones_like(content)
        else:
            s = resize_to_tokens(structure, self.current.size, content.shape[1])
        c = torch.ones_like(content) if self.config.mask == "self" else content
        soft = soft_mask(s, c, self.config.mask_range)
        hard = hard_mask(soft, self.config.boundary)
        if self.current.observer is not None:
            self.current.observer.note_maps(attention.layer, self.current.size, self.current.layout, (s, c, soft, hard))
        per_foreground = (len(self.current.layout.foregrounds), self.current.layout.batch)
        return soft.unflatten(0, per_foreground), hard.unflatten(0, per_foreground)

    def blend(
        self,
        attention: Float[Tensor, "rows M channels"],
        soft: Float32[Tensor, "F B M"],
        hard: Float32[Tensor, "F B M"],
    ) -> None:
        """Eq. 1 and 2 on the attention outputs (rows, M, channels), in place.

        Several foregrounds are laid into the blended stream from the farthest to the nearest; each is updated with the
        blended attention as it stands when that foreground has just been laid, before a nearer one hides it.

        A foreground with a place is carried into the scene for Eq. 1, and what Eq. 1 changed of it is carried back for
        Eq. 2: a_FG + mask_hard · (a'_Blended − a_FG), of which the difference alone is resampled.
        """
        layout = self.current.layout
        blended = layout.stream(attention, BLENDED)
        # An unguided stream has one half, which meets both halves of another.
        halves = len(blended)
        for index, name in enumerate(layout.foregrounds):
            a_foreground = layout.stream(attention, name)
            # (B, M) → (1, B, M, 1): both guidance halves are blended with the conditional half's masks.
            mask_soft, mask_hard = (mask[index, None, :, :, None].to(attention.dtype) for mask in (soft, hard))
            if (places := self.current.places) is not None and places.placed(index):
                self._blend_placed(places, index, a_foreground, blended, mask_soft, mask_hard)
                self.current.unify(name, a_foreground)
                continue
            own = len(a_foreground)
            if self.config.align:
                weights = soft[index, None, :, :, None]
                a_foreground.copy_(align_mean(a_foreground, blended[-own:], weights, self.config.align))
            blended.copy_(blend_into_blended(a_foreground[-halves:], blended, mask_soft))
            self.current.unify(BLENDED, blended)
            if self.config.update_foreground:
                a_foreground.copy_(blend_into_foreground(blended[-own:], a_foreground, mask_hard))
                self.current.unify(name, a_foreground)

    def _blend_placed(
        self, places: Places, index: int, a_foreground: Tensor, blended: Tensor, soft: Tensor, hard: Tensor
    ) -> None:
        """`blend` of foreground `index`, which stands elsewhere than in its frame: each (G, B, M, channels) or 1."""
        grid = token_grid(self.current.size, blended.shape[2])

        def carried(carry: Callable[[int, Tensor], Tensor], tokens: Tensor) -> Tensor:
            return carry(index, tokens.mT.unflatten(-1, grid)).flatten(-2).mT

        laid, mask = carried(places.to_scene, a_foreground), carried(places.to_scene, soft)
        if self.config.align:
            light = align_mean(laid, blended[-len(laid) :], mask, self.config.align) - laid
            laid = laid + light
            a_foreground.add_(light[..., :1, :])
        before = laid
        blended.copy_(blend_into_blended(laid[-len(blended) :], blended, mask))
        self.current.unify(BLENDED, blended)
        if self.config.update_foreground:
            a_foreground.add_(hard * carried(places.to_frame, blended[-len(laid) :] - before))


@dataclass
class StreamProcessor:
    """The attention processor of one attention of one transformer block.

    Args:
        joint: The run it belongs to.
        path: The transformer block's path in the UNet.
        block: The transformer block.
        name: "attn1" (self-attention) or "attn2" (cross-attention).
        offsets: Of the block's projections, by their paths in it: what is computed depends on no path in the UNet, so
            that blocks which are compiled one by one (`unet.compile_repeated_blocks()`) share their graphs.
        blends: Whether Eq. 1 acts in this block, in the passes in which it acts.
        adapters: The IP-Adapters whose place the processor of a cross-attention takes.
    """

    # diffusers prints a processor that takes the place of an IP-Adapter's.
    joint: JointAttention = field(repr=False)
    path: str
    block: BasicTransformerBlock = field(repr=False)
    name: str
    offsets: Mapping[str, Offset] = field(repr=False)
    blends: bool = True
    adapters: IPAdapters | None = None
    soft_mask: Tensor = field(init=False, repr=False)  # of the last call in which Eq. 1 acted

    def __post_init__(self) -> None:
        self.gives_structure = self.layer == self.joint.structure_layer

    @property
    def layer(self) -> str:
        """The attention's path in the UNet."""
        return f"{self.path}.{self.name}"

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, "rows M channels"],
        encoder_hidden_states: Tensor | tuple[Tensor, list[Tensor]] | None = None,
        attention_mask: Tensor | None = None,
        ip_adapter_masks: Sequence[Tensor | None] | None = None,
    ) -> Float[Tensor, "rows M channels"]:
        """(S·G·B, M, channels) → the same shape: the attention of every stream, blended."""
        joint, layout = self.joint, self.joint.current.layout
        is_self_attention = encoder_hidden_states is None
        prompt, pictures = split_pictures(encoder_hidden_states)
        context = hidden_states if prompt is None else prompt
        query = self._heads("to_q", attn, hidden_states, layout.foreground_rows)
        key = self._heads("to_k", attn, context, layout.foreground_rows)
        if self.gives_structure and joint.current.take_structure:
            joint.keep_structure(query, key, attn.scale)
        if joint.current.observer is not None and not layout.plain:
            content, seen = self._content(query, key, is_self_attention), key if is_self_attention else None
            joint.current.observer.note_priors(self.layer, joint.current.size, query, seen, attn.scale, content)
        value = self._heads("to_v", attn, context, layout.foreground_rows)

        share = is_self_attention and len(layout.plain) == 2 and joint.config.share_attention
        attended = self._attend(query, key, value, attn.scale, share)
        if self.adapters is not None and joint.current.pictured is not None:
            given = (pictures, joint.current.pictured, ip_adapter_masks, joint.current.size)
            attended = attended + attend_to_pictures(self.adapters, query, *given)
        merged = attended.transpose(1, 2).flatten(2)
        attention = self._project("to_out.0", attn.to_out[0], merged, layout.foreground_rows)
        attention = attn.to_out[1](attention)
        for name in layout.plain:
            joint.current.unify(name, layout.stream(attention, name))

        if self.blends and joint.current.blend:
            self.soft_mask, hard = joint.masks(self._content(query, key, is_self_attention), self)
            joint.blend(attention, self.soft_mask, hard)
        return attention

    def _project(self, name: str, linear: nn.Module, x: Tensor, n_foreground: int, attn: str | None = None) -> Tensor:
        offset = self.offsets.get(f"{attn or self.name}.{name}")
        return linear(x) if offset is None else offset.project(linear, x, n_foreground)

    def _heads(
        self, name: str, attn: Attention, x: Float[Tensor, "rows M _"], n_foreground: int, of: str | None = None
    ) -> Float[Tensor, "rows heads M dim"]:
        """Project (rows, M, channels) and split the heads: (rows, heads, M, dim)."""
        projected = self._project(name, getattr(attn, name), x, n_foreground, of)
        return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

    def _attend(
        self,
        query: Float[Tensor, "rows heads M dim"],
        key: Float[Tensor, "rows heads T dim"],
        value: Float[Tensor, "rows heads T dim"],
        scale: float,
        share: bool,
    ) -> Float[Tensor, "rows heads M dim"]:
        """Attention of every row to itself; with `share`, the two plain streams attend as one sequence of 2M tokens.

        Everything is (rows, heads, M, dim).
        """
        layout = self.joint.current.layout
        if share:
            n = layout.foreground_rows
            foreground = F.scaled_dot_product_attention(query[:n], key[:n], value[:n], scale=scale)
            plain = attend_to_both(layout, query, key, value, scale, self.joint.current.closed_to(key.shape[2]))
            return torch.cat([foreground, plain])
        return F.scaled_dot_product_attention(query, key, value, scale=scale)

    def _content(
        self,
        query: Float[Tensor, "rows heads M dim"],
        key: Float[Tensor, "rows heads T dim"],
        is_self_attention: bool,
    ) -> Float32[Tensor, "FB M"]:
        """c of the conditional foregrounds, (F·B, M).

        A cross-attention takes it from its own queries and keys. A self-attention comes before the cross-attention of
        its block, and sends the block's input states through it (Algorithm 3, first line).
        """
        rows, cross = self.joint.current.layout.conditional_foregrounds, self.block.attn2
        if is_self_attention:
            hidden_states, prompt_embeds = (rows(x) for x in self.joint.block_inputs)
            count = hidden_states.shape[0]
            query = self._heads("to_q", cross, self.block.norm2(hidden_states), count, of="attn2")
            key = self._heads("to_k", cross, prompt_embeds, count, of="attn2")
        else:
            query, key = rows(query), rows(key)
        return content_confidence(query, key, self.joint.current.eos, cross.scale)


def split_pictures(context: Any) -> tuple[Any, list[Tensor]]:
    """The prompt embeddings, and the pictures that a UNet with IP-Adapters hands on beside them."""
    return context if isinstance(context, tuple) else (context, [])
