import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfusion import LayerFusionConfig, LayerFusionError


def test_defaults_are_the_papers():
    config = LayerFusionConfig()
    assert (config.mask, config.boundary, config.structure_from) == ("combined", 10.0, "prior_pass")
    assert config.blend and config.update_foreground and config.share_attention and config.share_noise
    assert config.blend_range == (0.0, 1.0) and config.blocks == ("*",)
    assert config.mask_range == (0.0, 1.0) and config.align == config.detail == 0
    assert LayerFusionConfig.paper() == config


@given(
    st.builds(
        LayerFusionConfig,
        mask=st.sampled_from(["combined", "self", "cross"]),
        boundary=st.floats(0.01, 1000),
        mask_range=st.tuples(st.floats(0, 0.4), st.floats(0.5, 1)),
        align=st.floats(0, 1),
        detail=st.floats(0, 1),
        light=st.floats(0, 1),
        prior_range=st.tuples(st.floats(0, 0.5), st.floats(0.5, 1)),
        detail_range=st.tuples(st.floats(0, 0.5), st.floats(0.5, 1)),
        structure_layer=st.none() | st.text(),
        structure_sign=st.sampled_from([None, 1, -1]),
        structure_from=st.sampled_from(["prior_pass", "previous_step"]),
        blend=st.booleans(),
        blend_range=st.tuples(st.floats(0, 0.5), st.floats(0.5, 1)),
        blocks=st.lists(st.text(min_size=1), min_size=1).map(tuple),
    )
)
def test_json_round_trip(config):
    assert LayerFusionConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"mask": "all"}, "mask is 'all'; choose one of combined, self, cross."),
        ({"boundary": 0}, "boundary is 0"),
        ({"boundary": float("nan")}, "boundary is nan"),
        ({"mask_range": (0.8, 0.8)}, "mask_range is (0.8, 0.8)"),
        ({"align": 1.5}, "align is 1.5"),
        ({"detail": -0.1}, "detail is -0.1"),
        ({"light": float("nan")}, "light is nan"),
        ({"detail_range": (0.5, 1.5)}, "detail_range is (0.5, 1.5)"),
        ({"structure_sign": 2}, "structure_sign is 2"),
        ({"prior_range": (-0.1, 1.0)}, "prior_range is (-0.1, 1.0)"),
        ({"structure_from": "thin air"}, "choose one of prior_pass, previous_step."),
        ({"blend_range": (0.8, 0.2)}, "blend_range is (0.8, 0.2)"),
        ({"blocks": ()}, "blocks is empty"),
        ({"bondary": 3}, "has no setting 'bondary'"),
    ],
)
def test_bad_values_get_a_sentence(values, sentence):
    with pytest.raises(LayerFusionError) as error:
        LayerFusionConfig.from_dict(values)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"blocks": "up_blocks.*"}, "blocks is 'up_blocks.*'; give a tuple."),
        ({"blend_range": 0.5}, "blend_range is 0.5; give a tuple."),
        ({"boundary": "10"}, "boundary is '10'; give a number."),
    ],
)
def test_what_is_of_another_kind_gets_a_sentence(values, sentence):
    with pytest.raises(LayerFusionError) as error:
        LayerFusionConfig(**values)
    assert str(error.value) == sentence


def test_the_dial_goes_from_the_foregrounds_colours_to_the_scenes_light():
    own = LayerFusionConfig(boundary=4.0, mask="self")
    settings = [own.with_harmony(h / 8) for h in range(9)]
    assert all((each.boundary, each.mask, each.detail) == (4.0, "self", 1.0) for each in settings)
    assert (settings[0].light, settings[0].align) == (0, 0) and (settings[-1].light, settings[-1].align) == (1, 0.5)
    assert (settings[4].light, settings[4].align) == (1, 0)
    for less, more in pairwise(settings):
        assert less.light <= more.light and less.align <= more.align and less != more
    with pytest.raises(LayerFusionError, match=r"harmony is 1\.1"):
        own.with_harmony(1.1)


def test_details_need_masks():
    config = LayerFusionConfig(detail=1.0, blend_range=(0.0, 0.8))
    assert [i for i in range(10) if config.details_at(i, 10)] == [5, 6, 7]
    assert not any(LayerFusionConfig().details_at(i, 10) for i in range(10))


def test_blending_steps_are_fractions_of_the_run():
    config = LayerFusionConfig(blend_range=(0.2, 0.6))
    assert [i for i in range(10) if config.blends_at(i, 10)] == [2, 3, 4, 5]
    assert all(LayerFusionConfig().blends_at(i, 7) for i in range(7))
    assert not any(LayerFusionConfig(blend=False).blends_at(i, 7) for i in range(7))


def test_prior_passes_are_made_in_their_range_alone():
    assert [i for i in range(10) if LayerFusionConfig(prior_range=(0.0, 0.3)).passes_at(i, 10)] == [0, 1, 2]
    assert not any(LayerFusionConfig(structure_from="previous_step").passes_at(i, 7) for i in range(7))
