"""What a person reads when a command fails: one sentence, never a traceback."""

import functools
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

import layerfusion
from layerfusion.errors import LayerFusionError

PACKAGE = Path(layerfusion.__file__).parent
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def handle_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Wrap a command: LayerFusionError becomes a red line on stderr and exit code 2, Ctrl-C 130, SIGTERM 143.

    Our own warnings raised meanwhile are printed as notes on stderr.
    """

    @functools.wraps(command)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            with _terminable(), warnings.catch_warnings():
                warnings.filterwarnings("always", category=UserWarning, module="layerfusion")
                warnings.showwarning = functools.partial(_note, warnings.showwarning)
                return command(*args, **kwargs)
        except LayerFusionError as error:
            _say("[bold red]error:[/] ", str(error))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            _say("[yellow]stopped[/]", "")
            raise typer.Exit(130) from None

    return wrapped


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, by an exception: what was half written is removed on the way out."""

    def stop(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _note(
    otherwise: Callable[..., None],
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    *more: object,
) -> None:
    """Show one of our own warnings as a note, any other as Python does."""
    if Path(filename).is_relative_to(PACKAGE):
        _say("[yellow]note:[/] ", str(message))
    else:
        otherwise(message, category, filename, lineno, *more)


def _say(mark: str, text: str) -> None:
    # A name may hold line breaks, control characters and bytes that are no text: a sentence shows them escaped.
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    # soft_wrap: a sentence stays one line, however narrow the terminal says it is.
    Console(stderr=True, highlight=False).print(mark + escape(line), soft_wrap=True)
