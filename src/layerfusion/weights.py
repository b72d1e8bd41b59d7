"""A file of weights, from wherever a user names it: found, checked, read. Safetensors only."""

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from layerfusion.errors import LayerFusionError, told
from layerfusion.files import at_home, look, open_file

if TYPE_CHECKING:
    from torch import Tensor

PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")


class WeightsError(LayerFusionError):
    """A file of weights that is missing, broken, or not what it is taken for."""


def find_weights(source: str | Path, files: dict[str, str] | None = None) -> Path:
    """The file that `source` means.

    Args:
        source: a file; a folder with one safetensors file; `owner/name:file.safetensors` on the hub; or `owner/name`,
            where `files` says which file of that repository to take.
        files: hub repository -> the file to take where the source names none.

    Raises:
        WeightsError: there is no such file, or more than one.
    """
    path = at_home(source)
    found = look(path)
    if found is not None and not stat.S_ISDIR(found.st_mode):
        return path
    if found is not None:
        files_in = sorted(path.glob("*.safetensors"))
        if len(files_in) != 1:
            names = ", ".join(file.name for file in files_in) or "none"
            raise WeightsError(f"{path} should hold one safetensors file and holds {names}; name the file itself.")
        return files_in[0]
    repository, _, file = str(source).partition(":")
    file = file or (files or {}).get(repository, "")
    if repository.count("/") != 1 or (path.suffix in (".safetensors", *PICKLES) and not file):
        raise WeightsError(f"{source} does not exist; give a safetensors file, or owner/name:file.safetensors.")
    if not file:
        raise WeightsError(f"{source} is no folder; of a hub repository name the file too: {source}:file.safetensors.")
    _refuse_pickle(Path(file))
    return _download(repository, file)


def hub_answers(repository: str) -> bool:
    """Whether the hub can be asked for a repository. Its own client tries a file six times before it says so."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        HfApi().model_info(repository, timeout=10)
    except (HfHubHTTPError, HFValidationError):
        pass  # an answer, though not the one wished for
    except Exception:
        # None, in whatever way the hub's HTTP library of the day says so.
        return False
    return True


def _download(repository: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(hf_hub_download(repository, file, local_files_only=not hub_answers(repository)))
    except LocalEntryNotFoundError:
        raise WeightsError(
            f"{repository}:{file} is not on this machine and the hub cannot be reached; give a file instead."
        ) from None
    except EntryNotFoundError:
        raise WeightsError(f"{repository} on the hub has no file {file}; check the name.") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise WeightsError(
            f"There is no repository {repository} on the hub that you can read; check the name."
        ) from None
    except OSError as error:
        raise WeightsError(f"{repository}:{file} cannot be downloaded ({told(error)}); give a file instead.") from None


def read_weights(path: Path) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """The tensors of a safetensors file (mapped from the file, on the CPU) and its metadata.

    Raises:
        WeightsError: the file is missing, a pickle, a Git LFS pointer, empty, cut short, or something else.
    """
    if look(path) is None:
        raise WeightsError(f"{path} does not exist; check the name.")
    with open_file(path) as file:
        start = file.read(64)
    if not start:
        raise WeightsError(f"{path} is empty; download it again.")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights themselves; fetch them with git lfs pull.")
    _refuse_pickle(path, start)
    try:
        with safe_open(path, framework="pt", device="cpu") as weights:
            return {key: weights.get_tensor(key) for key in weights.keys()}, weights.metadata() or {}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        text = start.lstrip()
        if text[:1] in (b"{", b"[", b"<"):
            raise WeightsError(f"{path} is a text file, not weights; give the safetensors file itself.") from None
        raise WeightsError(f"{path} is not a whole safetensors file ({told(error)}); download it again.") from None


def _refuse_pickle(path: Path, start: bytes = b"") -> None:
    if path.suffix in PICKLES or start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise WeightsError(
            f"{path} is a pickle, which can run any code when opened; take the .safetensors file of the same weights."
        )
