"""The UNet's transformer blocks and attentions by their paths, in the order in which they are computed."""

from diffusers.models.attention import BasicTransformerBlock
from torch import nn

from layerfusion.errors import LayerFusionError


def transformer_blocks(unet: nn.Module) -> list[tuple[str, BasicTransformerBlock]]:
    """The UNet's transformer blocks with their paths, in the order in which they are computed."""
    # torch.compile(unet) wraps the UNet, and would prefix all paths.
    unet = getattr(unet, "_orig_mod", unet)
    found = [(path, module) for path, module in unet.named_modules() if isinstance(module, BasicTransformerBlock)]
    # A UNet registers up_blocks before mid_block, but computes down, mid, up.
    order = ("down_blocks", "mid_block", "up_blocks")
    return sorted(found, key=lambda item: order.index(item[0].split(".")[0]))


def self_attention_layers(unet: nn.Module) -> list[str]:
    """The paths of all self-attentions, in the order in which they are computed."""
    return [f"{path}.attn1" for path, _ in transformer_blocks(unet)]


def resolve_structure_layer(unet: nn.Module, name: str | None) -> str:
    """The self-attention that gives the structure prior: `name`, or the last one (the paper's choice) where None.

    Raises:
        LayerFusionError: the UNet has no such layer.
    """
    layers = self_attention_layers(unet)
    if name is None:
        return layers[-1]
    if name not in layers:
        raise LayerFusionError(f"the UNet has no self-attention {name!r}; choose one of {layers[0]} … {layers[-1]}.")
    return name
