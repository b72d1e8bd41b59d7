"""bfloat16 in recipes, where the processor has instructions for it."""

import pytest
import torch

from recipes.mini.precision import fast_products


@pytest.mark.parametrize(
    ("able", "dtype"),
    [
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"neon": True}, torch.float32),
        ({"neon": True, "bf16": True}, torch.bfloat16),
    ],
)
def test_products_are_in_bfloat16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    with fast_products():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
