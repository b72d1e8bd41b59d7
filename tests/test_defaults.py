import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfusion import LayerFusionConfig, LayerFusionError
from layerfusion.defaults import Defaults


@given(
    st.builds(
        Defaults,
        steps=st.integers(1, 1000),
        guidance_scale=st.floats(0, 30),
        size=st.none() | st.tuples(st.integers(1, 4096), st.integers(1, 4096)),
        negative_foreground=st.text(),
        negative_background=st.text(),
        transparency_passes=st.sampled_from([1, 8]),
        config=st.builds(LayerFusionConfig, mask=st.sampled_from(["combined", "self"]), boundary=st.floats(0.1, 50)),
    )
)
def test_json_round_trip(defaults):
    assert Defaults.from_dict(json.loads(json.dumps(defaults.to_dict()))) == defaults


def test_what_is_left_out_is_layerdiffuses_and_the_papers():
    assert Defaults.from_dict({}) == Defaults(25, 7.0, None, "", "", LayerFusionConfig.paper(), 8)


@pytest.mark.parametrize(
    "values",
    [
        [],
        {"speed": 3},
        {"steps": 0},
        {"steps": True},
        {"steps": 10**9},
        {"size": [128]},
        {"size": [0, 64]},
        {"config": {"masks": "self"}},
        {"config": {"boundary": "ten"}},
        {"guidance_scale": "much"},
        {"negative_foreground": 3},
        {"transparency_passes": 4},
    ],
)
def test_broken_defaults_are_refused(values):
    with pytest.raises(LayerFusionError):
        Defaults.from_dict(values)
