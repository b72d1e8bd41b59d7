"""A setting is one field of `Request`: command, record, schema and documentation have it by that alone."""

import json

import typer

from layerfusion.cli import app
from layerfusion.cli.options import option_name
from layerfusion.runs import Record, Request
from layerfusion.runs.record import OF_THE_RUN, ModelDescription
from tools import docs


def test_every_field_is_everywhere() -> None:
    command = typer.main.get_command(app).get_command(None, "generate")  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts}
    request = Request(foreground_prompt="a red fox", background_prompt="a snowy forest", model="mini")
    record = json.loads(Record(request, ModelDescription("mini"), {}).dumps())
    schema, table = Request.model_json_schema(), docs.generated("request")
    for name, field in Request.model_fields.items():
        # --size; a whole configuration has no option; fingerprints are what is found.
        if name not in ("width", "height", "config", "fingerprints"):
            assert (name if name in Request.POSITIONAL else option_name(name)) in options
        assert name in record or name in OF_THE_RUN
        assert schema["properties"][name]["description"] == field.description
        assert f"| `{name}` |" in table and str(field.description) in table
