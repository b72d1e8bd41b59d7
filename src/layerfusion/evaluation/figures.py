"""Figures of one run, as the paper draws them: priors and masks (Fig. 3), structure priors by layer (Fig. 9)."""

import math
from collections.abc import Sequence
from dataclasses import astuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from PIL.Image import Resampling, Transform
from torch import Tensor

from layerfusion.drawing import Tile, grey_map, heat_map, sheet
from layerfusion.errors import LayerFusionError
from layerfusion.layers import Affine
from layerfusion.output import StepMaps

TILE = 168
# The pictures of `prior_overlays`, and which of `MAPS` each is of.
OVERLAYS = {"structureprior": "structure", "contentprior": "content", "softmask": "soft"}


def priors_figure(
    triplet: dict[str, Image.Image], maps: Sequence[StepMaps], index: int, train_timesteps: int, times: Sequence[float]
) -> Image.Image:
    """The triplet, and under it s', c, mask_soft and mask_hard at some times (Fig. 3).

    c and the masks differ from attention to attention; what is drawn is their mean over all in which blending acted.

    Args:
        triplet: "foreground", "background", "blended" and "composite".
        maps: Of the run, one entry a step.
        index: Which triplet of the batch.
        train_timesteps: T.
        times: Fractions of T; the step nearest to each is drawn.

    Raises:
        LayerFusionError: blending acted in no step.
    """
    nearest = [_nearest(maps, train_timesteps, time) for time in times]
    shown = list({step.timestep: step for step in nearest}.values())
    pictures = [Tile(triplet[name], name) for name in ("foreground", "background", "blended", "composite")]
    size = tile_size(triplet["foreground"])
    rows = [pictures, *(_maps_of(step, index, size) for step in shown)]
    labels = ["", *(f"t = {step.timestep / train_timesteps:.2f} T" for step in shown)]
    layers = len(shown[0].attentions)
    subtitle = f"Priors and masks of the foreground: means over the {layers} attentions in which blending acts"
    return sheet(rows, size, "Generative priors", subtitle, labels)


def prior_overlays(
    maps: Sequence[StepMaps],
    index: int,
    train_timesteps: int,
    time: float,
    size: tuple[int, int],
    placements: Sequence[Affine] = (Affine(),),
) -> dict[str, Image.Image]:
    """s', c and mask_soft at one time as heat maps of the picture's size, to be laid over it; see `mean_maps`.

    Args:
        maps: Of the run, one entry a step.
        index: Which triplet of the batch.
        train_timesteps: T.
        time: A fraction of T; the step nearest to it is drawn.
        size: (width, height) of the picture, and of the frame of every foreground.
        placements: Of each foreground, from its frame to the scene; where its frame does not reach, there is nothing.

    Returns:
        By name; of the second foreground "structureprior2", and so on.

    Raises:
        LayerFusionError: blending acted in no step.
    """
    step = _nearest(maps, train_timesteps, time)
    overlays = {}
    for number, placement in enumerate(placements):
        means = mean_maps(step, index, number)
        for name, of in OVERLAYS.items():
            overlays[f"{name}{number + 1 if number else ''}"] = _carried(heat_map(means[of].numpy(), size), placement)
    return overlays


def _carried(picture: Image.Image, placement: Affine) -> Image.Image:
    """A heat map where its frame lies in the scene."""
    if placement == Affine():
        return picture
    nothing = heat_map(np.zeros((1, 1)), (1, 1)).getpixel((0, 0))
    back = astuple(placement.inverse())
    return picture.transform(picture.size, Transform.AFFINE, back, Resampling.BICUBIC, fillcolor=nothing)


def _nearest(maps: Sequence[StepMaps], train_timesteps: int, time: float) -> StepMaps:
    steps = [step for step in maps if step.attentions]
    if not steps:
        raise LayerFusionError("there are no priors to draw: blending acted in no step of this run.")
    return min(steps, key=lambda step: abs(step.timestep / train_timesteps - time))


MAPS = ("structure", "content", "soft", "hard")
LABELS = ("structure prior  s'", "content confidence  c", "soft mask", "hard mask")


def mean_maps(step: StepMaps, index: int, foreground: int | None = None) -> dict[str, Tensor]:
    """s', c, mask_soft and mask_hard of one step, by `MAPS`: (rows, columns) in [0, 1].

    c and the masks are means over the attentions in which blending acted, at the largest of their grids; all are of
    one foreground, or means over them.
    """
    which = slice(None) if foreground is None else slice(foreground, foreground + 1)
    rows, columns = max((attention.soft.shape[-2:] for attention in step.attentions), key=math.prod)

    def mean(name: str) -> Tensor:
        of_all = [getattr(attention, name)[which, index].mean(0) for attention in step.attentions]
        return torch.stack([_resize(values, (rows, columns)) for values in of_all]).mean(0)

    structure = mean("structure") if step.structure is None else step.structure[which, index].mean(0)
    return {"structure": structure} | {name: mean(name) for name in MAPS[1:]}


def _maps_of(step: StepMaps, index: int, size: tuple[int, int]) -> list[Tile]:
    """Tiles of `mean_maps`."""
    draw = (heat_map, heat_map, grey_map, grey_map)
    maps = mean_maps(step, index).values()
    return [Tile(d(values.numpy(), size), label) for d, values, label in zip(draw, maps, LABELS, strict=True)]


def structure_figure(foreground: Image.Image, priors: dict[str, Tensor], time: float, chosen: str) -> Image.Image:
    """The foreground, and the structure prior of every self-attention in the order in which they are computed (Fig. 9).

    Args:
        foreground: RGBA.
        priors: Path of the self-attention → (rows, columns) in [0, 1].
        time: t / T at which they were taken.
        chosen: The layer that the run took its structure prior from; it is framed.
    """
    size = tile_size(foreground)
    tiles = [Tile(foreground, "foreground")]
    for path, values in priors.items():
        label = f"{short_name(path)}   {values.shape[1]} x {values.shape[0]}"
        tiles.append(Tile(heat_map(values.numpy(), size), label, marked=path == chosen))
    columns = min(len(tiles), max(4, math.ceil(math.sqrt(len(tiles) * 1.6))))
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    subtitle = f"s' at t = {time:.2f} T, in the order of computation; framed: the one the run used"
    return sheet(rows, size, "Structure prior of every self-attention", subtitle)


def short_name(path: str) -> str:
    """up_blocks.1.attentions.2.transformer_blocks.0.attn1 → up 1.2.0"""
    parts = path.split(".")
    numbers = ".".join(part for part in parts[1:] if part.isdecimal())
    return f"{parts[0].removesuffix('_blocks').removesuffix('_block')} {numbers}"


def _resize(values: Tensor, grid: tuple[int, int]) -> Tensor:
    return F.interpolate(values[None, None], grid, mode="bilinear", align_corners=False)[0, 0]


def tile_size(picture: Image.Image) -> tuple[int, int]:
    """The size of tiles for pictures of this shape: of equal area, whatever the shape."""
    ratio = math.sqrt(picture.width / picture.height)
    return round(TILE * ratio), round(TILE / ratio)
