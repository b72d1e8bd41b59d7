"""What is said of failures."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from layerfusion.errors import LONGEST, told
from layerfusion.weights import WeightsError, read_weights


@given(st.text())
def test_what_another_library_says_is_one_line(text: str) -> None:
    said = told(ValueError(text))
    assert len(said) <= LONGEST and len(said.splitlines()) <= 1
    assert said == text or len(text) > LONGEST or said == " ".join(text.split())


def test_a_header_that_is_quoted_whole_is_cut(tmp_path) -> None:
    file = tmp_path / "broken.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    header = b'{"a":"' + b"y" * 20_000 + b'"}'
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(WeightsError) as caught:
        read_weights(file)
    assert "is not a whole safetensors file" in str(caught.value) and len(str(caught.value)) < 600
