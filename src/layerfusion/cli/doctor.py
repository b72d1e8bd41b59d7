"""`layerfusion doctor` and `layerfusion calibrate`: is this model as it should be, and what suits it?"""

from typing import Annotated, Any

import typer

from layerfusion.cli.console import RunBar
from layerfusion.cli.options import option_name, takes_a_model
from layerfusion.foregrounds import MAX_SEED
from layerfusion.runs import Request
from layerfusion.runs.quiet import quiet_libraries


@takes_a_model
def doctor(
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the triplet that is looked at.")] = 0, **asked: Any
) -> None:
    """Make one triplet and report what is wrong: files, type, memory, NaN, backdrop, border, fringe, masks, speed.

    The report can be pasted into an issue. Exits with code 1 where something is bad.
    """
    with RunBar() as bar, quiet_libraries():
        from layerfusion.runs import checkup

        report, well = checkup.doctor(Request.of_model(asked, option_name), seed, bar)
    typer.echo(report)
    raise typer.Exit(0 if well else 1)


@takes_a_model
def calibrate(
    count: Annotated[int, typer.Option(min=2, max=64, help="Foregrounds; each is blended six times.")] = 8,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the first; the others count up from it.")] = 0,
    save: Annotated[bool, typer.Option("--save", help="Keep the choice with the model, as its own defaults.")] = False,
    **asked: Any,
) -> None:
    """Measure which structure layer, masks and blend suit a model, by a few foregrounds of its own."""
    with RunBar() as bar, quiet_libraries():
        from layerfusion.runs import checkup

        report = checkup.calibrate(Request.of_model(asked, option_name), count, seed, save, bar)
    typer.echo(report)
