"""`python -m layerfusion`, the same as the command `layerfusion`."""

import sys

import typer

from layerfusion.cli import app
from layerfusion.program import starting


def run() -> None:
    """The command of this process's arguments, then exit."""
    with starting(sys.argv[1:]):
        command = typer.main.get_command(app)
    command(prog_name="layerfusion")


if __name__ == "__main__":
    run()
