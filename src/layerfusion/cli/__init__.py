"""The command `layerfusion`: thin, and quick to answer `--help`; torch is imported where pictures are made."""

from typing import Annotated

import typer

import layerfusion
from layerfusion.cli.doctor import calibrate, doctor
from layerfusion.cli.errors import OneSentence, handle_errors
from layerfusion.cli.generate import generate
from layerfusion.cli.layers import composite, edit, export, show
from layerfusion.cli.serve import serve, studio
from layerfusion.cli.vocabulary import vocabulary
from layerfusion.threads import settle_threads

settle_threads()
app = typer.Typer(
    name="layerfusion",
    cls=OneSentence,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"layerfusion {layerfusion.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    """Two prompts in, a triplet out: a foreground (RGBA), a background and a blended picture."""


for command in (generate, vocabulary, doctor, calibrate, export, edit, composite, show, studio, serve):
    app.command()(handle_errors(command))
