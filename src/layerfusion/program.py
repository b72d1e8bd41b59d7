"""A program that a person types: what goes wrong is one sentence on stderr, never a traceback."""

import contextlib
import functools
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

import layerfusion
from layerfusion.errors import foreseen

PACKAGE = Path(layerfusion.__file__).parent
# What the options' parser raises: a usage error, or a wish for help. Its module is typer's own affair.
UsageError: type[Any] = typer.BadParameter.__mro__[1]
SILENT = {"--quiet", "-q", "--help", "-h"}


class OneSentence(TyperGroup):
    """A group of commands that ends well, whatever happens.

    What its options' parser complains of and what `layerfusion.errors` foresees become a sentence and exit code 2, our
    own warnings notes, Ctrl-C exit code 130; SIGTERM cleans up as Ctrl-C does. Our mistakes keep their traceback.
    """

    def main(self, args: Any = None, prog_name: Any = None, standalone_mode: bool = True, **more: Any) -> Any:  # type: ignore[override]
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **more)
        for stream in (sys.stdout, sys.stderr):
            # A terminal that cannot show a character shows its number.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        with contextlib.suppress(ValueError):  # not the main thread: its signals are not ours
            signal.signal(signal.SIGTERM, _leave)
        try:
            code = super().main(args, prog_name, standalone_mode=False, **more)
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
            else:
                command = error.ctx.command_path if error.ctx else self.name
                _say("[bold red]error:[/] ", f"{error.format_message().rstrip('.')}; see {command} --help.")
            sys.exit(error.exit_code)
        except typer.Abort:
            sys.exit(130)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _own_warnings_as_notes():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("[yellow]stopped[/]", "")
            raise typer.Exit(130) from None
        except Exception as error:
            sentence = foreseen(error)
            if sentence is None:
                raise
            _say("[bold red]error:[/] ", sentence)
            raise typer.Exit(2) from None


@contextlib.contextmanager
def starting(arguments: Sequence[str]) -> Iterator[None]:
    """A word on a terminal while a command is imported, which takes a slow machine half a second; then it is gone."""
    shown = sys.stderr.isatty() and SILENT.isdisjoint(arguments)
    if shown:
        typer.echo("Starting", nl=False, err=True)
    try:
        yield
    finally:
        if shown:
            typer.echo("\r        \r", nl=False, err=True)


def _leave(*_: object) -> None:
    # As an exception, so that temporary files are removed on the way out.
    raise SystemExit(128 + signal.SIGTERM)


@contextlib.contextmanager
def _own_warnings_as_notes() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module="layerfusion")
        warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
        yield


def _show_warning(
    otherwise: Callable[..., None], message: Warning | str, category: type[Warning], filename: str, *more: object
) -> None:
    """Show one of our own warnings as a note, any other as Python does."""
    if Path(filename).is_relative_to(PACKAGE):
        note(str(message))
    else:
        otherwise(message, category, filename, *more)


def note(text: str) -> None:
    """One sentence on stderr that is no error."""
    _say("[yellow]note:[/] ", text)


def _say(mark: str, text: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    # soft_wrap, and no line breaks from names of files: a sentence stays one line.
    line = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    Console(stderr=True, highlight=False).print(mark + escape(line), soft_wrap=True)
