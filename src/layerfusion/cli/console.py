"""What a person reads on stderr while a command works, and when it fails: notes, a bar, one sentence of an error."""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.progress import TimeRemainingColumn as TimeRemaining

import layerfusion
from layerfusion.errors import LayerFusionError
from layerfusion.runs import Progress

PACKAGE = Path(layerfusion.__file__).parent
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def note(text: str) -> None:
    """One sentence that is no error."""
    _say("[yellow]note:[/] ", text)


def _say(mark: str, text: str) -> None:
    # soft_wrap: a sentence stays one line, however narrow the terminal says it is.
    Console(stderr=True, highlight=False).print(mark + escape(text), soft_wrap=True)


def handle_errors(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Wrap a command: LayerFusionError becomes a red line and exit code 2, Ctrl-C exit code 130, never a traceback.

    Our own warnings raised meanwhile are printed as notes.
    """

    @functools.wraps(command)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("always", category=UserWarning, module="layerfusion")
                warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
                return command(*args, **kwargs)
        except LayerFusionError as error:
            _say("[bold red]error:[/] ", str(error))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            _say("[yellow]stopped[/]", "")
            raise typer.Exit(130) from None

    return wrapped


def _show_warning(
    otherwise: Callable[..., None], message: Warning | str, category: type[Warning], filename: str, *more: object
) -> None:
    """Show one of our own warnings as a note, any other as Python does."""
    if Path(filename).is_relative_to(PACKAGE):
        note(str(message))
    else:
        otherwise(message, category, filename, *more)


class RunBar:
    """One bar for a whole run, nothing where stderr is no terminal: a listener of `layerfusion.runs`.

    Args:
        count: How many triplets the run makes, where that is worth saying.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemaining())
        self.bar = Bar(*columns, *times, console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("Starting", total=None)

    def __enter__(self) -> "RunBar":
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def __call__(self, progress: Progress) -> None:
        what = progress.stage.capitalize()
        several = f" {progress.triplets} of {self.count}" if self.count > 1 and progress.triplets else ""
        self.bar.update(self.task, description=what + several, completed=progress.done, total=progress.total or None)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No advice, bars and warnings of transformers and diffusers meanwhile; their errors stay."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    levels = of_transformers.get_verbosity(), of_diffusers.get_verbosity()
    bar = of_transformers.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(?!layerfusion)")
        try:
            for logging in (of_transformers, of_diffusers):
                logging.set_verbosity_error()
                logging.disable_progress_bar()
            yield
        finally:
            of_transformers.set_verbosity(levels[0])
            of_diffusers.set_verbosity(levels[1])
            of_diffusers.enable_progress_bar()
            if bar:
                of_transformers.enable_progress_bar()
