"""What a run gives back, as layers."""

import pytest
import torch
from PIL import Image

from layerfusion import LayerFusionError, LayerFusionOutput
from layerfusion.triplet import PICTURES


def test_a_triplet_of_pictures_becomes_layers() -> None:
    pictures = [[Image.new(mode, (64, 64))] for mode in ("RGBA", "RGB", "RGB", "RGB")]
    output = LayerFusionOutput(*pictures)
    assert output.triplets()[0].pictures() == dict(zip(PICTURES, (p[0] for p in pictures), strict=False))
    stack = output.to_stack()
    assert (stack.width, stack.height) == (64, 64)
    assert len(stack.layers) == 3


def test_a_triplet_of_tensors_does_not() -> None:
    with pytest.raises(LayerFusionError, match="made of PIL images"):
        LayerFusionOutput(*torch.rand(3, 1, 3, 64, 64)).to_stack()
