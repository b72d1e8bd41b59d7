"""Every published form of the same offsets arrives at the same offsets."""

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from layerfusion.offsets import (
    ForegroundOffsets,
    attention_projections,
    load,
    load_foreground,
    offsets_from_state_dict,
    published_form,
)
from layerfusion.offsets.forms import ldm_names
from layerfusion.offsets.load import factored
from tests.tiny import tiny_components, tiny_foreground

OLDER = {
    "lora": (".lora_A.", ".lora.down.", ".lora_B.", ".lora.up."),
    "lora_linear_layer": (".lora_A.", ".lora_linear_layer.down.", ".lora_B.", ".lora_linear_layer.up."),
    "peft": (".lora_A.", ".lora_A.default.", ".lora_B.", ".lora_B.default."),
}


def respelled(state: dict[str, Tensor], spelling: str) -> dict[str, Tensor]:
    """A diffusers LoRA with the keys of an older release."""
    if spelling == "processor":
        renamed = {}
        for key, value in state.items():
            attention, projection = key.split(".to_", 1)
            projection, role, _ = projection.replace("out.0", "out").split(".")
            direction = {"lora_A": "down", "lora_B": "up"}[role]
            renamed[f"{attention}.processor.to_{projection}_lora.{direction}.weight"] = value
        return renamed
    a, down, b, up = OLDER[spelling]
    return {key.replace(a, down).replace(b, up): value for key, value in state.items()}


def kohya(state: dict[str, Tensor], ldm: dict[str, str]) -> dict[str, Tensor]:
    """A diffusers LoRA with kohya's keys, in the names of `ldm`, each projection with its rank as alpha."""
    renamed = {}
    for key, value in state.items():
        path, role = key.removeprefix("unet.").rsplit(".lora_", 1)
        transformer, rest = path.split(".transformer_blocks.")
        module = f"lora_unet_{ldm.get(transformer, transformer)}.transformer_blocks.{rest}".replace(".", "_")
        renamed[f"{module}.lora_{'down' if role[0] == 'A' else 'up'}.weight"] = value
        renamed[f"{module}.alpha"] = torch.tensor(float(min(value.shape)))
    return renamed


def files(offsets: ForegroundOffsets, unet: Any) -> dict[str, dict[str, Tensor]]:
    lora = published_form(offsets, "diffusers", unet)
    forms = {form: published_form(offsets, form, unet) for form in ("dense", "forge")}
    forms |= {"diffusers": lora, "own": offsets.state_dict()}
    forms |= {spelling: respelled(lora, spelling) for spelling in (*OLDER, "processor")}
    forms |= {"kohya": kohya(lora, {}), "kohya in LDM's names": kohya(lora, ldm_names(unet))}
    forms["without prefix"] = {key.removeprefix("unet."): value for key, value in lora.items()}
    forms["forge diff"] = {
        key.replace("::lora::0", "::diff::0"): value @ forms["forge"][key.replace("::lora::0", "::lora::1")]
        for key, value in forms["forge"].items()
        if key.endswith("::lora::0")
    }
    return forms


FORMS = (
    *(*OLDER, "processor", "dense", "diffusers", "forge", "own", "without prefix", "forge diff"),
    *("kohya", "kohya in LDM's names"),
)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_loads_to_the_same_offsets(
    form: str, tiny: dict[str, Any], tiny_offsets: ForegroundOffsets, tmp_path: Path
) -> None:
    state = files(tiny_offsets, tiny["unet"])[form]
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "weights.safetensors")
    loaded = load_foreground(tmp_path / "weights.safetensors", tiny["unet"], show_progress=False)
    assert set(loaded()) == set(tiny_offsets())
    for path, offset in loaded().items():
        assert offset.low_rank and offset.down.weight.shape[0] == 4
        torch.testing.assert_close(offset.delta(), tiny_offsets.delta(path), atol=1e-5, rtol=1e-4)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_the_forms_are_told_apart_by_their_keys(tiny: dict[str, Any], tiny_offsets: ForegroundOffsets) -> None:
    forms = files(tiny_offsets, tiny["unet"])
    assert set(forms) == set(FORMS)
    keys = [frozenset(state) for state in forms.values()]
    assert len(set(keys)) == len(keys)
    path = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
    assert f"{path}.weight" in forms["dense"]
    assert f"unet.{path}.lora_A.weight" in forms["diffusers"]
    ldm = "diffusion_model.input_blocks.3.1.transformer_blocks.0.attn1.to_out.0.weight"
    assert forms["forge"][f"{ldm}::lora::0"].shape == (32, 4)
    assert forms["forge"][f"{ldm}::lora::1"].shape == (4, 32)


def test_ldm_names_of_sdxl() -> None:
    sdxl = SimpleNamespace(config=SimpleNamespace(block_out_channels=(320, 640, 1280), layers_per_block=2))
    names = ldm_names(sdxl)
    with_attention = {name: ldm for name, ldm in names.items() if not name.startswith(("down_blocks.0", "up_blocks.2"))}
    assert with_attention == {
        "down_blocks.1.attentions.0": "input_blocks.4.1",
        "down_blocks.1.attentions.1": "input_blocks.5.1",
        "down_blocks.2.attentions.0": "input_blocks.7.1",
        "down_blocks.2.attentions.1": "input_blocks.8.1",
        "mid_block.attentions.0": "middle_block.1",
        "up_blocks.0.attentions.0": "output_blocks.0.1",
        "up_blocks.0.attentions.1": "output_blocks.1.1",
        "up_blocks.0.attentions.2": "output_blocks.2.1",
        "up_blocks.1.attentions.0": "output_blocks.3.1",
        "up_blocks.1.attentions.1": "output_blocks.4.1",
        "up_blocks.1.attentions.2": "output_blocks.5.1",
    }


def test_diffusers_reads_the_lora_we_write_as_we_do(tmp_path: Path) -> None:
    """Users load the published LoRA with `load_lora_weights`; what we write must mean the same to it."""
    components = tiny_components()
    offsets = tiny_foreground(components["unet"])
    save_file(published_form(offsets, "diffusers", components["unet"]), tmp_path / "lora.safetensors")
    expected = copy.deepcopy(components["unet"])
    offsets.merge_into(expected)
    pipeline = StableDiffusionXLPipeline(**components)
    pipeline.load_lora_weights(tmp_path, weight_name="lora.safetensors")
    generator = torch.Generator().manual_seed(0)
    arguments = (torch.randn(2, 4, 8, 8, generator=generator), 500, torch.randn(2, 77, 40, generator=generator))
    condition = {"text_embeds": torch.randn(2, 24, generator=generator), "time_ids": torch.ones(2, 6)}
    with torch.no_grad():
        theirs = pipeline.unet(*arguments, added_cond_kwargs=condition).sample
        ours = expected(*arguments, added_cond_kwargs=condition).sample
    torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("place", ["forge", "diffusers", "metadata"])
def test_alpha_scales_the_offsets(place: str, tiny: dict[str, Any], tiny_offsets: ForegroundOffsets) -> None:
    unet = tiny["unet"]
    form = "forge" if place == "forge" else "diffusers"
    state = published_form(tiny_offsets, form, unet)
    metadata = {}
    if place == "forge":
        state |= {key[:-1] + "2": torch.tensor(2.0) for key in state if key.endswith("::lora::0")}
    elif place == "diffusers":
        state |= {key.replace("lora_A.weight", "alpha"): torch.tensor(2.0) for key in list(state) if "lora_A" in key}
    else:
        metadata = {"lora_adapter_metadata": json.dumps({"unet.r": 4, "unet.lora_alpha": 2})}
    loaded = offsets_from_state_dict(state, unet, metadata=metadata)
    for path in loaded():  # rank 4, alpha 2: half
        torch.testing.assert_close(loaded.delta(path), tiny_offsets.delta(path) / 2)


@pytest.mark.parametrize(
    "options",
    [
        {"lora_alpha": 3, "use_rslora": True},
        {"lora_alpha": 3, "alpha_pattern": {"attn1.to_q": 1, "mid_block.*.to_out.0": 8}},
        {"lora_alpha": 3, "rank_pattern": {"attn2.to_k": 2}, "use_rslora": True, "alpha_pattern": {"to_k": 1}},
    ],
    ids=["rslora", "alpha_pattern", "all"],
)
def test_a_lora_means_what_it_meant_to_peft(options: dict[str, Any], tmp_path: Path) -> None:
    """Saved by diffusers with PEFT's configuration, which decides how far up @ down is scaled."""
    base, trained = tiny_components()["unet"], tiny_components()["unet"]
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    trained.add_adapter(LoraConfig(r=4, target_modules=targets, init_lora_weights=False, **options))
    StableDiffusionXLPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(trained)),
        unet_lora_adapter_metadata=trained.peft_config["default"].to_dict(),
    )
    trained.fuse_lora()
    offsets = load_foreground(tmp_path / "pytorch_lora_weights.safetensors", base, show_progress=False)
    weights, merged = attention_projections(base), attention_projections(trained)
    assert set(offsets()) == set(weights)
    for path, linear in weights.items():
        torch.testing.assert_close(linear.weight + offsets.delta(path), merged[path].weight, atol=1e-6, rtol=1e-5)


def test_a_bias_of_zeros_is_no_obstacle(tiny: dict[str, Any], tiny_offsets: ForegroundOffsets) -> None:
    """The difference of two UNets' attentions has one for every output projection."""
    dense = published_form(tiny_offsets, "dense", tiny["unet"])
    biases = {k.replace(".weight", ".bias"): torch.zeros(len(v)) for k, v in dense.items() if "to_out.0" in k}
    assert biases and set(offsets_from_state_dict(dense | biases, tiny["unet"])()) == set(tiny_offsets())


def test_offsets_take_the_type_of_the_unet(tiny: dict[str, Any], tiny_offsets: ForegroundOffsets) -> None:
    unet = copy.deepcopy(tiny["unet"]).to(torch.bfloat16)
    state = {key: value.half() for key, value in published_form(tiny_offsets, "dense", unet).items()}
    loaded = offsets_from_state_dict(state, unet)
    assert loaded.dtype == torch.bfloat16
    for path, offset in loaded().items():
        error = (offset.delta() - tiny_offsets.delta(path)).norm() / tiny_offsets.delta(path).norm()
        assert offset.low_rank and error < 0.01


def test_a_dense_file_is_factored_once(
    tiny: dict[str, Any], tiny_offsets: ForegroundOffsets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, unet = tmp_path / "dense.safetensors", tiny["unet"]
    save_file(published_form(tiny_offsets, "dense", unet), file)
    monkeypatch.setenv("LAYERFUSION_CACHE", str(tmp_path / "cache"))
    factorings = []
    monkeypatch.setattr(load, "factored", lambda *given: factorings.append(given) or factored(*given))
    first = load_foreground(file, unet, show_progress=False)
    count = len(factorings)
    again = load_foreground(file, unet, show_progress=False)
    assert len(factorings) == count == len(tiny_offsets())
    assert again.dtype == unet.dtype and not any(p.requires_grad for p in again.parameters())
    for path in first():
        assert torch.equal(again.delta(path), first.delta(path))
    # Broken, or of another file, nothing that was kept is used.
    (kept,) = load.factored_folder(file, unet.dtype, 256).glob("*.safetensors")
    kept.write_bytes(b"broken")
    assert torch.equal(load_foreground(file, unet, show_progress=False).delta(path), first.delta(path))
    assert len(factorings) == 2 * count
    save_file({k: 2 * v for k, v in published_form(tiny_offsets, "dense", unet).items()}, file)
    doubled = load_foreground(file, unet, show_progress=False)
    torch.testing.assert_close(doubled.delta(path), 2 * first.delta(path))


def test_full_rank_offsets_stay_dense_and_can_be_written(tiny: dict[str, Any]) -> None:
    path = "mid_block.attentions.0.transformer_blocks.0.attn2.to_v"
    dense = torch.randn(32, 40, generator=torch.Generator().manual_seed(0))
    loaded = offsets_from_state_dict({f"{path}.weight": dense}, tiny["unet"])
    assert not loaded()[path].low_rank
    assert torch.equal(loaded.delta(path), dense)
    for form in ("dense", "diffusers", "forge"):
        again = offsets_from_state_dict(published_form(loaded, form, tiny["unet"]), tiny["unet"])
        torch.testing.assert_close(again.delta(path), dense)


@given(
    rows=st.integers(24, 96),
    columns=st.integers(24, 96),
    rank=st.integers(1, 10),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    size=st.sampled_from([1e-3, 1.0, 100.0]),
)
def test_the_rank_in_a_dense_matrix_is_found(
    rows: int, columns: int, rank: int, dtype: torch.dtype, size: float
) -> None:
    generator = torch.Generator().manual_seed(rows * columns + rank)
    low = torch.randn(rows, rank, generator=generator) @ torch.randn(rank, columns, generator=generator) * size
    stored = low.to(dtype)
    down, up = factored(stored, max_rank=16)
    assert down.shape == (rank, columns) and up.shape == (rows, rank)
    tolerance = max(1e-4, torch.finfo(dtype).eps / 2)
    assert (up @ down - stored.float()).norm() <= 1.01 * tolerance * stored.float().norm()


def test_more_rank_than_is_worthwhile_or_wanted_stays_dense() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(64, 48, generator=generator)
    assert torch.equal(factored(noise)[0], noise)
    rank_12 = torch.randn(64, 12, generator=generator) @ torch.randn(12, 48, generator=generator)
    assert len(factored(rank_12, max_rank=12)) == 2
    assert len(factored(rank_12, max_rank=11)) == 1
    down, up = factored(torch.zeros(64, 48))
    assert len(down) == 1 and (up @ down).abs().max() == 0


@pytest.mark.parametrize("inside", ["", "foreground"])
def test_a_saved_folder_loads(
    inside: str, tmp_path: Path, tiny: dict[str, Any], tiny_offsets: ForegroundOffsets
) -> None:
    tiny_offsets.save_pretrained(tmp_path / inside)
    loaded = load_foreground(tmp_path, tiny["unet"])
    assert all(torch.equal(loaded.delta(path), tiny_offsets.delta(path)) for path in tiny_offsets())
