"""Whole models from the hub: only the files that are loaded, and one sentence where it cannot be reached."""

import json
from pathlib import Path

from layerfusion.errors import LayerFusionError


def fetch_model(repository: str, revision: str | None = None) -> Path:
    """The folder of a model in diffusers' layout, downloaded where it is not in the cache.

    Of weights stored both ways only the half-precision variant is fetched.

    Raises:
        LayerFusionError: there is no such repository, it holds no model of diffusers, or it is neither on this machine
            nor can it be fetched.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        info = HfApi().model_info(repository, revision=revision, timeout=20)
    except (RepositoryNotFoundError, HFValidationError):
        raise LayerFusionError(
            f"there is no model {repository} on the hub that you can read; check the name, or run `hf auth login`."
        ) from None
    except Exception:
        # No answer, in whatever way the hub's HTTP library of the day says so: only the cache is left.
        return _cached(repository, revision)
    files = [entry.rfilename for entry in info.siblings or []]
    if "model_index.json" not in files:
        raise LayerFusionError(f"{repository} on the hub is not a model in diffusers' layout; choose another.")
    index = json.loads(Path(hf_hub_download(repository, "model_index.json", revision=revision)).read_text())
    components = {name for name, entry in index.items() if isinstance(entry, list)}
    return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted_files(files, components)))


def wanted_files(files: list[str], components: set[str]) -> list[str]:
    """Which files of a repository are loaded: configurations, vocabularies, one safetensors form of each part."""
    wanted = []
    for file in files:
        folder, _, name = file.rpartition("/")
        if folder and folder not in components:
            continue
        if name.endswith((".json", ".txt")) or (folder and name.endswith(".safetensors")):
            wanted.append(file)
    in_half = {file.rpartition("/")[0] for file in wanted if is_half(file)}
    return [
        file
        for file in wanted
        if not file.endswith(".safetensors") or is_half(file) == (file.rpartition("/")[0] in in_half)
    ]


def is_half(file: str) -> bool:
    """Whether the name is that of a half-precision variant (`….fp16.safetensors`, also in shards)."""
    return file.endswith(".safetensors") and ".fp16" in file


def _cached(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        folder = repository.rpartition("/")[2]
        raise LayerFusionError(
            f"{repository} is not on this machine and the hub cannot be reached; where there is a network, run "
            f"`hf download {repository} --include model_index.json '*/*.json' '*/*.txt' '*/*.safetensors' --local-dir "
            f"{folder}`, and give that folder as the model."
        ) from None
