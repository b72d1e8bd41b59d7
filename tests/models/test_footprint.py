import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfusion.errors import LayerFusionError
from layerfusion.models import MINI
from layerfusion.models.footprint import BYTES, Footprint, footprint
from tests.models.tiny_files import tiny_pipeline

SDXL = Footprint(3_500_000_000, 320, 256, 64, (1024, 1024))


def test_it_counts_what_is_loaded(tmp_path: Path) -> None:
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path)
    found = footprint(tmp_path)
    parts = [part for part in pipeline.components.values() if hasattr(part, "state_dict")]
    assert found.parameters == sum(math.prod(t.shape) for part in parts for t in part.state_dict().values())
    assert found.multiple == pipeline.size_multiple
    assert found.size[0] == pipeline.default_sample_size * pipeline.vae_scale_factor
    assert footprint(MINI).size == (256, 256)


def test_sdxl_fits_where_it_is_known_to_fit() -> None:
    SDXL.check(1024, 1024, 1, True, "float16", 24 << 30)
    with pytest.raises(LayerFusionError, match="smaller --batch-size"):
        SDXL.check(1024, 1024, 16, True, "float16", 24 << 30)
    with pytest.raises(LayerFusionError, match="a smaller model"):
        SDXL.check(1024, 1024, 1, True, "float32", 8 << 30)


def test_every_foreground_has_a_stream_and_pictures_of_its_own() -> None:
    """Bytes beyond the loaded model that `python -m benchmarks.footprint` has measured, of one and of four."""
    mini = footprint(MINI)
    for side, alone, four in ((256, 127_844_352, 154_132_480), (512, 347_496_448, 444_248_064)):
        empty = mini.bytes(0, 0, 1, True, "float32")
        for foregrounds, measured in ((1, alone), (4, four)):
            assert measured <= mini.bytes(side, side, 1, True, "float32", foregrounds) - empty < 4 * measured
    with pytest.raises(LayerFusionError, match="needs about"):
        SDXL.check(1024, 1024, 1, True, "float16", 24 << 30, foregrounds=16)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(8, 64), st.booleans(), st.sampled_from(sorted(BYTES)))
def test_the_size_that_is_named_fits_and_the_next_does_not(
    w: int, h: int, gib: int, guidance: bool, dtype: str
) -> None:
    width, height, limit = 64 * w, 64 * h, gib << 30
    try:
        SDXL.check(width, height, 1, guidance, dtype, limit)
    except LayerFusionError as error:
        if named := re.search(r"fits is (\d+)x(\d+)\.", str(error)):
            fits = int(named[1]), int(named[2])
            SDXL.check(*fits, 1, guidance, dtype, limit)
            assert fits[0] % 64 == fits[1] % 64 == 0
            # Both sides a step up, it would be larger than what was asked for in proportion, and not fit.
            above = (fits[0] + 64, fits[1] + 64)
            assert SDXL.bytes(*above, 1, guidance, dtype) > limit
