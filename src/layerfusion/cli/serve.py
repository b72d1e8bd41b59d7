"""`layerfusion serve` and `layerfusion studio`: the service, for others and for this machine."""

from pathlib import Path
from typing import Annotated, Any

import typer

from layerfusion.cli.options import option_name, takes_a_model
from layerfusion.runs import Request
from layerfusion.serve.settings import Settings
from layerfusion.serve.start import read_token, start

Data = Annotated[Path, typer.Option(help="The folder of the queue, the results and the uploads.")]
HOME = Path("~/.layerfusion")


@takes_a_model
def studio(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Works are kept by port; 0 takes a free one.")] = 8189,
    data: Data = HOME,
    browser: Annotated[bool, typer.Option(help="Open the page; otherwise its address is only said.")] = True,
    **asked: Any,
) -> None:
    """Open the studio in a browser: for this machine alone, and without network."""
    settings = Settings(data.expanduser().absolute(), Request.of_model(asked, option_name))
    start(settings, "127.0.0.1", port, _say, browser)


@takes_a_model
def serve(
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine only with a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8188,
    data: Data = HOME,
    token_file: Annotated[
        Path | None, typer.Option(help="Holds the token that clients must show; or set LAYERFUSION_TOKEN.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name that clients may call this server by. Can be repeated.")
    ] = None,
    queue: Annotated[int, typer.Option(min=1, help="How many runs may wait; more are answered with 429.")] = 64,
    batch: Annotated[
        int, typer.Option(min=1, max=64, help="Equal runs sampled at once: faster on a GPU, and repeats to rounding.")
    ] = 1,
    keep: Annotated[float, typer.Option(min=0.01, help="Days for which results and uploads are kept.")] = 7.0,
    **asked: Any,
) -> None:
    """Answer HTTP: pictures and layers for other programs, and the studio's page."""
    settings = Settings(
        data.expanduser().absolute(),
        Request.of_model(asked, option_name),
        token=read_token(token_file),
        hosts=(host, *(allow_host or ())),
        queue=queue,
        batch=batch,
        keep=keep * 86_400,
    )
    start(settings, host, port, _say)


def _say(address: str) -> None:
    typer.echo(f"{address} (Ctrl-C stops it)")
