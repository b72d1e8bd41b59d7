"""A request: checked without torch, in sentences, and the one place where a field is written."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfusion import LayerFusionConfig, LayerFusionError
from layerfusion.runs import Request

PROMPTS = {"foreground_prompt": "a fox", "background_prompt": "a forest"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"foreground_prompt": " "}, "the foreground prompt is empty"),
        ({"background_prompt": None}, "the background prompt is empty; say what to draw."),
        ({"background_prompt": 3}, "wrong value for background prompt: 3; give text."),
        ({"foreground_prompt": "a \ud800"}, "holds characters that are no text"),
        ({"steps": 0}, "wrong value for steps: 0; give a number from 1 to 1000."),
        ({"steps": 10**9}, "give a number from 1 to 1000."),
        ({"steps": True}, "wrong value for steps: True"),
        ({"guidance_scale": float("nan")}, "wrong value for guidance_scale: nan"),
        ({"guidance_scale": -3}, "wrong value for guidance_scale: -3"),
        ({"mask": "both"}, "choose 'combined', 'self' or 'cross'."),
        ({"seed": 2**63 - 1, "count": 2}, "is out of range; give a number from 0 to"),
        ({"speed": 3}, "there is no setting 'speed'"),
        ({"config": {"masks": "self"}}, "no setting 'masks'"),
        ({"config": {"boundary": -1.0}}, "boundary is -1.0"),
        ({"config": 5}, "the config is no configuration"),
        ({"foregrounds": [{"prompt": "a fox", "box": [0.5, 0, 0.9, 1]}]}, "reaches out of the scene"),
        ({"foregrounds": [{"prompt": " "}]}, "a foreground's prompt is empty"),
        ({"foregrounds": [{"prompt": "a fox", "place": 3}]}, "there is no foregrounds.0.place; choose from prompt"),
        ({"foregrounds": [{"prompt": "a fox", "z": "near"}]}, "wrong value for foregrounds.0.z: 'near'"),
        ({"foregrounds": [{"prompt": "a fox", "z": float("inf")}]}, "wrong value for foregrounds.0.z: inf"),
        ({"boundary": float("inf")}, "wrong value for boundary: inf; give a finite number."),
        ({"foregrounds": []}, "wrong value for foregrounds"),
        ({"strength": 0.0}, "give a number above 0, up to 1"),
    ],
)
def test_bad_values_get_a_sentence(values, sentence):
    with pytest.raises(LayerFusionError) as error:
        Request.checked({**PROMPTS, **values})
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_face_calls_fields_what_it_likes():
    with pytest.raises(LayerFusionError, match="wrong value for --steps"):
        Request.checked({**PROMPTS, "steps": 0}, lambda name: f"--{name}")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(Request.model_fields)) | st.text(), anything, max_size=6))
def test_whatever_comes_is_taken_or_refused_in_a_sentence(values):
    try:
        Request.checked({**PROMPTS, **values})
    except LayerFusionError as error:
        assert str(error).endswith(".") and "\n" not in str(error).replace(repr(values), "")


@given(
    st.builds(
        Request,
        foreground_prompt=st.just("a fox"),
        background_prompt=st.just("a pond"),
        seed=st.none() | st.integers(0, 2**62),
        steps=st.none() | st.integers(1, 1000),
        guidance_scale=st.none() | st.floats(0, 1000),
        config=st.none() | st.builds(LayerFusionConfig, boundary=st.floats(0.1, 50)),
        show_priors=st.booleans(),
    )
)
def test_json_round_trip(request):
    assert Request.model_validate_json(request.model_dump_json()) == request


def test_foregrounds_need_no_prompt_beside_them():
    each = [{"prompt": "a fox", "box": [0.1, 0.2, 0.3, 0.4]}, {"prompt": "a bear", "z": 2.0, "flip": True}]
    request = Request.checked({"background_prompt": "a pond", "foregrounds": each})
    assert request.foreground_prompt == "a fox and a bear"
    assert Request.model_validate_json(request.model_dump_json()) == request
    assert Request.checked(json.loads(request.model_dump_json())) == request


def test_single_switches_go_on_top():
    own = LayerFusionConfig(boundary=4.0, mask="self")
    assert Request(**PROMPTS).varied(own) == own
    assert Request(**PROMPTS, mask="cross").varied(own) == LayerFusionConfig(boundary=4.0, mask="cross")
    given = LayerFusionConfig(boundary=7.0)
    assert Request(**PROMPTS, config=given, mask="cross").varied(own) == LayerFusionConfig(boundary=7.0, mask="cross")


def test_exact_takes_back_what_a_model_saves():
    own = LayerFusionConfig(boundary=4.0, prior_range=(0.0, 0.3), guidance_range=(0.0, 0.6))
    assert Request(**PROMPTS, exact=True).varied(own) == own.exact() == LayerFusionConfig(boundary=4.0)
    with pytest.raises(LayerFusionError, match="transparency_passes is 4; give 8 or 1"):
        Request.checked({**PROMPTS, "transparency_passes": 4})


def test_the_dial_turns_the_models_own_switches():
    own = LayerFusionConfig(boundary=4.0)
    assert Request(**PROMPTS, harmony=0.25).varied(own) == own.with_harmony(0.25)
    assert Request(**PROMPTS, harmony=0.25, mask="self").varied(own).mask == "self"
    with pytest.raises(LayerFusionError, match="harmony"):
        Request.checked({**PROMPTS, "harmony": 1.5})


def test_the_schema_says_every_field():
    schema = Request.model_json_schema()
    assert set(schema["properties"]) == set(Request.model_fields)
    assert all(entry.get("description") for entry in schema["properties"].values())
    assert json.loads(json.dumps(schema)) == schema


def test_it_is_checked_without_torch():
    code = "import sys; from layerfusion.runs import Record, Request"
    code += "; Request(foreground_prompt='a', background_prompt='b')"
    code += "; assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
