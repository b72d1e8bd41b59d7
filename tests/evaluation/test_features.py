from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from layerfusion.evaluation import features
from layerfusion.evaluation.features import CLIP_G, INCEPTION, InceptionAndClip


class Inception(nn.Module):
    """Two poolings of bytes, as torch-fidelity's network gives those that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        assert pictures.dtype == torch.uint8
        assert pictures.shape[1] == 3
        pooled = pictures.float().mean((2, 3))
        return pooled.repeat(1, 3)[:, :8], pooled.repeat(1, 6)[:, :16]


def processor(text: list[str], images: list[np.ndarray], **kwargs: object) -> object:
    """Sizes and tokens by hand: what matters here is which picture meets which words."""

    class Batch(dict):
        def to(self, device: object) -> "Batch":
            return self

    pixels = torch.stack([torch.from_numpy(image).movedim(-1, 0).float() / 255 for image in images])
    tokens = torch.tensor([[1, 5 + len(words), 2] for words in text])
    return Batch(pixel_values=pixels, input_ids=tokens, attention_mask=torch.ones_like(tokens))


@pytest.fixture(scope="module")
def clip() -> CLIPModel:
    torch.manual_seed(0)
    text = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "eos_token_id": 2, "bos_token_id": 1, "max_position_embeddings": 8}
    vision = {"image_size": 16, "patch_size": 8, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = CLIPConfig(text_config=text, vision_config=vision | {"num_attention_heads": 2}, projection_dim=8)
    return CLIPModel(config).eval()


def test_what_is_not_on_the_machine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert features.prepare(tmp_path) == [INCEPTION, CLIP_G]
    assert "about 91 MB, Apache-2.0" in str(INCEPTION)


def test_both_poolings_of_every_picture(clip: CLIPModel) -> None:
    pictures = np.random.default_rng(0).random((20, 16, 16, 3), np.float32)
    found = InceptionAndClip(Inception(), clip, processor)
    assert found.texture(pictures).shape == (20, 8)
    assert found.deep(pictures).shape == (20, 16)
    assert found.deep(pictures)[7, :3] == pytest.approx(255 * pictures[7].mean((0, 1)), abs=0.2)


def test_each_picture_meets_its_own_words(clip: CLIPModel) -> None:
    pictures = np.random.default_rng(0).random((20, 16, 16, 3), np.float32)
    words = ["a" * (k % 7) for k in range(20)]
    found = InceptionAndClip(Inception(), clip, processor).agreement(pictures, words)
    with torch.no_grad():
        out = clip(**processor([words[18]], [(255 * pictures[18]).round().astype(np.uint8)]))  # type: ignore[arg-type]
    expected = max(0, 100 * float((out.image_embeds * out.text_embeds).sum()))
    assert found.shape == (20,)
    assert found[18] == pytest.approx(expected, abs=1e-3)
