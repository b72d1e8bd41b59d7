"""`layerfusion generate`: two prompts in, a triplet out."""

import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from layerfusion.cli.console import RunBar
from layerfusion.cli.errors import note
from layerfusion.cli.options import option_name, takes_a_request
from layerfusion.errors import LayerFusionError
from layerfusion.runs import Record, Request, Target, check_targets, default_folder, plan_targets
from layerfusion.runs.quiet import quiet_libraries


def _output(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Output", **more)


@takes_a_request
def generate(
    out: Annotated[
        Path | None, _output("The folder to write to; outputs/PROMPTS-SEED where not given.", "--out", "-o")
    ] = None,
    formats: Annotated[
        str | None, _output("Layered files to write as well: psd,ora,pptx,html,tiff.", "--format")
    ] = None,
    overwrite: Annotated[bool, _output("Replace files that exist.", "--overwrite")] = False,
    source: Annotated[
        Path | None, _output("Repeat a run: its triplet.json, its folder, or a PNG of it.", "--from")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            help="As 1024x1024, multiples of what the model needs (64 for SDXL); the model's own where not given.",
            rich_help_panel="Sampling",
            metavar="WxH",
        ),
    ] = None,
    **asked: Any,
) -> None:
    """Make a foreground (RGBA), a background and a blended picture, denoised together.

    Writes foreground, background, blended, composite (plain alpha blending), relit, shadow, light and layered as PNGs,
    and triplet.json.
    """
    given = {name: value for name, value in asked.items() if value is not None} | parse_size(size)
    record = Record.read(source) if source else None
    request = merged(record, given).with_seed()
    endings = [ending.strip().removeprefix(".").lower() for ending in (formats or "").split(",") if ending.strip()]
    folder = out or default_folder(f"{request.foreground_prompt} {request.background_prompt}", request.seed or 0)
    targets = plan_targets(folder, request.count, tuple(dict.fromkeys(endings)), request.show_priors)
    check_targets(folder, targets, overwrite)
    make_all(request, record, folder, targets)


def parse_size(size: str | None) -> dict[str, int]:
    """1024x768 → width and height."""
    if size is None:
        return {}
    match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", size.strip().lower())
    if match is None:
        raise LayerFusionError(f"the size {size!r} is not WIDTHxHEIGHT; write it as 1024x1024.")
    return {"width": int(match[1]), "height": int(match[2])}


def merged(record: Record | None, given: dict[str, Any]) -> Request:
    """The request that a record repeats, with the options given in place of its values."""
    for which in Request.POSITIONAL:
        if not (given.get(which) or (record and which not in given)):
            raise LayerFusionError(
                f"the {which.replace('_', ' ')} is empty; say what to draw, as in: "
                'layerfusion generate "a red fox" "a snowy forest".'
            )
    values = record.request.model_dump(exclude={"config"}) | {"config": record.request.config} if record else {}
    if given.get("model", values.get("model")) != values.get("model"):
        # The files that went on top of that model do not belong on this one.
        values |= {"foreground_weights": None, "transparent_decoder": None}
    return Request.checked({**values, **given}, option_name)


def make_all(request: Request, record: Record | None, folder: Path, targets: list[Target]) -> None:
    """Sample and write; what is written stays when a later triplet is interrupted."""
    done = 0
    with quiet_libraries(), RunBar(len(targets)) as bar:
        # Only now: the first import of these libraries takes seconds, and they have much to say.
        from layerfusion.runs import Session, generate

        session = Session.open(request, record, bar)
        request = session.completed(request)
        for warning in (*session.warnings, *session.warnings_for(request)):
            note(warning)
        started = time.perf_counter()
        try:
            for target, generated in zip(targets, generate(session, request, bar), strict=True):
                target.write(generated)
                done += 1
        except KeyboardInterrupt:
            if len(targets) > 1:
                note(f"{done} of {len(targets)} triplets are written, and whole.")
            raise
    report(request, folder, targets, time.perf_counter() - started)


def report(request: Request, folder: Path, targets: list[Target], seconds: float) -> None:
    """What was written, with what, and how long it took."""
    seed, several = request.seed or 0, len(targets) > 1
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name in targets[0].names:
        table.add_row(name, Text(CONTENTS.get(name, "layers, for another program"), style="dim"))
    where = f"{folder / targets[0].folder.name} … {targets[-1].folder.name}" if several else f"{folder}"
    console = Console(highlight=False)
    console.print(f"[bold]{escape(where)}[/]", soft_wrap=True)
    console.print(table)
    facts = [
        request.model,
        f"seeds {seed} to {seed + len(targets) - 1}" if several else f"seed {seed}",
        f"{request.steps} steps",
        f"{request.width} × {request.height}",
        f"{seconds:.1f} s on {request.device}" + (f", {seconds / len(targets):.1f} s each" if several else ""),
    ]
    console.print(escape(" · ".join(facts)), soft_wrap=True)


CONTENTS = {
    "foreground.png": "the foreground, RGBA",
    "background.png": "the background",
    "blended.png": "both, blended by the model",
    "composite.png": "the foreground laid over the background",
    "relit.png": "the foreground in the light of the scene, RGBA",
    "shadow.png": "its shadow, to be multiplied over the background",
    "light.png": "its light, to be screened over the background",
    "layered.png": "background, shadow, light and relit foreground",
    "priors.png": "priors and masks",
    "structure.png": "the structure prior of every layer",
    "triplet.json": "settings, to repeat it with --from",
}
