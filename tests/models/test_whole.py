"""A folder in which something is missing, renamed, too much or a pickle is refused, and never drawn from at random."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from layerfusion.errors import LayerFusionError
from layerfusion.models import load_pipeline
from tests.models.tiny_files import tiny_pipeline


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "whole"
    tiny_pipeline().save_pretrained(folder)
    return folder


def tensors(part: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (file,) = (folder / part).glob("*.safetensors")
        weights = load_file(file)
        change(weights)
        save_file(weights, file, {"format": "pt"})

    return spoil


def lose(weights: dict) -> None:
    del weights[sorted(weights)[0]]


def lose_all(weights: dict) -> None:
    key = sorted(weights)[0]
    kept = weights.pop(key)
    weights.clear()
    weights["nothing"] = kept


def rename(weights: dict) -> None:
    weights["misspelled"] = weights.pop(sorted(weights)[0])


def remove(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        target = folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return spoil


def points_at_a_pickle(folder: Path) -> None:
    part = folder / "text_encoder"
    (part / "model.safetensors").unlink()
    (part / "pytorch_model.bin").write_bytes(b"\x80\x02}.")
    (part / "other.safetensors").write_bytes(b"")
    weight_map = {"weight_map": {"a": "pytorch_model.bin"}, "metadata": {}}
    (part / "model.safetensors.index.json").write_text(json.dumps(weight_map))


def length(tokenizer: str, longest: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        file = folder / tokenizer / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "model_max_length": longest}))

    return spoil


def deep(part: str, name: str, layers: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        file = folder / part / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), name: layers}))

    return spoil


def pipe_of(part: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (file,) = (folder / part).glob("*.safetensors")
        file.unlink()
        os.mkfifo(file)

    return spoil


PARTS = ("unet", "vae", "text_encoder", "text_encoder_2", "foreground", "transparent_decoder", "transparent_encoder")
SPOILT = {
    **{f"{part} {change.__name__}": (tensors(part, change), part) for part in PARTS for change in (lose, rename)},
    "text_encoder lose_all": (tensors("text_encoder", lose_all), "text_encoder"),
    **{
        name: (remove(name), name.split("/")[-1])
        for name in ("tokenizer/tokenizer_config.json", "tokenizer_2/tokenizer.json", "unet", "scheduler", "foreground")
    },
    "unet of 2³² layers": (deep("unet", "layers_per_block", 2**32), "for layers_per_block"),
    "unet of a deep level": (deep("unet", "transformer_layers_per_block", [1, 10**9, 1]), "for transformer_layers"),
    "decoder of 5,000 levels": (
        deep("transparent_decoder", "block_out_channels", [8] * 5000),
        "5000 entries for block",
    ),
    "text encoder of a billion layers": (deep("text_encoder", "num_hidden_layers", 10**9), "for num_hidden_layers"),
    "length that is no number": (length("tokenizer", {"x": 77}), "for model_max_length"),
    "prompts of 2³¹ tokens": (length("tokenizer_2", 2**31), "where text_encoder_2 reads 77 tokens"),
    "pipe": (pipe_of("transparent_decoder"), "is no ordinary file"),
    "pickle": (points_at_a_pickle, "names 'pytorch_model.bin'"),
}


def test_parts_that_do_not_fit_together_are_a_sentence(saved: Path, tmp_path: Path) -> None:
    from layerfusion.runs import Request, Session, generate

    shutil.copytree(saved, tmp_path / "odd")
    config = tmp_path / "odd" / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_train_timesteps": 0}))
    request = Request(foreground_prompt="a fox", background_prompt="a wall", model=str(tmp_path / "odd"), steps=1)
    with pytest.raises(LayerFusionError, match="do not fit together"):
        list(generate(Session.open(request), request))


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_not_whole_is_refused(name: str, saved: Path, tmp_path: Path) -> None:
    spoil, says = SPOILT[name]
    shutil.copytree(saved, tmp_path / "spoilt")
    spoil(tmp_path / "spoilt")
    with pytest.raises(LayerFusionError) as refused:
        load_pipeline(str(tmp_path / "spoilt"), device="cpu")
    assert says in str(refused.value) or "vocab.json" in str(refused.value)
    assert "\n" not in str(refused.value)
