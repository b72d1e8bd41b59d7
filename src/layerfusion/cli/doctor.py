"""`layerfusion doctor`: is this model, on this machine, as it should be?"""

import platform
from typing import Annotated

import typer

from layerfusion.cli.console import RunBar, quiet_libraries
from layerfusion.cli.errors import handle_errors
from layerfusion.runs import Request

# One solid thing and one place, which a model that takes any words knows.
SUBJECT, PLACE = "a red apple", "a wooden table"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(handle_errors(doctor))


def doctor(
    model: Annotated[str, typer.Option("--model", "-m", help="As generate takes it.")] = "mini",
    device: Annotated[str | None, typer.Option(help="As generate takes it.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16.")] = None,
    foreground_weights: Annotated[str | None, typer.Option(help="As generate takes it.")] = None,
    transparent_decoder: Annotated[str | None, typer.Option(help="As generate takes it.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the triplet that is looked at.")] = 0,
) -> None:
    """Make one triplet and report what is wrong: files, type, memory, NaN, backdrop, border, fringe, masks, speed.

    The report can be pasted into an issue. Exits with code 1 where something is bad.
    """
    request = Request.checked(
        {
            "foreground_prompt": SUBJECT,
            "background_prompt": PLACE,
            "model": model,
            "device": device,
            "dtype": dtype,
            "foreground_weights": foreground_weights,
            "transparent_decoder": transparent_decoder,
        }
    )
    with quiet_libraries(), RunBar(1) as bar:
        from layerfusion.evaluation.doctor import examine, report
        from layerfusion.models.vocabulary import article
        from layerfusion.runs import Session
        from layerfusion.runs.record import versions

        session = Session.open(request, listener=bar)
        subject, place = SUBJECT, PLACE
        if session.vocabulary is not None:
            subject = article(next(entry.name for entries in session.vocabulary.objects.values() for entry in entries))
            place = article(session.vocabulary.scenes[0].name)
        findings = examine(session.pipeline, subject, place, seed)
    facts = {
        "model": f"{session.model.name} ({session.model.fingerprint})",
        "triplet": f"{subject} / {place}, seed {seed}",
        "system": f"{platform.system()} {platform.machine()}, {session.device}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    typer.echo(report(findings, facts))
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)
