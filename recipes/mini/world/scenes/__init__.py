"""The scenes: one painter each, by the scene's name in the vocabulary."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recipes.mini.world.paint import Canvas
from recipes.mini.world.scenes import forests, lands, places, waters

PAINTERS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    **forests.PAINTERS,
    **lands.PAINTERS,
    **places.PAINTERS,
    **waters.PAINTERS,
}
