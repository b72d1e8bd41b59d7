"""A world whose sprites are stand-ins, so that nothing is fetched."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest

from layerfusion import LayerFusionPipeline
from recipes.mini.world import World, load
from tests.models.tiny_files import tiny_pipeline


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The core vocabulary at 64 pixels."""
    build = tmp_path_factory.mktemp("world")
    assets = build / "sprites" / "assets"
    assets.mkdir(parents=True)
    for k, spec in enumerate(load("core").objects):
        if spec.sprite:
            # A grey disc with a coloured spot, below white even in the strongest light.
            picture = np.zeros((96, 96, 4), np.uint8)
            cv2.circle(picture, (48, 48), 40, (150, 150, 150, 255), -1)
            picture[40:56, 40:56, k % 3] = 60
            cv2.imwrite(str(assets / f"{spec.sprite}.webp"), picture)
    return World(64, "core", build)


@pytest.fixture(scope="session")
def small(world: World) -> World:
    """A few objects and scenes of the world."""
    few = copy.copy(world)
    few.objects = tuple(world.object(key) for key in ("penguin", "fox", "glass bottle", "campfire"))
    few.scenes = tuple(world.scene(key) for key in ("beach at night", "snowy forest", "wooden table"))
    few.styles = world.styles[:1]
    return few


@pytest.fixture(scope="session")
def pipe() -> LayerFusionPipeline:
    pipe = tiny_pipeline()
    pipe.set_progress_bar_config(disable=True)
    return pipe
