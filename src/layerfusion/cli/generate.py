"""`layerfusion generate`: two prompts in, a triplet out."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from layerfusion.cli.console import RunBar
from layerfusion.cli.options import described, option_name, takes_a_request
from layerfusion.program import note
from layerfusion.runs import Record, Request, Target, default_folder, plan_targets, reserved
from layerfusion.runs.quiet import quiet_libraries
from layerfusion.runs.record import requested
from layerfusion.runs.targets import content_of
from layerfusion.runs.words import width_and_height, with_foregrounds


def _output(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Output", **more)


def _picture(name: str, metavar: str, help: str) -> Any:
    return typer.Option(name, help=help, rich_help_panel="Pictures", metavar=metavar)


@takes_a_request
def generate(
    out: Annotated[
        Path | None, _output("The folder to write to; outputs/PROMPTS-SEED where not given.", "--out", "-o")
    ] = None,
    formats: Annotated[
        str | None, _output("Layered files to write as well: psd,ora,pptx,html,tiff.", "--format")
    ] = None,
    overwrite: Annotated[bool, _output("Replace a triplet that exists.", "--overwrite")] = False,
    quiet: Annotated[bool, _output("Say nothing but errors.", "--quiet", "-q")] = False,
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
    foreground: Annotated[list[str] | None, _picture("--foreground", "TEXT", described("foregrounds"))] = None,
    at: Annotated[
        list[str] | None,
        _picture("--at", "X,Y,W,H", "The place of each foreground, or 'all'; ',flip' after it mirrors."),
    ] = None,
    foreground_image: Annotated[
        list[str] | None, _picture("--foreground-image", "FILE", described("foreground_image"))
    ] = None,
    **asked: Any,
) -> None:
    """Make a foreground (RGBA), a background and a blended picture, denoised together.

    Writes foreground, background, blended, composite (plain alpha blending), relit, shadow, light and layered as PNGs,
    and triplet.json.
    """
    given = {name: value for name, value in asked.items() if value is not None} | width_and_height(size)
    given = with_foregrounds(given, foreground or [], at or [], foreground_image or [])
    record = Record.read(source) if source else None
    request = requested(given, record, option_name).with_seed()
    endings = [ending.strip().removeprefix(".").lower() for ending in (formats or "").split(",") if ending.strip()]
    folder = out or default_folder(f"{request.foreground_prompt} {request.background_prompt}", request.seed or 0)
    subjects = request.subjects if request.has_places else 0
    targets = plan_targets(folder, request.count, tuple(dict.fromkeys(endings)), request.show_priors, subjects)
    with RunBar(request.count, quiet) as bar:
        from layerfusion.runs.preflight import preflight

        preflight(request, record)
        with reserved(folder, targets, overwrite):
            request, seconds = make_all(request, record, targets, overwrite, bar)
    if not quiet:
        report(request, folder, targets, seconds)


def make_all(
    request: Request, record: Record | None, targets: list[Target], overwrite: bool, bar: RunBar
) -> tuple[Request, float]:
    """Sample and write; what is written stays when a later triplet is interrupted.

    Returns:
        The request, completed, and how many seconds it took.
    """
    done = 0
    with quiet_libraries():
        # Only now: the first import of these libraries takes seconds, and they have much to say.
        from layerfusion.runs import Session, generate

        session = Session.open(request, record, bar)
        request = session.completed(request)
        for warning in () if bar.quiet else (*session.warnings, *session.warnings_for(request)):
            note(warning)
        started = time.perf_counter()
        try:
            for target, generated in zip(targets, generate(session, request, bar), strict=True):
                target.write(generated, overwrite)
                done += 1
        except KeyboardInterrupt:
            if len(targets) > 1:
                note(f"{done} of {len(targets)} triplets are written, and whole.")
            raise
    return request, time.perf_counter() - started


def report(request: Request, folder: Path, targets: list[Target], seconds: float) -> None:
    """What was written, with what, and how long it took."""
    seed, several = request.seed or 0, len(targets) > 1
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name in targets[0].names:
        table.add_row(name, Text(content_of(name) or "layers, for another program", style="dim"))
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
