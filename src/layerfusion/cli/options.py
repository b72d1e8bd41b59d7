"""The options of a command from the fields of a request: a field is written once, and appears here by itself."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
from pydantic.fields import FieldInfo

from layerfusion.runs import Request


def takes_a_request(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose last parameter is `**asked` an argument or an option for each field of `Request`.

    The prompts come first, as arguments that may be left out; the command's own parameters follow; then the options.
    What is not given arrives as None.
    """
    own = [
        parameter.replace(kind=parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    fields = Request.model_fields
    prompts = [_parameter(name, _argument(fields[name]), str) for name in Request.POSITIONAL]
    options = [
        _parameter(name, _option(name, field), _type(field))
        for name, field in fields.items()
        if name not in Request.POSITIONAL and _extra(field)["option"] != ""
    ]
    parameters = [*prompts, *own, *options]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def option_name(name: str) -> str:
    """What the command calls a field of `Request`: --guidance for guidance_scale."""
    option = _extra(Request.model_fields[name])["option"]
    return f"--{name.replace('_', '-')}" if option is None else str(option or name)


def _parameter(name: str, declaration: Any, of: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=None, annotation=Annotated[of | None, declaration])


def _argument(field: FieldInfo) -> Any:
    return typer.Argument(help=field.description, show_default=False)


def _option(name: str, field: FieldInfo) -> Any:
    names = (option_name(name), *(("-m",) if name == "model" else ()))
    return typer.Option(*names, help=field.description, rich_help_panel=_extra(field)["panel"], show_default=False)


def _type(field: FieldInfo) -> Any:
    """The type of a field without its None."""
    kinds = [kind for kind in get_args(field.annotation) if kind is not type(None)]
    optional = type(None) in get_args(field.annotation)
    return kinds[0] if optional else field.annotation


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {"panel": None, "option": None}
