"""The published files of LayerDiffuse's transparent VAE."""

import os
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from layerfusion.errors import LayerFusionError
from layerfusion.transparency.decoder import TransparentDecoder
from layerfusion.transparency.encoder import TransparentEncoder

Model = TypeVar("Model", TransparentDecoder, TransparentEncoder)

PUBLISHED = {
    TransparentDecoder: "ld_diffusers_sdxl_vae_transparent_decoder.safetensors",
    TransparentEncoder: "ld_diffusers_sdxl_vae_transparent_encoder.safetensors",
}


def load_transparent(kind: type[Model], path: str | os.PathLike[str], **config: Any) -> Model:
    """Read a transparent decoder or encoder from a single `.safetensors` file of bare weights.

    Args:
        kind: `TransparentDecoder` or `TransparentEncoder`.
        path: The file.
        config: Of the model, where it has not the published widths.

    Returns:
        The model, float32 on the CPU, in evaluation mode.

    Raises:
        LayerFusionError: the file is missing, unreadable, or holds other weights.
    """
    file = Path(path)
    advice = f"take {PUBLISHED[kind]} of lllyasviel/LayerDiffuse_Diffusers"
    if not file.is_file():
        raise LayerFusionError(f"there is no file {file}; {advice}.")
    if file.suffix != ".safetensors":
        raise LayerFusionError(f"{file.name} is not a .safetensors file, and nothing else is loaded; {advice}.")
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise LayerFusionError(f"{file.name} cannot be read as safetensors ({error}); {advice}.") from None
    with torch.device("meta"):
        model = kind(**config)
    expected = {key: value.shape for key, value in model.state_dict().items()}
    if {key: value.shape for key, value in weights.items()} != expected:
        raise LayerFusionError(f"{file.name} does not hold the weights of a {kind.__name__}; {advice}.")
    model.load_state_dict({key: value.float() for key, value in weights.items()}, strict=True, assign=True)
    return model.eval()
