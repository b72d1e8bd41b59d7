"""Is a model's folder whole: every file there, every tensor in its place, and no pickle among them?

Its libraries are lenient. A tensor that is missing is drawn at random, one that nobody asks for is left out, and a
tokenizer without its settings cuts and pads in another way: each time there is a picture, and it is not the model's.
"""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from layerfusion.errors import LayerFusionError, shown, told
from layerfusion.files import look
from layerfusion.models.hub import is_half
from layerfusion.models.locate import ModelFiles
from layerfusion.models.presets import read_json
from layerfusion.weights import PICKLES

# Names under which older releases saved the same tensors, and what they no longer save.
RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
GONE = ("position_ids",)
AGAIN = "download or save it again."


def check_files(path: Path) -> None:
    """Refuse a model's folder in which files are missing or pickles, before anything is loaded from it.

    Raises:
        LayerFusionError: it names what.
    """
    if not path.is_dir():
        return
    index = read_json(path / "model_index.json")
    for file in path.glob("*/*"):
        _check_ordinary(file)
    for name, entry in index.items():
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(each, str) for each in entry)):
            continue
        if Path(name).name != name or not (path / name).is_dir():
            raise LayerFusionError(f"{path} has no {name}, which its model_index.json names; {AGAIN}")
        _check_part(path / name)
        if "Tokenizer" in entry[1]:
            _check_tokenizer(path / name)


def _check_ordinary(file: Path) -> None:
    """Its libraries would wait for whoever writes to a pipe."""
    found = look(file)
    if found is None or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise LayerFusionError(f"{file} is no ordinary file; {AGAIN}")


def _check_part(part: Path) -> None:
    """No pickle is the only form of its weights, and an index of several files names files that are here."""
    names = [file.name for file in part.iterdir()]
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles and not any(name.endswith(".safetensors") for name in names):
        raise LayerFusionError(
            f"{part / pickles[0]} is a pickle, which can run any code when opened; take the model's .safetensors files."
        )
    if "config.json" in names and not any(name.endswith(".safetensors") for name in names):
        raise LayerFusionError(f"{part} has no .safetensors file, which its weights would be in; {AGAIN}")
    for index in part.glob("*.index.json"):
        if ".safetensors" not in index.name:
            continue
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
            raise LayerFusionError(f"{index} does not say which file holds which tensor; {AGAIN}")
        for shard in sorted(set(shards.values())):
            if shard not in names or not shard.endswith(".safetensors"):
                raise LayerFusionError(
                    f"{index} names {shown(shard)}, which is no .safetensors file beside it; {AGAIN}"
                )
    if "config.json" in names:
        _check_depth(part)


def _check_depth(part: Path) -> None:
    """No more layers or levels than tensors: its library builds as many as the settings say, until memory is full."""
    tensors = len(_held(part, None)) + len(_held(part, "fp16"))
    for name, value in read_json(part / "config.json").items():
        if isinstance(value, list) and len(value) > tensors:
            said = f"{part / 'config.json'} has {len(value)} entries for {name}"
            raise LayerFusionError(f"{said}, with {tensors} tensors beside it; {AGAIN}")
        if "layers" not in name:
            continue
        for layers in value if isinstance(value, list) else [value]:
            if type(layers) in (int, float) and layers > tensors:
                said = f"{part / 'config.json'} says {str(layers)[:40]} for {name}"
                raise LayerFusionError(f"{said}, with {tensors} tensors beside it; {AGAIN}")


def _check_tokenizer(part: Path) -> None:
    """The words, how they are joined, and the settings: in one file and its settings, or in the four older ones."""
    whole = ["tokenizer.json", "tokenizer_config.json"]
    older = ["vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"]
    wanted = whole if (part / "tokenizer.json").exists() else older
    for name in wanted:
        if not (part / name).is_file():
            raise LayerFusionError(f"{part} has no {name}, without which it reads prompts in another way; {AGAIN}")
    settings = part / "tokenizer_config.json"
    longest = read_json(settings).get("model_max_length", 1)
    if type(longest) not in (int, float) or not longest >= 1:
        raise LayerFusionError(f"{settings} says {shown(longest)} for model_max_length, which is no length; {AGAIN}")
    # Prompts are padded to that many tokens, whatever memory they take.
    encoder = part.with_name(part.name.replace("tokenizer", "text_encoder")) / "config.json"
    positions = read_json(encoder).get("max_position_embeddings") if encoder.is_file() else None
    if type(positions) is int and longest > positions:
        said = f"{settings} says {shown(longest)} for model_max_length"
        raise LayerFusionError(f"{said}, where {encoder.parent.name} reads {positions} tokens; {AGAIN}")


def check_tensors(files: ModelFiles, components: Mapping[str, Any], half: bool) -> None:
    """Refuse a loaded model that has tensors its files do not hold, or whose files hold tensors that it has not.

    Args:
        files: What it was loaded from.
        components: Its parts, by name.
        half: Whether it is in float16, for which another VAE may have been taken.

    Raises:
        LayerFusionError: it names the part and a tensor.
    """
    from torch import nn  # only now: files are checked before torch is imported

    for name, part in components.items():
        if not isinstance(part, nn.Module):
            continue
        if any(weight.is_meta for weight in part.parameters()):
            raise LayerFusionError(
                f"the {name} of {files.name} does not hold all its weights, or those of something else; {AGAIN}"
            )
        replaced = files.half_vae if half and name == "vae" else None
        held = _held(replaced or files.path / name, files.variant)
        if not held:
            continue  # it came in one file with the others, or was put on top: its loader has looked
        own = {_modern(key) for key in part.state_dict() if not key.endswith(GONE)}
        if lost := sorted(own - held):
            raise LayerFusionError(f"the {name} of {files.name} lacks {len(lost)} of its tensors ({lost[0]}); {AGAIN}")
        if foreign := sorted(held - own):
            raise LayerFusionError(
                f"the {name} of {files.name} holds {len(foreign)} tensors that its configuration has no place for "
                f"({foreign[0]}); {AGAIN}"
            )


def _held(folder: Path, variant: str | None) -> set[str]:
    """The names of the tensors in a part's files, of the form of them that is loaded."""
    found = sorted(folder.glob("*.safetensors"))
    halves = [file for file in found if is_half(file.name)]
    chosen = halves if variant and halves else [file for file in found if file not in halves]
    keys: set[str] = set()
    for file in chosen:
        try:
            with safe_open(file, framework="np") as weights:  # names alone, before torch is there
                keys.update(map(_modern, weights.keys()))
        except (SafetensorError, OSError) as error:
            raise LayerFusionError(f"{file} is not a whole safetensors file ({told(error)}); {AGAIN}") from None
    return {key for key in keys if not key.endswith(GONE)}


def _modern(key: str) -> str:
    key = key.removeprefix("text_model.")
    for old, new in RENAMED.items():
        key = key.replace(old, new)
    return key
