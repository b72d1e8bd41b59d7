"""Files of weights: found where they are, refused in one sentence where they are not what they should be."""

from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from safetensors.torch import save_file

from layerfusion import weights
from layerfusion.weights import WeightsError, find_weights, read_weights


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "whole.safetensors"
    save_file({"a": torch.arange(64.0)}, path, metadata={"made": "here"})
    return path


def test_a_whole_file_is_read_with_its_metadata(whole: Path) -> None:
    tensors, metadata = read_weights(whole)
    assert torch.equal(tensors["a"], torch.arange(64.0))
    assert metadata == {"made": "here"}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("weights.safetensors", b"", "is empty; download it again"),
        ("weights.safetensors", b"\x08\x00\x00", "is not a whole safetensors file"),
        ("weights.safetensors", b'{"prompt": "a fox"}', "is a text file"),
        ("weights.safetensors", b"<!DOCTYPE html><html></html>", "is a text file"),
        ("weights.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a Git LFS pointer"),
        ("weights.safetensors", b"PK\x03\x04 a zip, as torch.save writes", "is a pickle"),
        ("weights.safetensors", b"\x80\x02}q\x00.", "is a pickle"),
        ("weights.ckpt", b"anything", "is a pickle"),
        ("weights.bin", b"anything", "is a pickle"),
    ],
)
def test_what_is_not_safetensors_is_named(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=sentence) as error:
        read_weights(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [5, 40, 200])
def test_a_file_cut_short_is_refused(keep: int, whole: Path) -> None:
    whole.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="is not a whole safetensors file"):
        read_weights(whole)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        read_weights(tmp_path / "none.safetensors")


def test_a_file_or_a_folder_with_one_file_is_found(whole: Path) -> None:
    assert find_weights(whole) == whole
    assert find_weights(str(whole.parent)) == whole
    save_file({}, whole.parent / "other.safetensors")
    with pytest.raises(WeightsError, match=r"holds other.safetensors, whole.safetensors; name the file itself"):
        find_weights(whole.parent)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("no/such/folder/weights.safetensors", "does not exist"),
        ("weights.safetensors", "does not exist"),
        ("folder/weights.safetensors", "does not exist"),
        ("folder/weights.ckpt", "does not exist"),
        ("owner/name", "name the file too: owner/name:file.safetensors"),
        ("owner/name:weights.ckpt", "is a pickle"),
    ],
)
def test_sources_that_lead_nowhere_are_refused(source: str, sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence):
        find_weights(source)


def test_hub_files_are_downloaded_by_name_or_by_their_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repository, file, **_: f"cache/{repository}/{file}")
    monkeypatch.setattr(weights, "hub_answers", lambda repository: True)
    files = {"owner/name": "known.safetensors"}
    assert find_weights("owner/name", files) == Path("cache/owner/name/known.safetensors")
    assert find_weights("owner/name:other.safetensors", files) == Path("cache/owner/name/other.safetensors")


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (LocalEntryNotFoundError("offline"), "is not on this machine and the hub cannot be reached"),
        (EntryNotFoundError("404"), "on the hub has no file weights.safetensors"),
        (HFValidationError("bad"), "There is no repository owner/name"),
        (OSError("disk full"), r"cannot be downloaded \(disk full\)"),
    ],
)
def test_hub_failures_are_sentences(failure: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(repository: str, file: str, local_files_only: bool) -> str:
        raise failure

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    monkeypatch.setattr(weights, "hub_answers", lambda repository: True)
    with pytest.raises(WeightsError, match=sentence):
        find_weights("owner/name:weights.safetensors")


def test_offline_without_a_cached_file_is_a_sentence() -> None:
    with pytest.raises(WeightsError, match="cannot be reached"):
        find_weights("layerfusion-tests/no-such-repository:weights.safetensors")
