"""The component: what it adds to a projection, fused and not, beside a LoRA, offloaded, saved."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from diffusers.pipelines.pipeline_loading_utils import _fetch_class_library_tuple
from hypothesis import given
from hypothesis import strategies as st
from peft import LoHaConfig, LoraConfig, OFTConfig
from torch import Tensor, nn

from layerfusion.errors import LayerFusionError
from layerfusion.offsets import ForegroundOffsets, attention_projections
from tests.tiny import tiny_components, tiny_foreground

PATHS = [
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "mid_block.attentions.0.transformer_blocks.1.attn2.to_k",
    "up_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0",
]


def merged(unet: Any, offsets: ForegroundOffsets) -> Any:
    twin = copy.deepcopy(unet)
    offsets.merge_into(twin)
    return twin


def inputs(linear: nn.Linear, rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, 5, linear.in_features, generator=torch.Generator().manual_seed(seed))


def test_every_attention_projection_is_found(tiny: dict[str, Any]) -> None:
    paths = attention_projections(tiny["unet"])
    from_processors = {name.removesuffix(".processor") for name in tiny["unet"].attn_processors}
    assert {path.split(".to_")[0] for path in paths} == from_processors
    assert len(paths) == 4 * len(from_processors)
    assert set(PATHS) < set(paths)


@given(path=st.sampled_from(PATHS), rows=st.integers(1, 7), share=st.floats(0, 1), fused=st.booleans())
def test_the_first_rows_are_projected_as_by_a_merged_unet(
    tiny: dict[str, Any], tiny_offsets: ForegroundOffsets, path: str, rows: int, share: float, fused: bool
) -> None:
    foreground = round(share * rows)
    linear = attention_projections(tiny["unet"])[path]
    x = inputs(linear, rows)
    target = nn.functional.linear(x, linear.weight + tiny_offsets.delta(path), linear.bias)
    expected = torch.cat([target[:foreground], linear(x)[foreground:]])
    if fused:
        tiny_offsets.fuse(tiny["unet"])
    try:
        torch.testing.assert_close(tiny_offsets()[path].project(linear, x, foreground), expected, atol=1e-5, rtol=1e-5)
    finally:
        tiny_offsets.unfuse()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("fused", [False, True])
def test_half_types_stay_within_their_rounding(dtype: torch.dtype, fused: bool) -> None:
    unet = tiny_components()["unet"]
    offsets = tiny_foreground(unet)
    exact = merged(unet, offsets)
    unet.to(dtype)
    offsets.to(dtype)
    if fused:
        offsets.fuse(unet)
    for path in PATHS:
        linear = attention_projections(unet)[path]
        x = inputs(linear, 3).to(dtype)
        result = offsets()[path].project(linear, x, 2)
        expected = attention_projections(exact)[path](x.float())
        assert result.dtype == dtype
        torch.testing.assert_close(result[:2].float(), expected[:2], atol=8 * torch.finfo(dtype).eps, rtol=0.02)


def test_a_lora_acts_on_every_row_also_when_fused() -> None:
    unet = tiny_components()["unet"]
    offsets = tiny_foreground(unet)
    path = PATHS[0]
    base = attention_projections(unet)[path]
    x = inputs(base, 4)
    plain = base(x)
    offsets.fuse(unet)
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    layer = unet.get_submodule(path)
    assert attention_projections(unet)[path] is base
    result = offsets()[path].project(layer, x, 2)
    torch.testing.assert_close(result[2:], layer(x)[2:])
    torch.testing.assert_close(result[:2], layer(x)[:2] + x[:2] @ offsets.delta(path).T, atol=1e-5, rtol=1e-5)
    assert (layer(x) - plain).abs().min(dim=-1).values.max() > 1e-4


def test_fused_offsets_follow_the_unets_weights() -> None:
    """A LoRA that is fused into the UNet, and its layers removed, leaves nothing but other weights behind."""
    unet = tiny_components()["unet"]
    offsets = tiny_foreground(unet)
    offsets.fuse(unet)
    before = offsets()[PATHS[0]].fused
    offsets.prepare(unet)
    assert offsets()[PATHS[0]].fused is before
    unet.add_adapter(LoraConfig(r=1, target_modules=["to_q"], init_lora_weights=False))
    unet.fuse_lora()
    unet.unload_lora()
    assert type(unet.get_submodule(PATHS[0])) is nn.Linear
    offsets.prepare(unet)
    x = inputs(unet.get_submodule(PATHS[0]), 3)
    expected = attention_projections(merged(unet, offsets))[PATHS[0]](x)
    torch.testing.assert_close(offsets()[PATHS[0]].project(unet.get_submodule(PATHS[0]), x, 3), expected)
    assert (offsets()[PATHS[0]].fused - before).abs().max() > 0.01
    offsets.unfuse()
    offsets.prepare(unet)
    assert offsets()[PATHS[0]].fused is None


ADAPTERS = {
    "LoRA": (LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False), True),
    "LoHa": (LoHaConfig(r=2, target_modules=["to_q"], init_weights=False), True),
    "DoRA": (LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False, use_dora=True), False),
    "OFT": (OFTConfig(oft_block_size=4, r=0, target_modules=["to_q"], init_weights=False), False),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_that_cannot_act_on_all_streams_is_refused(name: str) -> None:
    adapter, additive = ADAPTERS[name]
    unet = tiny_components()["unet"]
    offsets = tiny_foreground(unet)
    unet.add_adapter(adapter)
    layer, x = unet.get_submodule(PATHS[0]), inputs(attention_projections(unet)[PATHS[0]], 2)
    if not additive:
        with pytest.raises(LayerFusionError, match=r"to_q carries an adapter that rescales .* fuse_lora\(\)"):
            offsets.prepare(unet)
        unet.fuse_lora()
    offsets.prepare(unet)
    # What is let through is what ε_FG with the same adapter computes.
    twin = copy.deepcopy(unet)
    offsets.merge_into(twin)
    expected = twin.get_submodule(PATHS[0])(x)
    torch.testing.assert_close(offsets()[PATHS[0]].project(layer, x, 2), expected, atol=1e-5, rtol=1e-5)
    assert (layer(x) - tiny_components()["unet"].get_submodule(PATHS[0])(x)).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantised_unet_runs_and_is_not_fused(tiny: dict[str, Any], tiny_offsets: ForegroundOffsets) -> None:
    unet = torch.ao.quantization.quantize_dynamic(copy.deepcopy(tiny["unet"]), {nn.Linear}, dtype=torch.qint8)
    for refused in (tiny_offsets.fuse, tiny_offsets.merge_into):
        with pytest.raises(LayerFusionError, match="cannot be added to a quantised UNet"):
            refused(unet)
    layer, x = unet.get_submodule(PATHS[0]), torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    tiny_offsets.prepare(unet)
    result = tiny_offsets()[PATHS[0]].project(layer, x, 1)
    torch.testing.assert_close(result, torch.cat([layer(x)[:1] + x[:1] @ tiny_offsets.delta(PATHS[0]).T, layer(x)[1:]]))


def test_a_compiled_unet_has_the_paths_of_its_own() -> None:
    unet = tiny_components()["unet"]
    offsets = tiny_foreground(unet)
    compiled = torch.compile(unet, backend="eager")
    assert attention_projections(compiled).keys() == attention_projections(unet).keys()
    offsets.fuse(compiled)
    offsets.prepare(compiled)
    x = inputs(attention_projections(unet)[PATHS[0]], 2)
    expected = attention_projections(merged(unet, offsets))[PATHS[0]](x)
    torch.testing.assert_close(offsets()[PATHS[0]].project(unet.get_submodule(PATHS[0]), x, 2), expected)


def test_offloaded_leaves_give_the_same(tiny: dict[str, Any]) -> None:
    unet = tiny_components()["unet"]
    offsets = tiny_foreground(unet)
    offsets.fuse(unet)
    x = inputs(attention_projections(unet)[PATHS[2]], 3)
    expected = offsets()[PATHS[2]].project(unet.get_submodule(PATHS[2]), x, 1)
    cpu_offload(unet, torch.device("cpu"))
    cpu_offload(offsets, torch.device("cpu"))
    assert attention_projections(unet)[PATHS[2]].weight.is_meta
    offsets()
    result = offsets()[PATHS[2]].project(unet.get_submodule(PATHS[2]), x, 1)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(LayerFusionError, match="do it before offloading"):
        offsets.fuse(unet)


def test_gradients_reach_the_offsets_and_only_through_the_foreground(tiny: dict[str, Any]) -> None:
    offsets = tiny_foreground(tiny["unet"])
    linear = attention_projections(tiny["unet"])[PATHS[0]]
    x = inputs(linear, 3)
    offsets()[PATHS[0]].project(linear, x, 1)[1:].sum().backward()
    assert offsets()[PATHS[0]].up.weight.grad.abs().max() == 0
    offsets()[PATHS[0]].project(linear, x, 1).sum().backward()
    assert offsets()[PATHS[0]].up.weight.grad.abs().max() > 0


def test_new_offsets_are_zero_and_dense_ones_are_possible() -> None:
    offsets = ForegroundOffsets({"a.to_q": [4, 6, 2], "a.to_out.0": [4, 6, 0]})
    for offset in offsets().values():
        assert offset(torch.randn(3, 4)).abs().max() == 0
        assert offset.delta().shape == (6, 4)
    assert set(offsets.state_dict()) == {"a.to_q.down.weight", "a.to_q.up.weight", "a.to_out.0.dense.weight"}


def test_saving_keeps_weights_but_nothing_fused(tmp_path: Path, tiny: dict[str, Any]) -> None:
    offsets = tiny_foreground(tiny["unet"])
    before = (tiny["unet"].state_dict()[f"{PATHS[0]}.weight"]).clone()
    offsets.fuse(tiny["unet"])
    offsets.save_pretrained(tmp_path)
    loaded = ForegroundOffsets.from_pretrained(tmp_path)
    assert loaded.state_dict().keys() == offsets.state_dict().keys()
    assert all(torch.equal(value, offsets.state_dict()[key]) for key, value in loaded.state_dict().items())
    assert all(offset.fused is None for offset in loaded().values())
    assert torch.equal(before, tiny["unet"].state_dict()[f"{PATHS[0]}.weight"])
    assert next(iter(tmp_path.glob("*.safetensors")))


def test_moving_to_another_type_takes_fused_weights_along(tiny: dict[str, Any]) -> None:
    offsets = tiny_foreground(tiny["unet"])
    offsets.fuse(tiny["unet"])
    offsets.to(torch.bfloat16)
    assert {offset.fused.dtype for offset in offsets().values()} == {torch.bfloat16}


def test_merging_into_another_unet_is_refused(tiny: dict[str, Any]) -> None:
    with pytest.raises(LayerFusionError, match=r"has no projection elsewhere\.to_q"):
        ForegroundOffsets({"elsewhere.to_q": [4, 4, 1]}).merge_into(tiny["unet"])


def test_saved_pipelines_find_the_class_where_it_will_stay() -> None:
    assert _fetch_class_library_tuple(ForegroundOffsets({})) == ("layerfusion.offsets", "ForegroundOffsets")
