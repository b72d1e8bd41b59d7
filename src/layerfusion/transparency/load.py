"""The published files of LayerDiffuse's transparent VAE."""

from pathlib import Path
from typing import Any, TypeVar

import torch

from layerfusion.transparency.decoder import TransparentDecoder
from layerfusion.transparency.encoder import TransparentEncoder
from layerfusion.weights import WeightsError, find_weights, read_weights

Model = TypeVar("Model", TransparentDecoder, TransparentEncoder)

REPOSITORY = "lllyasviel/LayerDiffuse_Diffusers"
PUBLISHED = {
    TransparentDecoder: "ld_diffusers_sdxl_vae_transparent_decoder.safetensors",
    TransparentEncoder: "ld_diffusers_sdxl_vae_transparent_encoder.safetensors",
}


def load_transparent(of: type[Model], source: str | Path, **config: Any) -> Model:
    """Load a transparent decoder or encoder from a single file of bare weights.

    Args:
        of: `TransparentDecoder` or `TransparentEncoder`.
        source: a safetensors file, `owner/name:file.safetensors` on the hub, or LayerDiffuse's repository by name.
        config: of the model, where it has not the published widths.

    Returns:
        The model, float32 on the CPU, in evaluation mode.

    Raises:
        WeightsError: the file is missing, broken, a pickle, or holds other weights.
    """
    weights, _ = read_weights(find_weights(source, {REPOSITORY: PUBLISHED[of]}))
    with torch.device("meta"):
        model = of(**config)
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in model.state_dict().items()}:
        raise WeightsError(
            f"{source} does not hold the weights of a {of.__name__}; take {PUBLISHED[of]} of {REPOSITORY}."
        )
    model.load_state_dict({key: value.float() for key, value in weights.items()}, strict=True, assign=True)
    return model.eval().requires_grad_(False)
