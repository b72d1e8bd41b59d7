"""What a base model does alone: SDEdit of the composite, masked denoising of what a subject hid; beside it Telea."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline
from torch import Generator, Tensor

from layerfusion.evaluation.baselines.interface import Missing, Scene, System
from layerfusion.pipeline import LayerFusionPipeline

STRENGTH = 0.4
"""Of SDEdit: the share of the noise levels that are made anew; the paper (Meng et al. 2022) has 0.3 to 0.6."""
RADIUS = 3  # of Telea's neighbourhoods, in pixels
PARTS = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "scheduler")
BASE = Missing("the base model", "layerfusion.models", "its own", how="prepare it with a pipeline")


class _Base:
    """One of diffusers' pipelines on the parts of a base."""

    def __init__(self, pipeline: LayerFusionPipeline, kind: Any) -> None:
        self.defaults = pipeline.defaults
        parts = {name: getattr(pipeline, name) for name in PARTS}
        parts["scheduler"] = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        self.run = kind(**parts, add_watermarker=False)
        self.run.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def _made(self, picture: np.ndarray, scene: Scene, **kwargs: Any) -> np.ndarray:
        found = self.run(
            scene.prompt,
            image=_tensor(picture),
            num_inference_steps=self.defaults.steps,
            guidance_scale=self.defaults.guidance_scale,
            negative_prompt=self.defaults.negative_background or None,
            generator=Generator().manual_seed(scene.seed),
            output_type="np",
            **kwargs,
        )
        return np.asarray(found.images[0], np.float32)


class SDEdit(_Base):
    """The composite, noised part of the way and denoised with the prompt of the whole (Meng et al. 2022)."""

    def __init__(self, pipeline: LayerFusionPipeline) -> None:
        super().__init__(pipeline, StableDiffusionXLImg2ImgPipeline)

    def harmonize(self, composite: np.ndarray, mask: np.ndarray, scene: Scene) -> np.ndarray:
        return self._made(composite, scene, strength=STRENGTH)


class MaskedDenoising(_Base):
    """The hidden part from noise, the rest held to the picture at every step, by a base that was not trained for it."""

    def __init__(self, pipeline: LayerFusionPipeline) -> None:
        super().__init__(pipeline, StableDiffusionXLInpaintPipeline)

    def complete(self, picture: np.ndarray, mask: np.ndarray, scene: Scene) -> np.ndarray:
        height, width = mask.shape
        hidden = _tensor((mask > 0.5).astype(np.float32)[..., None])
        made = self._made(picture, scene, mask_image=hidden, strength=1.0, height=height, width=width)
        return np.where(mask[..., None] > 0.5, made, picture)


class Telea:
    """OpenCV's inpainting by fast marching (Telea 2004)."""

    def complete(self, picture: np.ndarray, mask: np.ndarray, scene: Scene) -> np.ndarray:
        import cv2

        bytes_of = (255 * picture).round().astype(np.uint8)
        hidden = (mask > 0.5).astype(np.uint8)
        made = cv2.inpaint(bytes_of, hidden, RADIUS, cv2.INPAINT_TELEA).astype(np.float32) / 255
        return np.where(hidden[..., None] > 0, made, picture)


def _tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0)[None].float()


def _on_base(kind: Any) -> Any:
    def prepare(folder: Path, pipeline: LayerFusionPipeline | None) -> Any | Missing:
        return BASE if pipeline is None else kind(pipeline)

    return prepare


SDEDIT = System("SDEdit", ("harmonize",), "", "Meng et al. 2022, on diffusers", _on_base(SDEdit))
MASKED = System("masked denoising", ("complete",), "", "diffusers", _on_base(MaskedDenoising))
TELEA = System("Telea", ("complete",), "", "Telea 2004, on OpenCV", lambda folder, pipeline: Telea())
