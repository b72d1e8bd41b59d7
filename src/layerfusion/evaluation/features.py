"""The networks that Table 1 looks through: Inception-v3 for the distances, CLIP-G for pictures and words.

Their weights are looked for on this machine and never fetched: Inception's as torch-fidelity has them, CLIP-G as
transformers has it, in a folder of the user's or in the hub's cache.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from layerfusion.evaluation.baselines.interface import Missing
from layerfusion.evaluation.distances import cosines

INCEPTION = Missing(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/tag/v0.2.0",
    "Apache-2.0",
    91,
    "runs with torch-fidelity (`pip install torch-fidelity`)",
)
CLIP_G = Missing(
    "CLIP-ViT-bigG-14-laion2B-39B-b160k",
    "https://huggingface.co/laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
    "MIT",
    10_200,
    "a folder as transformers saves it",
)
BATCH = 16


class Features(Protocol):
    """What a table's measures act on. Pictures are (N, H, W, 3) in [0, 1].

    Attributes:
        name: As tables say it.
    """

    name: str

    def deep(self, pictures: np.ndarray) -> np.ndarray:
        """(N, D), of the final pooling: for KID."""

    def texture(self, pictures: np.ndarray) -> np.ndarray:
        """(N, d), of the first pooling: for FID."""

    def agreement(self, pictures: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
        """The CLIP score of each picture with its prompt, (N,)."""


class InceptionAndClip:
    """The paper's: Inception-v3 (2048 features of the final pooling, 64 of the first) and CLIP-G."""

    name = "Inception-v3 and CLIP-G"

    def __init__(self, inception: Any, clip: Any, processor: Any) -> None:
        self.inception, self.clip, self.processor = inception, clip, processor

    def deep(self, pictures: np.ndarray) -> np.ndarray:
        return self._pooled(pictures, 1)

    def texture(self, pictures: np.ndarray) -> np.ndarray:
        return self._pooled(pictures, 0)

    @torch.no_grad()
    def _pooled(self, pictures: np.ndarray, index: int) -> np.ndarray:
        device = next(self.inception.parameters()).device
        batches = (
            torch.from_numpy((255 * part).round().astype(np.uint8)).movedim(-1, 1).to(device)
            for part in _parts(pictures)
        )
        return np.concatenate([self.inception(batch)[index].flatten(1).cpu().numpy() for batch in batches])

    @torch.no_grad()
    def agreement(self, pictures: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
        found = []
        for part, words in zip(_parts(pictures), _parts(prompts), strict=True):
            inputs = self.processor(
                text=list(words),
                images=list((255 * part).round().astype(np.uint8)),
                return_tensors="pt",
                padding="max_length",
                truncation=True,
            ).to(self.clip.device)
            out = self.clip(**inputs)
            found.append(cosines(*(_array(x) for x in (out.image_embeds, out.text_embeds))))
        return np.concatenate(found)


def _parts(values: Any) -> list[Any]:
    return [values[start : start + BATCH] for start in range(0, len(values), BATCH)]


def _array(x: Tensor) -> np.ndarray:
    return x.float().cpu().numpy()


def prepare(folder: Path, device: str = "cpu") -> InceptionAndClip | list[Missing]:
    """The paper's networks from a folder of the user's or from the hub's cache, or what is missing of them."""
    inception, clip = _inception(folder, device), _clip(folder, device)
    missing = [each for each in (inception, clip) if isinstance(each, Missing)]
    if missing or isinstance(clip, Missing):
        return missing
    return InceptionAndClip(inception, *clip)


def _inception(folder: Path, device: str) -> Any | Missing:
    cached = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION.file
    path = next((path for path in (folder / INCEPTION.file, cached) if path.exists()), None)
    if path is None:
        return INCEPTION
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError:
        return INCEPTION
    return FeatureExtractorInceptionV3("inception-v3-compat", ["64", "2048"], str(path)).to(device).eval()


def _clip(folder: Path, device: str) -> tuple[Any, Any] | Missing:
    from transformers import CLIPModel, CLIPProcessor

    own = folder / CLIP_G.file
    source = str(own) if own.exists() else f"laion/{CLIP_G.file}"
    try:
        clip = CLIPModel.from_pretrained(source, local_files_only=True).to(device).eval()
        return clip, CLIPProcessor.from_pretrained(source, local_files_only=True)
    except OSError:
        return CLIP_G
