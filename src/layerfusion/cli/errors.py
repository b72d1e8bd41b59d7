"""What a person reads when a command fails: one sentence, never a traceback."""

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from layerfusion.errors import LayerFusionError

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def handle_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Wrap a command: LayerFusionError becomes a red line on stderr and exit code 2, Ctrl-C exit code 130.

    Our own warnings raised meanwhile are printed as notes on stderr.
    """

    @functools.wraps(command)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            with warnings.catch_warnings(record=True) as notes:
                warnings.filterwarnings("always", category=UserWarning, module="layerfusion")
                result = command(*args, **kwargs)
        except LayerFusionError as error:
            _say("[bold red]error:[/] ", str(error))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            _say("[yellow]stopped[/]", "")
            raise typer.Exit(130) from None
        for text in dict.fromkeys(str(note.message) for note in notes if issubclass(note.category, UserWarning)):
            _say("[yellow]note:[/] ", text)
        return result

    return wrapped


def _say(mark: str, text: str) -> None:
    # soft_wrap: a sentence stays one line, however narrow the terminal says it is.
    Console(stderr=True, highlight=False).print(mark + escape(text), soft_wrap=True)
