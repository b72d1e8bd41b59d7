"""What a pass of the UNet shows of its priors and masks, kept for figures, calibration and training recipes."""

from dataclasses import dataclass, field

from torch import Tensor

from layerfusion.method.priors import minmax, sparsity, token_grid
from layerfusion.method.streams import StreamLayout


@dataclass(frozen=True)
class AttentionPriors:
    """What one attention of ε_FG knows by itself of where the foreground is: (F·B, rows, columns), float32, on the CPU.

    Attributes:
        layer: Its path in the UNet.
        sparsity: s, over how many tokens each token of this self-attention spreads; None for a cross-attention.
        content: c, as this attention's masks would take it.
    """

    layer: str
    sparsity: Tensor | None
    content: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of its tokens."""
        return self.content.shape[-2], self.content.shape[-1]

    def structure(self, sign: int = 1) -> Tensor:
        """s' = 1 − minmax(s), with sign −1 minmax(s), if this self-attention gave it: (F·B, rows, columns)."""
        assert self.sparsity is not None, f"{self.layer} is a cross-attention"
        return minmax(-sign * self.sparsity.flatten(1)).view_as(self.sparsity)


@dataclass(frozen=True)
class AttentionMaps:
    """The priors and masks with which one attention was blended: (F, B, rows, columns), float32, on the CPU."""

    layer: str
    structure: Tensor
    content: Tensor
    soft: Tensor
    hard: Tensor


@dataclass
class Observer:
    """Notes what the attentions of one pass see, in the order in which they are computed.

    Of a pass of the foregrounds alone it keeps the `priors` of every attention, of a joint pass the `maps` of the
    attentions in which blending acts. The first runs to the UNet's end, and each self-attention costs one `sparsity`.
    """

    priors: list[AttentionPriors] = field(default_factory=list)
    maps: list[AttentionMaps] = field(default_factory=list)

    def note_priors(
        self, layer: str, size: tuple[int, int], query: Tensor, key: Tensor | None, scale: float, content: Tensor
    ) -> None:
        """Keep s and c of one attention.

        Args:
            layer: Its path.
            size: (height, width) of the latent.
            query, key: (F·B, heads, M, dim) of a self-attention; `key` is None for a cross-attention.
            scale: Factor on the logits.
            content: (F·B, M).
        """
        grid = token_grid(size, content.shape[1])
        spread = None if key is None else sparsity(query, key, scale).cpu().unflatten(1, grid)
        self.priors.append(AttentionPriors(layer, spread, content.detach().cpu().unflatten(1, grid)))

    def note_maps(
        self, layer: str, size: tuple[int, int], layout: StreamLayout, maps: tuple[Tensor, Tensor, Tensor, Tensor]
    ) -> None:
        """Keep s', c, mask_soft and mask_hard of one attention, each (F·B, M)."""
        per_foreground = (len(layout.foregrounds), layout.batch)
        grid = token_grid(size, maps[0].shape[1])
        shaped = (x.detach().cpu().unflatten(1, grid).unflatten(0, per_foreground) for x in maps)
        self.maps.append(AttentionMaps(layer, *shaped))
