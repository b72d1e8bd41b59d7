"""Atomic writes: whole or not there."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import layerfusion
from layerfusion.errors import LayerFusionError, foreseen
from layerfusion.files import atomic_folder, atomic_write, claimed, sweep


def test_the_target_appears_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    target = tmp_path / "new" / "picture.png"
    with atomic_write(target) as temporary:
        assert temporary.name == target.name and temporary.is_relative_to(target.parent)
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
@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_write_that_the_system_stops_names_its_target(tmp_path: Path) -> None:
    import resource

    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, former[1]))
    try:
        with pytest.raises(OSError) as stopped, atomic_write(tmp_path / "large.png") as path:
            path.write_bytes(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert foreseen(stopped.value) == f"{tmp_path / 'large.png'}: File too large; make room, or choose another place."
    with pytest.raises(OSError) as missing, atomic_folder(tmp_path / "folder") as folder:
        (folder / "none" / "file").touch()
    assert missing.value.filename == str(tmp_path / "folder")  # and not the workplace, of which nobody knows
    with pytest.raises(OSError) as source, atomic_write(tmp_path / "large.png"):
        (tmp_path / "source.png").read_bytes()
    assert Path(source.value.filename).name == "source.png"
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_as_readable_as_an_ordinary_one(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    with atomic_write(tmp_path / "atomic") as temporary:
        temporary.touch()
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE(ordinary.stat().st_mode)


def test_a_link_is_followed_and_one_to_nothing_refused(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"before")
    (tmp_path / "link.png").symlink_to("real.png")
    with atomic_write(tmp_path / "link.png") as temporary:
        temporary.write_bytes(b"after")
    assert (tmp_path / "link.png").is_symlink() and (tmp_path / "real.png").read_bytes() == b"after"
    (tmp_path / "dangling").symlink_to("gone")
    with pytest.raises(LayerFusionError, match="is a link to nothing"), atomic_write(tmp_path / "dangling"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["dangling", "link.png", "real.png"]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"])
def test_names_that_no_file_can_have_are_one_sentence(name: str, tmp_path: Path) -> None:
    for write in (atomic_write, atomic_folder):
        with pytest.raises(LayerFusionError, match=r"cannot be used") as caught, write(tmp_path / name):
            pass
        assert len(str(caught.value)) < 250 and str(caught.value).isprintable()


def test_a_name_of_255_bytes_is_written(tmp_path: Path) -> None:
    with atomic_write(tmp_path / ("ü" * 125 + ".json")) as temporary:
        temporary.write_text("{}")
    with atomic_folder(tmp_path / ("f" * 255)) as folder:
        (folder / "a").touch()
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for write, place in (
        (atomic_write, "pipe"),
        (atomic_folder, "pipe"),
        (atomic_write, "folder"),
        (atomic_folder, "file"),
    ):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "file").touch()
        with pytest.raises(LayerFusionError, match="choose another name"), write(tmp_path / place):
            pass
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "pipe"]


def test_a_folder_takes_the_place_of_another_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for text in ("one", "two"):
        with atomic_folder(target) as folder:
            (folder / text).write_text(text)
        assert os.listdir(target) == [text]
    with pytest.raises(LayerFusionError, match="already exists"), atomic_folder(target, overwrite=False):
        pass
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:
        (folder / "three").touch()
        raise RuntimeError
    assert os.listdir(target) == ["two"] and os.listdir(tmp_path) == ["folder"]


def test_of_two_that_may_not_overwrite_one_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "picture.png"
    with pytest.raises(LayerFusionError, match="already exists"), atomic_write(target, overwrite=False) as mine:
        mine.write_bytes(b"mine")
        with atomic_write(target, overwrite=False) as theirs:
            theirs.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"


def test_what_is_held_is_not_swept(tmp_path: Path) -> None:
    """A second process, as it were: locks belong to whoever opened the file."""
    (tmp_path / ".layerfusion-left" / "new").mkdir(parents=True)
    (tmp_path / ".layerfusion-left" / "old").mkdir()
    (tmp_path / ".layerfusion-left" / "old" / "poster").write_text("precious")
    with atomic_write(tmp_path / "picture.png") as temporary:
        temporary.write_bytes(b"all of it")
        assert (tmp_path / "poster").read_text() == "precious"
        sweep(tmp_path)
        assert temporary.exists()
    assert sorted(os.listdir(tmp_path)) == ["picture.png", "poster"]


def test_a_folder_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with pytest.raises(LayerFusionError, match="already exists"), atomic_folder(target, overwrite=False) as mine:
        (mine / "mine").touch()
        with atomic_folder(target, overwrite=False) as theirs:
            (theirs / "theirs").touch()
    assert os.listdir(target) == ["theirs"] and os.listdir(tmp_path) == ["folder"]


def test_of_two_runs_the_second_is_told_of_the_first(tmp_path: Path) -> None:
    target = tmp_path / "new" / ("f" * 255)
    first = rf"another run .*\(process {os.getpid()} since \d\d:\d\d\)"
    with claimed(target):
        with pytest.raises(LayerFusionError, match=first), claimed(target):
            pass
        with claimed(tmp_path / "new" / "other"), atomic_folder(target) as folder:
            (folder / "a").touch()
    assert os.listdir(tmp_path / "new") == [target.name]
    with claimed(tmp_path / "never" / "written"):
        pass
    assert os.listdir(tmp_path) == ["new"]


@pytest.mark.skipif(os.name != "posix", reason="locks are POSIX")
def test_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(layerfusion.__file__).parents[1])!r})\n"
        "from layerfusion.files import claimed\n"
        f"with claimed({str(tmp_path / 'target')!r}): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stdout.readline() == "held\n"
        with pytest.raises(LayerFusionError, match=f"process {running.pid}"), claimed(tmp_path / "target"):
            pass
        running.send_signal(signal.SIGKILL)
    assert len(os.listdir(tmp_path)) == 1
    with claimed(tmp_path / "target"):
        pass
    assert os.listdir(tmp_path) == []
