"""What the attention processors must know of one call of the UNet."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from layerfusion.method.observer import Observer
from layerfusion.method.priors import resize_to_tokens
from layerfusion.method.streams import StreamLayout
from layerfusion.placing import Places


@dataclass
class UNetPass:
    """One call of the UNet.

    Attributes:
        layout: The order of the batch's rows.
        size: (height, width) of the latent.
        eos: (F·B,) place of the first end-of-text token of each foreground prompt.
        blend: Whether Eq. 1 acts in this call.
        structure: s' as (F·B, h, w); None where the mask is made of cross-attention alone.
        take_structure: Whether s' is taken at the structure layer. A pass of foregrounds alone (the prior pass) ends
            there.
        observer: Notes what the attentions see; None notes nothing.
        soft_masks: Filled by the call: mask_soft of every attention in which Eq. 1 acted, (F, B, M) each.
        pictured: (rows,) 1 where the row's stream was given pictures for an IP-Adapter; None where none was.
        hidden: Where the background may not attend to the blended stream, as (B, h, w), above 0 where closed; None
            closes nothing.
        places: Where the foregrounds stand in the scene; None where each fills it.
        alike: For streams that are unguided in some triplets of the batch, in which, (B,) bool: their unconditional
            half is made to be the conditional one.
    """

    layout: StreamLayout
    size: tuple[int, int]
    eos: Tensor
    blend: bool = False
    structure: Tensor | None = None
    take_structure: bool = False
    observer: Observer | None = None
    soft_masks: list[Tensor] = field(default_factory=list)
    pictured: Tensor | None = None
    hidden: Tensor | None = None
    places: Places | None = None
    alike: dict[str, Tensor] = field(default_factory=dict)

    def closed_to(self, tokens: int) -> Tensor | None:
        """`hidden` on the grid of an attention of so many tokens, (B, M) bool."""
        return None if self.hidden is None else resize_to_tokens(self.hidden.float(), self.size, tokens) > 0

    def unify(self, name: str, halves: Float[Tensor, "G B M channels"]) -> None:
        """Make the halves of a stream one where it is `alike`, in place."""
        if (alike := self.alike.get(name)) is not None:
            halves[:, alike] = halves[-1:, alike]
