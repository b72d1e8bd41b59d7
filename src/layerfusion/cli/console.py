"""What the commands say while they work: notes, progress bars, and silence from the libraries below."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeRemaining

from layerfusion.runs import Progress as RunProgress


def note(text: str) -> None:
    """One sentence on stderr that is no error."""
    Console(stderr=True, highlight=False).print("[yellow]note:[/] " + escape(text), soft_wrap=True)


def loading_bar() -> Progress:
    """A bar without an end, on stderr; nothing where that is no terminal."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def sampling_bar() -> Progress:
    """A bar of counted steps, on stderr; nothing where that is no terminal."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemaining(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class RunBar:
    """One bar for a whole run: a listener of `layerfusion.runs` that draws what it is told.

    Args:
        count: How many triplets the run makes.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.bar = sampling_bar()
        self.task = self.bar.add_task("Starting", total=None)

    def __enter__(self) -> "RunBar":
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def __call__(self, progress: RunProgress) -> None:
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
