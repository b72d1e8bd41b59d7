"""`layerfusion doctor`: is this model, on this machine, as it should be?"""

import platform
from typing import Annotated, Any

import typer

from layerfusion.cli.console import RunBar
from layerfusion.cli.options import option_name, takes_a_model
from layerfusion.runs import Request
from layerfusion.runs.quiet import quiet_libraries
from layerfusion.runs.record import versions

# One solid thing and one scene, which a model that takes any words knows.
SUBJECT, SCENE = "a red apple", "a wooden table"


@takes_a_model
def doctor(
    seed: Annotated[int, typer.Option(min=0, help="Of the triplet that is looked at.")] = 0, **asked: Any
) -> None:
    """Make one triplet and report what is wrong: files, type, memory, NaN, backdrop, border, fringe, masks, speed.

    The report can be pasted into an issue. Exits with code 1 where something is bad.
    """
    request = Request.checked({"foreground_prompt": SUBJECT, "background_prompt": SCENE, **asked}, option_name)
    with RunBar() as bar, quiet_libraries():
        from layerfusion.evaluation.doctor import examine, report
        from layerfusion.models.vocabulary import article
        from layerfusion.runs import Session

        session = Session.open(request, listener=bar)
        subject, scene = SUBJECT, SCENE
        if (known := session.vocabulary) is not None:
            subject, scene = article(next(iter(known.objects.values()))[0].name), article(known.scenes[0].name)
        findings = examine(session.pipeline, subject, scene, seed)
    facts = {
        "model": f"{session.model.name} ({session.model.fingerprint})",
        "triplet": f"{subject} / {scene}, seed {seed}",
        "system": f"{platform.system()} {platform.machine()}, {session.device}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    typer.echo(report(findings, facts))
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)
