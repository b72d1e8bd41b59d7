"""What is said of failures."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from layerfusion import LayerFusionConfig, LayerFusionError
from layerfusion.defaults import Defaults
from layerfusion.errors import LONGEST, QUOTED, shown, told
from layerfusion.runs import Request
from layerfusion.weights import WeightsError, read_weights


@given(st.text())
def test_what_another_library_says_is_one_line(text: str) -> None:
    said = told(ValueError(text))
    assert len(said) <= LONGEST and len(said.splitlines()) <= 1
    assert said == text or len(text) > LONGEST or said == " ".join(text.split())


@given(st.recursive(st.integers() | st.text(), st.lists))
def test_a_wrong_value_is_quoted_on_one_short_line(value: object) -> None:
    assert len(shown(value)) <= QUOTED and len(shown(value).splitlines()) == 1
    assert shown(value) == repr(value) or len(repr(value)) > QUOTED


@pytest.mark.parametrize(
    "read",
    [
        lambda long: LayerFusionConfig.from_dict({"prior_range": long}),
        lambda long: LayerFusionConfig.from_dict({"x" * len(long): 1}),
        lambda long: LayerFusionConfig(mask="x" * len(long)),
        lambda long: LayerFusionConfig(guidance_range=long),
        lambda long: Defaults.from_dict({"steps": long}),
        lambda long: Request.checked({"foreground_prompt": "a", "background_prompt": "b", "seed": long}),
        lambda long: Request.checked({"foreground_prompt": "a", "background_prompt": "b", "x" * len(long): 1}),
    ],
)
def test_no_sentence_quotes_a_file_whole(read) -> None:
    with pytest.raises(LayerFusionError) as caught:
        read([0.5] * 20_000)
    assert len(str(caught.value)) < 1500


def test_a_header_that_is_quoted_whole_is_cut(tmp_path) -> None:
    file = tmp_path / "broken.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    header = b'{"a":"' + b"y" * 20_000 + b'"}'
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(WeightsError) as caught:
        read_weights(file)
    assert "is not a whole safetensors file" in str(caught.value) and len(str(caught.value)) < 600
