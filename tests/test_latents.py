"""What a foreground's pixels are in latents."""

import pytest
import torch

from layerfusion.latents import encode_in_scene
from tests import tiny


@pytest.mark.parametrize(("alpha", "opaque"), [(1.0, True), (0.95, True), (0.4, False), (0.0, False)])
def test_a_see_through_subject_is_not_laid_in(alpha: float, opaque: bool) -> None:
    scene = torch.zeros(2, 4, 64, 64)
    scene[:, :3], scene[:, 3, 16:48, 16:48] = 0.7, alpha
    laid = encode_in_scene(tiny.tiny_components()["vae"], scene, torch.tensor([True, False]))
    assert laid.known.tolist() == [opaque, False]
    assert laid.alpha.shape == (2, 1, *laid.colour.shape[-2:])
    assert float(laid.alpha.max()) == pytest.approx(alpha)
