import json
from pathlib import Path
from typing import Any

import pytest

from layerfusion import LayerFusionConfig
from layerfusion.errors import LayerFusionError
from layerfusion.models import PRESETS, Defaults, defaults_for
from layerfusion.models.hub import wanted_files
from layerfusion.models.presets import read_defaults


def test_presets_are_the_published_ones() -> None:
    assert list(PRESETS) == ["mini", "realvisxl", "sdxl"]
    realvis, sdxl = PRESETS["realvisxl"], PRESETS["sdxl"]
    assert realvis.base == "SG161222/RealVisXL_V4.0"
    assert realvis.foreground == "lllyasviel/LayerDiffuse_Diffusers:ld_diffusers_sdxl_attn.safetensors"
    assert realvis.transparent_decoder.endswith(":ld_diffusers_sdxl_vae_transparent_decoder.safetensors")
    assert realvis.defaults.steps == 25
    assert realvis.defaults.guidance_scale == 7
    assert realvis.defaults.negative_foreground.startswith("face asymmetry, eyes asymmetry")
    assert sdxl.half_vae == "madebyollin/sdxl-vae-fp16-fix"


def test_a_saved_pipelines_defaults_stand_in_its_index(tmp_path: Path) -> None:
    own = Defaults(steps=4, size=(128, 192), config=LayerFusionConfig(mask="cross"))
    (tmp_path / "model_index.json").write_text(json.dumps({"defaults": own.to_dict()}))
    assert read_defaults(tmp_path, Defaults(steps=9)) == own


def test_a_plain_sdxl_may_have_defaults_beside_it(tmp_path: Path) -> None:
    assert read_defaults(tmp_path, Defaults(steps=4)) == Defaults(steps=4)
    (tmp_path / "layerfusion.json").write_text(json.dumps({"guidance_scale": 3, "size": [128, 192]}))
    assert read_defaults(tmp_path, Defaults(steps=4)) == Defaults(steps=4, guidance_scale=3, size=(128, 192))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"speed": 3}', '{"steps": "many"}', '{"size": 128}', '{"size": [128]}', '{"steps": true}']
)
def test_broken_defaults_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "layerfusion.json").write_text(content)
    with pytest.raises(LayerFusionError, match=r"layerfusion\.json"):
        read_defaults(tmp_path, Defaults())


def test_defaults_of_a_preset_need_no_download() -> None:
    assert defaults_for("sdxl").size == (1024, 1024)


SDXL_FILES = [
    *("model_index.json", "README.md", "sd_xl_base_1.0.safetensors", "scheduler/scheduler_config.json"),
    *("tokenizer/vocab.json", "tokenizer/merges.txt", "unet/config.json", "unet/model.onnx"),
    *("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors"),
    *("unet/diffusion_pytorch_model.bin", "vae/config.json", "vae/diffusion_pytorch_model.safetensors"),
    "vae_1_0/diffusion_pytorch_model.fp16.safetensors",
]


def test_only_what_is_loaded_is_downloaded() -> None:
    assert wanted_files(SDXL_FILES, {"scheduler", "tokenizer", "unet", "vae"}) == [
        *("model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt"),
        *("unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"),
        *("vae/config.json", "vae/diffusion_pytorch_model.safetensors"),
    ]


class Hub:
    """A hub that answers, with what it has of one model."""

    def __init__(self, files: dict[str, str], folder: Path) -> None:
        self.files, self.folder = files, folder
        self.patterns: list[str] = []

    def model_info(self, repository: str, **_: Any) -> Any:
        siblings = [type("Sibling", (), {"rfilename": name}) for name in self.files]
        return type("Info", (), {"siblings": siblings})

    def download(self, repository: str, name: str, **_: Any) -> str:
        path = self.folder / name
        path.write_text(self.files[name])
        return str(path)

    def snapshot(self, repository: str, *, allow_patterns: list[str], **_: Any) -> str:
        self.patterns = allow_patterns
        return str(self.folder)


def answer(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub.download)
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot)


def test_a_model_is_fetched_by_its_components(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from layerfusion.models.hub import fetch_model

    index = json.dumps({"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"]})
    hub = Hub({"model_index.json": index, "unet/a.fp16.safetensors": "", "other/b.safetensors": ""}, tmp_path)
    answer(monkeypatch, hub)
    assert fetch_model("someone/model") == tmp_path
    assert hub.patterns == ["model_index.json", "unet/a.fp16.safetensors"]


def test_a_repository_without_a_pipeline_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from layerfusion.models.hub import fetch_model

    answer(monkeypatch, Hub({"lora.safetensors": ""}, tmp_path))
    with pytest.raises(LayerFusionError, match="not a model in diffusers' layout"):
        fetch_model("someone/lora")
