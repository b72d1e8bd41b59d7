"""The command `layerfusion`: thin and quick; each command is imported when it is called, torch when it is needed."""

from importlib import import_module
from typing import Annotated, Any

import typer

import layerfusion
from layerfusion.allocation import keep_freed_memory
from layerfusion.program import OneSentence, starting
from layerfusion.threads import settle_threads

settle_threads()
keep_freed_memory()
# Each module with its commands.
MODULES = {
    "generate": ("generate",),
    "vocabulary": ("vocabulary",),
    "doctor": ("doctor", "calibrate"),
    "layers": ("export", "edit", "composite", "show"),
    "serve": ("studio", "serve"),
}
COMMANDS = {command: module for module, commands in MODULES.items() for command in commands}


class Commands(OneSentence):
    """The commands by name, of which only those that are asked for are imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        with starting(args):
            return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            alone = typer.Typer(add_completion=False)
            command = getattr(import_module(f"layerfusion.cli.{COMMANDS[cmd_name]}"), cmd_name)
            alone.command(cmd_name)(command)
            self.commands[cmd_name] = typer.main.get_command(alone)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    name="layerfusion",
    cls=Commands,
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
