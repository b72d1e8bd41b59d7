"""`layerfusion vocabulary`: what a small model knows."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.columns import Columns
from rich.console import Console
from rich.text import Text

from layerfusion.cli.console import RunBar
from layerfusion.errors import LayerFusionError
from layerfusion.files import atomic_write, check_png, claimed
from layerfusion.foregrounds import MAX_SEED
from layerfusion.models import Vocabulary, vocabulary_of
from layerfusion.runs import Request
from layerfusion.runs.quiet import quiet_libraries


def vocabulary(
    model: Annotated[str, typer.Option("--model", "-m", help="A preset or a model's folder.")] = "mini",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Also draw everything it knows, to this PNG; takes minutes on a CPU.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, max=1000, help="With --sheet: sampling steps.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="With --sheet.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the sheet if it exists.")] = False,
) -> None:
    """List what the embedded model knows: objects by group, colours, scenes, styles."""
    known = vocabulary_of(model)
    if known is None:
        raise LayerFusionError(f"{model} carries no vocabulary: it takes any words, or is not on this machine.")
    if sheet is not None:
        check_png(sheet, overwrite)
    if as_json:
        typer.echo(json.dumps({**asdict(known), "words": sorted(known.words)}, ensure_ascii=False, indent=2))
    else:
        _print(known)
    if sheet is not None:
        with claimed(sheet), RunBar() as bar, quiet_libraries():
            from layerfusion.runs.vocabulary_sheet import vocabulary_sheet

            drawn = vocabulary_sheet(Request.of_model({"model": model}), steps, seed, bar)
        with atomic_write(sheet, overwrite) as temporary:
            drawn.save(temporary, "PNG")
        typer.echo(f"{sheet}")


def _print(known: Vocabulary) -> None:
    console = Console(highlight=False)
    for group, entries in known.groups().items():
        console.print(Text(f"{group} ({len(entries)})", style="bold"))
        names = [
            Text(entry.name) + Text(f" ({', '.join(entry.synonyms)})" if entry.synonyms else "", style="dim")
            for entry in entries
        ]
        console.print(Columns(names, padding=(0, 3), equal=False), soft_wrap=not console.is_terminal)
        console.print()
