"""Atomic writes: whole or not there."""

import os
import stat
from pathlib import Path

import pytest

from layerfusion.errors import LayerFusionError
from layerfusion.files import atomic_write


def test_the_target_appears_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    target = tmp_path / "new" / "picture.png"
    with atomic_write(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".png"
        temporary.write_bytes(b"all of it")
        assert not target.exists()
    assert target.read_bytes() == b"all of it"
    assert [entry.name for entry in target.parent.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_after_an_exception_the_folder_is_as_it_was(tmp_path: Path, interruption: type[BaseException]) -> None:
    target = tmp_path / "picture.png"
    target.write_bytes(b"before")
    with pytest.raises(interruption), atomic_write(target) as temporary:
        temporary.write_bytes(b"half")
        raise interruption
    assert target.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_overwriting_can_be_forbidden(tmp_path: Path) -> None:
    target = tmp_path / "picture.png"
    target.write_bytes(b"before")
    with pytest.raises(LayerFusionError, match="already exists"), atomic_write(target, overwrite=False):
        pass
    with atomic_write(target) as temporary:
        temporary.write_bytes(b"after")
    assert target.read_bytes() == b"after"


def test_an_unwritable_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(LayerFusionError, match="cannot be written to"), atomic_write(tmp_path / "file" / "picture.png"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_the_file_is_as_readable_as_an_ordinary_one(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    with atomic_write(tmp_path / "atomic") as temporary:
        temporary.touch()
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)
