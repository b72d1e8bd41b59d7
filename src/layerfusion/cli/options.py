"""The options of a command from the fields of a request: a field is written once, and appears here by itself."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
from pydantic.fields import FieldInfo

from layerfusion.runs.request import Panel, Request


def takes_a_request(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose last parameter is `**asked` an argument or an option for each field of `Request`.

    The prompts come first, as arguments that may be left out; the command's own parameters follow; then the options.
    What is not given arrives as None.
    """
    return _extended(command, Request.POSITIONAL, get_args(Panel))


def takes_a_model(command: Callable[..., None]) -> Callable[..., None]:
    """The same with the options alone that say which model is used, and where."""
    return _extended(command, (), ("Model",))


def _extended(command: Callable[..., None], prompts: tuple[str, ...], panels: tuple[str, ...]) -> Callable[..., None]:
    own = [
        parameter.replace(kind=parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    fields = Request.model_fields
    declared = {name: typer.Argument(help=fields[name].description, show_default=False) for name in prompts}
    arguments = [_parameter(name, argument, str) for name, argument in declared.items()]
    options = [
        _parameter(name, _option(name, field), _type(field))
        for name, field in fields.items()
        if _extra(field)["panel"] in panels and _extra(field)["option"] != "" and not _extra(field)["by_hand"]
    ]
    parameters = [*arguments, *own, *options]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def described(name: str) -> str:
    """What a field of `Request` is for, of an option that a command declares itself."""
    return Request.model_fields[name].description or ""


def option_name(name: str) -> str:
    """What the command calls a field of `Request`: --guidance for guidance_scale."""
    option = _extra(Request.model_fields[name])["option"]
    return f"--{name.replace('_', '-')}" if option is None else str(option or name)


def _parameter(name: str, declaration: Any, of: Any) -> inspect.Parameter:
    annotation = Annotated[of | None, declaration]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _option(name: str, field: FieldInfo) -> Any:
    long = option_name(name)
    off = f"/--no-{long.removeprefix('--')}" if field.annotation is bool else ""  # for what a repeated run had on
    names = (long + off, *(("-m",) if name == "model" else ()))
    return typer.Option(*names, help=field.description, rich_help_panel=_extra(field)["panel"], show_default=False)


def _type(field: FieldInfo) -> Any:
    """The type of a field without its None."""
    alternatives = get_args(field.annotation)
    return next(of for of in alternatives if of is not type(None)) if type(None) in alternatives else field.annotation


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {"panel": None, "option": None, "by_hand": False}
