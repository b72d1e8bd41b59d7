"""Against torchmetrics on the same features, clean-fid's formulas, and distributions whose distance is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchmetrics.multimodal import CLIPScore

from layerfusion.evaluation.distances import by_halves, cosines, frechet, kernel_distance

N, D = 120, 24


class Features(nn.Module):
    """Features of small pictures by a random projection, as torchmetrics takes a network of one's own."""

    num_features = D

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(3 * 8 * 8, D)

    def forward(self, pictures: Tensor) -> Tensor:
        return torch.tanh(self.projection(pictures.flatten(1).float() / 255))


@pytest.fixture(scope="module")
def shared() -> SimpleNamespace:
    torch.manual_seed(0)
    network = Features().eval()
    real = torch.randint(0, 256, (N, 3, 8, 8), dtype=torch.uint8)
    fake = torch.randint(0, 200, (N, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        a, b = network(real).numpy(), network(fake).numpy()
    return SimpleNamespace(network=network, real=real, fake=fake, a=a, b=b)


def test_fid_is_torchmetrics(shared: SimpleNamespace) -> None:
    metric = FrechetInceptionDistance(feature=shared.network)
    metric.update(shared.real, real=True)
    metric.update(shared.fake, real=False)
    assert frechet(shared.a, shared.b) == pytest.approx(float(metric.compute()), rel=1e-3)


def test_fid_is_clean_fids_formula(shared: SimpleNamespace) -> None:
    a, b = (x.astype(np.float64) for x in (shared.a, shared.b))
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(0) - b.mean(0)
    root = np.real(linalg.sqrtm(one @ two))
    assert frechet(a, b) == pytest.approx(gap @ gap + np.trace(one) + np.trace(two) - 2 * np.trace(root), rel=1e-6)


def test_kid_is_torchmetrics_over_one_subset_of_all(shared: SimpleNamespace) -> None:
    metric = KernelInceptionDistance(feature=shared.network, subsets=1, subset_size=N)
    metric.update(shared.real, real=True)
    metric.update(shared.fake, real=False)
    assert kernel_distance(shared.a, shared.b) == pytest.approx(float(metric.compute()[0]), rel=1e-3)


def test_kid_is_clean_fids_formula(shared: SimpleNamespace) -> None:
    a, b = (x.astype(np.float64) for x in (shared.a, shared.b))
    own = (a @ a.T / D + 1) ** 3 + (b @ b.T / D + 1) ** 3
    cross = (a @ b.T / D + 1) ** 3
    expected = ((own.sum() - np.trace(own)) / (N - 1) - cross.sum() * 2 / N) / N
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_clip_score_is_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pictures, words = rng.normal(size=(6, 16)), rng.normal(size=(6, 16))
    words[:4] += pictures[:4]

    class Clip(nn.Module):
        """A CLIP that has encoded already: its pixels are the picture's number, its token the words'."""

        config = SimpleNamespace(text_config=SimpleNamespace(max_position_embeddings=77))

        def get_image_features(self, pixel_values: Tensor) -> Tensor:
            return torch.from_numpy(pictures)[pixel_values]

        def get_text_features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            return torch.from_numpy(words)[input_ids[:, 0]]

    def processor(**given: object) -> dict[str, Tensor]:
        numbers = torch.arange(6)
        return {"pixel_values": numbers, "input_ids": numbers[:, None], "attention_mask": torch.ones(6, 1)}

    def clip() -> tuple[nn.Module, object]:
        return Clip(), processor

    metric = CLIPScore(model_name_or_path=clip)
    metric.update([torch.zeros(3, 8, 8, dtype=torch.uint8)] * 6, ["a fox"] * 6)
    # torchmetrics clips the mean at 0, the paper's reference each picture; these are all above.
    assert cosines(pictures, words).min() >= 0
    each = 100 * (pictures * words).sum(1) / np.linalg.norm(pictures, axis=1) / np.linalg.norm(words, axis=1)
    assert each.mean() == pytest.approx(float(metric.compute()), rel=1e-5)
    assert cosines(pictures, words) == pytest.approx(np.maximum(each, 0))


def test_distances_of_known_distributions() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(20_000, 2))
    # Of two normal distributions: the squared distance of the means and of the deviations.
    assert frechet(a, 3 * rng.normal(size=(20_000, 2)) + (1, 0)) == pytest.approx(1 + 2 * 4, rel=0.05)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    small = rng.normal(size=(400, 8))
    same = [kernel_distance(rng.normal(size=(200, 8)), small) for _ in range(20)]
    assert abs(np.mean(same)) < 0.05
    assert kernel_distance(small + 0.5, small) > 5 * np.std(same)


def test_an_interval_by_halves_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(100):
        a, b = rng.normal(size=60), rng.normal(size=60) + 0.5
        low, high = by_halves(lambda i, j, a=a, b=b: float(b[j].mean() - a[i].mean()), 60, 60, draws=100, seed=seed)
        held += low <= 0.5 <= high
    assert 88 <= held <= 100
