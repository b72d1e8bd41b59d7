"""One sentence for whatever a user can mend, whoever raised it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from layerfusion import LayerFusionError
from layerfusion.cli import app
from layerfusion.program import PACKAGE, OneSentence

SOURCE = str(Path(__file__).parents[1] / "src")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "a", "b", "--steps", "ten"], "'--steps'"),
        (["generate", "a", "b", "--mask", "both"], "--mask"),
        (["generate", "a", "b", "c"], "c"),
        (["export"], "SOURCE"),
        (["paint"], "paint"),
    ],
)
def test_a_wrong_option_gets_a_sentence(arguments: list[str], says: str) -> None:
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: ") and line.endswith("--help.") and says.lower() in line.lower()


def test_no_command_shows_the_help() -> None:
    ran = CliRunner().invoke(app, [])
    assert ran.exit_code == 2 and "generate" in ran.output


def program(fail: Callable[[], None]) -> typer.Typer:
    """One with a single command."""
    made = typer.Typer(name="tiny", cls=OneSentence)
    made.callback()(lambda: None)
    made.command("fail")(fail)
    return made


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (LayerFusionError("the size is [odd]; give another."), 2, "error: the size is [odd]; give another.\n"),
        (MemoryError(), 2, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "not enough memory"),
        (OSError(28, "No space left on device", "/full/disk"), 2, "/full/disk: No space left on device; make room"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_what_a_user_can_mend_gets_a_sentence(error: BaseException, code: int, says: str) -> None:
    def fail() -> None:
        raise error

    ran = CliRunner().invoke(program(fail), ["fail"])
    assert ran.exit_code == code and says in ran.stderr and "Traceback" not in ran.output
    assert len(ran.stderr.splitlines()) == 1 and ran.stdout == ""


def test_our_own_mistakes_keep_their_traceback() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(program(fail), ["fail"]).exception, ZeroDivisionError)


def test_our_own_warnings_are_notes_and_those_of_others_are_not() -> None:
    def fail() -> None:
        warnings.warn_explicit(
            "a colour is lost.", UserWarning, str(PACKAGE / "layers" / "a.py"), 1, "layerfusion.layers.a"
        )
        warnings.warn_explicit("theirs", UserWarning, "elsewhere.py", 1, "elsewhere")

    with pytest.warns(UserWarning, match="theirs"):
        ran = CliRunner().invoke(program(fail), ["fail"])
    assert ran.exit_code == 0 and ran.stderr == "note: a colour is lost.\n"


def test_module_and_command_are_one() -> None:
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    command = [sys.executable, "-m", "layerfusion", "--version"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("layerfusion 0.")


def test_a_terminal_of_ascii_is_no_reason_to_fail(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": SOURCE, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "layerfusion", "vocabulary"]
    ran = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    command = [sys.executable, "-m", "layerfusion", "show", "日本"]
    ran = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ran.returncode == 2 and b"does not exist" in ran.stderr and b"Traceback" not in ran.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name == "nt", reason="needs POSIX signals")
def test_sigterm_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import sys, time, typer\n"
        "from layerfusion.files import atomic_write\n"
        "from layerfusion.program import OneSentence\n"
        "app = typer.Typer(cls=OneSentence)\n"
        "app.callback()(lambda: None)\n"
        "def write():\n"
        "    with atomic_write('target.png') as path:\n"
        "        path.write_text('half'); print('ready', flush=True); time.sleep(60)\n"
        "app.command('write')(write)\n"
        "app(['write'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    running = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    assert running.stdout is not None and running.stdout.readline() == b"ready\n"
    assert list(tmp_path.iterdir())
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=20) == 143
    deadline = time.monotonic() + 5
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.stdout.close()
    assert list(tmp_path.iterdir()) == []


def on_a_terminal(*words: str) -> str:
    """All that the command shows where its streams are a terminal."""
    import pty

    terminal, other = pty.openpty()
    with subprocess.Popen([sys.executable, "-m", "layerfusion", *words], stdout=other, stderr=other) as running:
        os.close(other)
        shown = b""
        with contextlib.suppress(OSError):  # its end, on Linux
            while piece := os.read(terminal, 4096):
                shown += piece
    os.close(terminal)
    assert running.returncode == 2
    return shown.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_the_first_word_comes_before_the_imports() -> None:
    refused = ["generate", "a fox", "a forest", "--size", "100x64"]
    shown = on_a_terminal(*refused)
    assert shown.startswith("Starting\r")
    quiet = on_a_terminal(*refused, "--quiet")
    assert "Starting" not in quiet
    assert shown.endswith(quiet)
