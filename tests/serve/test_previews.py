"""Previews show what a run is becoming: from its first step on, without noise, in about its colours."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from layerfusion.runs import Request, Session, generate
from layerfusion.serve.previews import SIDE, Previewer


@pytest.mark.parametrize("fast", [False, True])
def test_the_last_preview_has_the_pictures_colours_and_the_first_is_no_noise(fast: bool) -> None:
    request = Request(foreground_prompt="a penguin", background_prompt="a snowy forest", seed=3, steps=4, fast=fast)
    session = Session.open(request)
    previewer, seen = Previewer(session.pipeline), []
    (made,) = generate(session, request, lambda progress: seen.append(progress.clean))
    previews = [previewer.colours(clean[-1, 0]).astype(float) for clean in seen if clean is not None]
    assert len(previews) == 4
    picture = made.triplet.background.resize(previews[0].shape[1::-1], Image.Resampling.BOX)
    assert np.abs(previews[-1] - np.asarray(picture, float)).mean() < 30  # of 255
    rough = [np.abs(np.diff(preview, axis=0)).mean() for preview in previews]
    assert rough[0] < 1.5 * rough[-1]


def test_large_latents_become_small_pictures(opened: Any) -> None:
    previewer = opened._session[2]
    assert previewer.colours(torch.zeros(4, 150, 200)).shape == (37, 50, 3)
    assert previewer.colours(torch.zeros(4, SIDE, 8)).shape == (SIDE, 8, 3)
