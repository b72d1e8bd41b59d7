"""A bar on stderr while a command works."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.progress import TimeRemainingColumn as TimeRemaining

from layerfusion.runs import Progress


class RunBar:
    """One bar for a whole run, nothing where stderr is no terminal: a listener of `layerfusion.runs`.

    Args:
        count: How many triplets the run makes, where that is worth saying.
        quiet: Whether nothing is to be seen of it.
    """

    def __init__(self, count: int = 1, quiet: bool = False) -> None:
        self.count, self.quiet = count, quiet
        console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemaining())
        self.bar = Bar(*columns, *times, console=console, transient=True, disable=quiet or not console.is_terminal)
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
