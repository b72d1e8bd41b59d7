import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler
from safetensors.torch import save_file

from layerfusion.errors import LayerFusionError
from layerfusion.models import load_pipeline, locate
from layerfusion.models.load import choose_device, choose_dtype
from layerfusion.models.locate import fingerprint
from tests.models.tiny_files import (
    COMMIT,
    in_cache,
    read_tiny_transparency,
    save_layerdiffuse,
    save_sdxl,
    tiny_pipeline,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `layerfusion`, `sdxl` (with its UNet as fp16 variant only) and LayerDiffuse's files in `ld`."""
    folder = tmp_path_factory.mktemp("models")
    tiny_pipeline().save_pretrained(folder / "layerfusion")
    save_sdxl(folder / "sdxl", variant="fp16")
    save_layerdiffuse(folder / "ld")
    return folder


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty hub cache, and no hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_saved_pipeline_loads(saved: Path) -> None:
    pipeline = load_pipeline(str(saved / "layerfusion"), device="cpu")
    assert isinstance(pipeline.scheduler, EulerDiscreteScheduler)
    reference = tiny_pipeline().unet.state_dict()
    assert all(torch.equal(value, reference[key]) for key, value in pipeline.unet.state_dict().items())
    assert load_pipeline(str(saved / "layerfusion"), dtype="bfloat16", device="cpu").unet.dtype == torch.bfloat16


def test_a_model_without_a_few_step_lora_says_so(saved: Path) -> None:
    with pytest.raises(LayerFusionError, match="has no few-step LoRA"):
        load_pipeline(str(saved / "layerfusion"), device="cpu", few_step=True)


def test_the_few_step_lora_of_an_sdxl_comes_from_the_hub(saved: Path, cache: Path) -> None:
    snapshot = in_cache(cache, "latent-consistency/lcm-lora-sdxl")
    (snapshot / "pytorch_lora_weights.safetensors").write_bytes(b"a LoRA")
    weights = [str(path) for path in sorted((saved / "ld").glob("*_attn.safetensors"))]
    decoder = str(saved / "ld" / "ld_diffusers_sdxl_vae_transparent_decoder.safetensors")
    files = locate(str(saved / "sdxl"), weights[0], decoder, few_step=True)
    assert files.few_step == snapshot / "pytorch_lora_weights.safetensors"
    assert files.describe()["few_step_fingerprint"] == fingerprint(files.few_step)
    assert locate(str(saved / "sdxl"), weights[0], decoder).few_step is None


def test_layerdiffuse_goes_on_top_of_a_plain_sdxl(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from layerfusion.models.load import load

    read_tiny_transparency(monkeypatch)
    files = locate(
        str(saved / "sdxl"),
        str(saved / "ld" / "ld_diffusers_sdxl_attn.safetensors"),
        str(saved / "ld" / "ld_diffusers_sdxl_vae_transparent_decoder.safetensors"),
    )
    assert files.layout == "sdxl"
    assert files.variant == "fp16"
    assert files.on_top is not None and files.on_top.transparent_encoder is None
    pipeline = load(files, torch.float32, torch.device("cpu"))
    assert isinstance(pipeline.scheduler, DPMSolverMultistepScheduler)
    assert pipeline.scheduler.config.use_karras_sigmas
    expected = tiny_pipeline().foreground
    for path in expected():
        torch.testing.assert_close(pipeline.foreground.delta(path), expected.delta(path), atol=1e-4, rtol=1e-3)


def test_a_transparent_encoder_of_ones_own_goes_along(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from layerfusion.models.load import load

    read_tiny_transparency(monkeypatch)
    files = locate(
        str(saved / "sdxl"),
        foreground_weights=str(saved / "ld" / "ld_diffusers_sdxl_attn.safetensors"),
        transparent_decoder=str(saved / "ld" / "ld_diffusers_sdxl_vae_transparent_decoder.safetensors"),
        transparent_encoder=str(saved / "ld" / "ld_diffusers_sdxl_vae_transparent_encoder.safetensors"),
    )
    assert files.on_top is not None
    assert files.describe()["transparent_encoder_fingerprint"] == fingerprint(files.on_top.transparent_encoder)
    assert load(files, torch.float32, torch.device("cpu")).transparent_encoder is not None
    refused("mini", "brings its own foreground weights and transparent VAE", "", "", "encoder.safetensors")


@pytest.mark.parametrize(("dtype", "replaced"), [("float32", False), ("float16", True)])
def test_the_sdxl_preset_comes_from_the_cache(
    saved: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, replaced: bool
) -> None:
    read_tiny_transparency(monkeypatch)
    shutil.copytree(saved / "sdxl", in_cache(cache, "stabilityai/stable-diffusion-xl-base-1.0"), dirs_exist_ok=True)
    shutil.copytree(saved / "ld", in_cache(cache, "lllyasviel/LayerDiffuse_Diffusers"), dirs_exist_ok=True)
    vae = tiny_pipeline().vae
    torch.nn.init.constant_(vae.decoder.conv_out.bias, 0.25)
    vae.save_pretrained(in_cache(cache, "madebyollin/sdxl-vae-fp16-fix"))
    pipeline = load_pipeline("sdxl", dtype=dtype, device="cpu")
    assert bool((pipeline.vae.decoder.conv_out.bias == 0.25).all()) is replaced
    assert pipeline.unet.dtype == getattr(torch, dtype)
    assert pipeline.transparent_encoder is not None
    description = locate("sdxl").describe()
    assert description["name"] == "sdxl"
    assert description["revision"] == COMMIT


def test_what_is_neither_here_nor_reachable_says_how_to_get_it(cache: Path) -> None:
    with pytest.raises(
        LayerFusionError, match=r"hf download SG161222/RealVisXL_V4.0 --include .* --local-dir RealVisXL_V4.0"
    ):
        locate("realvisxl")


def test_a_single_file_says_which_configuration_it_needs(saved: Path, cache: Path, tmp_path: Path) -> None:
    from layerfusion.models.load import load

    # Enough keys to be taken for SDXL; without the hub, loading ends before any weight is looked at.
    keys = ("conditioner.embedders.0.transformer.x", "conditioner.embedders.1.model.transformer.x")
    save_file({key: torch.zeros(1) for key in keys}, tmp_path / "sdxl.safetensors")
    files = locate(
        str(tmp_path / "sdxl.safetensors"),
        str(saved / "ld" / "ld_diffusers_sdxl_attn.safetensors"),
        str(saved / "ld" / "ld_diffusers_sdxl_vae_transparent_decoder.safetensors"),
    )
    assert files.layout == "checkpoint"
    with pytest.raises(LayerFusionError, match="needs the configuration of SDXL"):
        load(files, torch.float32, torch.device("cpu"))


def test_the_mini_preset_says_when_its_weights_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dataclasses import replace

    from layerfusion.models import PRESETS

    monkeypatch.setitem(PRESETS, "mini", replace(PRESETS["mini"], base=str(tmp_path)))
    with pytest.raises(LayerFusionError, match="no embedded model"):
        load_pipeline("mini")


def refused(model: Path | str, says: str, *options: str) -> None:
    with pytest.raises(LayerFusionError, match=says):
        locate(str(model), *options)


def test_unknown_names_are_refused_with_the_nearest_preset() -> None:
    refused("minni", "did you mean 'mini'")
    refused("realvis", "did you mean 'realvisxl'")
    refused("checkpoints/none.safetensors", "there is no model")


def test_folders_that_are_no_model_are_refused(saved: Path, tmp_path: Path) -> None:
    refused(tmp_path, "no model_index.json")
    (tmp_path / "model_index.json").write_text("{")
    refused(tmp_path, "is not readable JSON")
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    refused(tmp_path, "holds a FluxPipeline")
    refused(saved / "layerfusion", "brings its own", "other.safetensors")
    refused(saved / "sdxl", "does not exist", "other.safetensors")


def test_files_that_are_no_checkpoint_are_refused(saved: Path, tmp_path: Path) -> None:
    refused(saved / "ld" / "ld_diffusers_sdxl_attn.safetensors", "not an SDXL checkpoint")
    file = tmp_path / "sd15.safetensors"
    save_file({"cond_stage_model.transformer.x": torch.zeros(1)}, file)
    refused(file, "Stable Diffusion 1 or 2")
    file = tmp_path / "model.ckpt"
    torch.save({"x": torch.zeros(1)}, file)
    refused(file, "is a pickle")


def test_a_folder_of_pickles_is_refused(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "layerfusion", tmp_path / "model")
    (tmp_path / "model/unet/diffusion_pytorch_model.safetensors").unlink()
    torch.save({}, tmp_path / "model/unet/diffusion_pytorch_model.bin")
    with pytest.raises(LayerFusionError, match=r"diffusion_pytorch_model\.bin is a pickle"):
        load_pipeline(str(tmp_path / "model"), device="cpu")


def test_a_folder_with_a_missing_or_foreign_part_is_refused(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "layerfusion", tmp_path / "model")
    weights = tmp_path / "model/vae/diffusion_pytorch_model.safetensors"
    shutil.copy(tmp_path / "model/unet/diffusion_pytorch_model.safetensors", weights)
    with pytest.raises(LayerFusionError, match=r"the vae of .* does not hold all its weights"):
        load_pipeline(str(tmp_path / "model"), device="cpu")
    weights.unlink()
    with pytest.raises(LayerFusionError, match=r"has no \.safetensors file"):
        load_pipeline(str(tmp_path / "model"), device="cpu")


def test_devices_and_types() -> None:
    best = choose_device(None)
    assert best.type == ("cuda" if torch.cuda.is_available() else best.type)
    assert choose_dtype(None, torch.device("cuda")) == torch.float16
    assert choose_dtype(None, torch.device("cpu")) == torch.float32
    for name in ("gpu", "cuda:x", "meta"):
        with pytest.raises(LayerFusionError, match="there is no device"):
            choose_device(name)
    with pytest.raises(LayerFusionError, match="there is no dtype"):
        choose_dtype("int8", best)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(LayerFusionError, match="no cuda device"):
        choose_device("cuda")


def test_there_is_nothing_to_offload_from_on_a_cpu(saved: Path) -> None:
    with pytest.raises(LayerFusionError, match="needs a GPU"):
        load_pipeline(str(saved / "layerfusion"), device="cpu", offload="model")


def test_the_fingerprint_follows_the_weights(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved / "layerfusion", tmp_path / "copy")
    before = fingerprint(tmp_path / "copy")
    assert before == fingerprint(saved / "layerfusion")
    (tmp_path / "copy" / "README.md").write_text("about")
    assert before == fingerprint(tmp_path / "copy")
    weights = tmp_path / "copy/vae/diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert before != fingerprint(tmp_path / "copy")
