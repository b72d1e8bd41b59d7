"""docs/cli.md says every command and every option, and none that does not exist."""

import re
from pathlib import Path

import typer

from layerfusion.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def test_every_command_and_option_is_on_the_page() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
    assert set(commands) == set(sections)
    for name, command in commands.items():
        options = {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
            if option.startswith("--") and option != "--help"
        }
        assert options == set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", sections[name])), name
