"""A model looked at and measured, as every face asks for it: `doctor` and `calibrate`, each answering with a text."""

import platform

from layerfusion.evaluation import calibration
from layerfusion.evaluation import doctor as examination
from layerfusion.models import locate
from layerfusion.models.presets import write_config
from layerfusion.models.vocabulary import some_prompts
from layerfusion.runs.progress import Listener, Progress, silent
from layerfusion.runs.record import versions
from layerfusion.runs.request import Request
from layerfusion.runs.session import Session


def doctor(request: Request, seed: int = 0, listener: Listener = silent) -> tuple[str, bool]:
    """Make one triplet with a request's model; its prompts are of no account.

    Args:
        request: Its model, device and type.
        seed: Of the triplet.
        listener: Told how far it is.

    Returns:
        A report to paste into an issue, and whether nothing is bad.
    """
    session = Session.open(request, listener=listener)
    subject, scene = some_prompts(session.vocabulary, 1)[0]
    findings = examination.examine(session.pipeline, subject, scene, seed)
    facts = {
        "model": f"{session.model.name} ({session.model.fingerprint})",
        "triplet": f"{subject} / {scene}, seed {seed}",
        "system": f"{platform.system()} {platform.machine()}, {session.device}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    return examination.report(findings, facts), all(finding.verdict != "bad" for finding in findings)


def calibrate(request: Request, count: int = 8, seed: int = 0, save: bool = False, listener: Listener = silent) -> str:
    """Find what suits a request's model; its prompts are of no account.

    Args:
        request: Its model, device and type.
        count: Foregrounds; each is blended several times.
        seed: Of the first; the others count up from it.
        save: Whether the choice becomes the model's own default.
        listener: Told how far it is.

    Returns:
        The tables, the choice, and where it is kept.
    """
    session = Session.open(request, listener=listener)
    pairs = some_prompts(session.vocabulary, count)

    def tell(done: int, of: int) -> None:
        listener(Progress("sampling", done, of))

    found = calibration.calibrate(session.pipeline, pairs, seed, request.batch_size or 1, tell)
    where = "nothing was changed; --save keeps the choice with the model."
    if save:
        where = f"kept in {write_config(locate(request.model).path, found.choice.config)}"
    return f"{calibration.report(found)}\n{where}"
