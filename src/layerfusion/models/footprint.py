"""How much memory a model and a size need, told from configurations and headers before any weight is read.

The figures are those of the embedded model at 256 to 1024 pixels and of SDXL's UNet at 512 (`python -m
benchmarks.footprint`), rounded up. They are for a refusal of what cannot fit, not for a bill.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from layerfusion.errors import LayerFusionError, told
from layerfusion.layers.limits import memory_limit
from layerfusion.models.hub import is_half
from layerfusion.models.presets import read_json

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
LIBRARIES = 600 << 20  # the process with torch, diffusers and transformers, before there is a model
# Tensors of the UNet's highest level that live at once, in every row of the batch.
UNET_TENSORS = 110
# Tensors of the VAE's last level but one, at the picture's full size, that live at once.
VAE_TENSORS = 4
PICTURE_BYTES = 2700  # a pixel, of what the transparent decoder and relighting hold; triplets are decoded one by one
KEPT_BYTES = 120  # a pixel of each triplet: its pictures, in float32
SUBJECT_BYTES = 140  # a pixel of each triplet for every further foreground: its pictures
PUBLISHED = {"unet": 320, "vae": 256}  # SDXL's own widths, of a checkpoint that carries no configuration


@dataclass(frozen=True)
class Footprint:
    """What a model takes.

    Attributes:
        parameters: How many, of all parts.
        unet_channels: Of the UNet's highest level.
        vae_channels: Of the VAE's decoder at its last change of size.
        multiple: Both sides of a picture are multiples of it, in pixels.
        size: (width, height) in pixels that the UNet was made for.
    """

    parameters: int
    unet_channels: int
    vae_channels: int
    multiple: int
    size: tuple[int, int]

    def bytes(self, width: int, height: int, batch: int, guidance: bool, dtype: str, foregrounds: int = 1) -> int:
        """About how many bytes a run holds at its peak, `batch` triplets of so many foregrounds at a time."""
        each, pixels = BYTES[dtype], width * height
        rows = (foregrounds + 2) * (2 if guidance else 1) * batch
        sampling = pixels // 64 * rows * UNET_TENSORS * self.unet_channels * each
        kept = (KEPT_BYTES + SUBJECT_BYTES * (foregrounds - 1)) * batch
        decoding = pixels * (VAE_TENSORS * self.vae_channels * 4 + PICTURE_BYTES + kept)
        return LIBRARIES + self.parameters * each + max(sampling, decoding)

    def check(
        self,
        width: int,
        height: int,
        batch: int,
        guidance: bool,
        dtype: str,
        limit: int | None = None,
        foregrounds: int = 1,
    ) -> None:
        """Raise a LayerFusionError where a run would not fit into memory; it names the largest size that does."""
        limit = memory_limit() if limit is None else limit
        need = self.bytes(width, height, batch, guidance, dtype, foregrounds)
        if need <= limit:
            return
        said = f"{width}x{height}" + (f" in batches of {batch}" if batch > 1 else "")
        start = (
            f"{said} needs about {need / 2**30:.1f} GiB of memory with this model, and {limit / 2**30:.1f} GiB may be "
            "used; "
        )
        if batch > 1 and self.bytes(width, height, 1, guidance, dtype, foregrounds) <= limit:
            raise LayerFusionError(f"{start}choose a smaller --batch-size.")
        fixed = self.bytes(0, 0, 1, guidance, dtype, foregrounds)
        by_pixel = (self.bytes(1024, 1024, 1, guidance, dtype, foregrounds) - fixed) / 2**20
        scale = math.sqrt(max(0.0, limit - fixed) / by_pixel / (width * height))
        fits = [int(side * scale) // self.multiple * self.multiple for side in (width, height)]
        if not all(fits):
            raise LayerFusionError(f"{start}choose a smaller model, or --dtype bfloat16.")
        raise LayerFusionError(f"{start}the largest of this shape that fits is {fits[0]}x{fits[1]}.")


def footprint(path: Path) -> Footprint:
    """Of a model's folder, or of an SDXL checkpoint in one file.

    Raises:
        LayerFusionError: a configuration or a file of weights is broken.
    """
    if not path.is_dir():
        return Footprint(_parameters(path), PUBLISHED["unet"], PUBLISHED["vae"], 64, (1024, 1024))
    files = [file for part in path.iterdir() for file in part.glob("*.safetensors")]
    halves = {file.parent for file in files if is_half(file.name)}
    parameters = sum(_parameters(file) for file in files if is_half(file.name) or file.parent not in halves)
    unet, vae, decoder = (_config(path / name) for name in ("unet", "vae", "transparent_decoder"))
    of_unet, of_vae, of_decoder = map(_widths, (unet, vae, decoder))
    factor = 2 ** (len(of_vae or "four") - 1)
    side = unet.get("sample_size") if type(unet.get("sample_size")) is int else 128
    return Footprint(
        parameters,
        of_unet[0] if of_unet else PUBLISHED["unet"],
        (of_vae or [PUBLISHED["vae"]])[:2][-1],
        2 ** (len(of_decoder) - 1) if of_decoder else factor,
        (side * factor, side * factor),
    )


def _config(part: Path) -> dict[str, Any]:
    file = part / "config.json"
    return read_json(file) if file.is_file() else {}


def _widths(config: dict[str, Any]) -> list[int]:
    """The widths of a network's levels; none where its configuration does not say."""
    given = config.get("block_out_channels")
    if not isinstance(given, list) or len(given) > 20:
        return []
    return [each for each in given if type(each) is int and 0 < each < 2**20]


def _parameters(file: Path) -> int:
    try:
        with safe_open(file, framework="np") as weights:
            return sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise LayerFusionError(
            f"{file} is not a whole safetensors file ({told(error)}); download or save it again."
        ) from None
