"""`layerfusion generate`: two prompts in, a triplet out."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from layerfusion.cli.errors import handle_errors

SAMPLING, MODEL, METHOD, OUTPUT = "Sampling", "Model", "Method", "Output"


def _option(help: str, panel: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


Offload = Literal["none", "model", "sequential", "group"]
DType = Literal["float32", "float16", "bfloat16"]
Mask = Literal["combined", "self", "cross"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(handle_errors(generate))


def generate(
    foreground: Annotated[str | None, typer.Argument(help="What stands in front: 'a red fox'.")] = None,
    background: Annotated[str | None, typer.Argument(help="What it stands in: 'a snowy forest'.")] = None,
    out: Annotated[
        Path | None, _option("The folder to write to; outputs/PROMPTS-SEED where not given.", OUTPUT, "--out", "-o")
    ] = None,
    count: Annotated[
        int, _option("How many triplets, in numbered folders, with seeds counted up.", OUTPUT, min=1, max=9999)
    ] = 1,
    formats: Annotated[
        str | None, _option("Layered files to write as well: psd,ora,pptx,html,tiff.", OUTPUT, "--format")
    ] = None,
    show_priors: Annotated[
        bool, _option("Also draw the priors and masks (as Fig. 3 and 9 of the paper).", OUTPUT, "--show-priors")
    ] = False,
    overwrite: Annotated[bool, _option("Replace files that exist.", OUTPUT, "--overwrite")] = False,
    source: Annotated[
        Path | None, _option("Repeat a run: its triplet.json, its folder, or a PNG of it.", OUTPUT, "--from")
    ] = None,
    negative_foreground: Annotated[str | None, _option("What to keep out of the foreground.", SAMPLING)] = None,
    negative_background: Annotated[str | None, _option("What to keep out of the background.", SAMPLING)] = None,
    seed: Annotated[
        int | None, _option("The same seed gives the same pixels; drawn where not given.", SAMPLING)
    ] = None,
    steps: Annotated[
        int | None, _option("Sampling steps; the model's own where not given.", SAMPLING, min=1, max=1000)
    ] = None,
    guidance: Annotated[
        float | None, _option("How closely to follow the prompts, 1 is off; the model's own where not given.", SAMPLING)
    ] = None,
    size: Annotated[
        str | None, _option("Multiples of 64, as 1024x1024; the model's own where not given.", SAMPLING, metavar="WxH")
    ] = None,
    batch_size: Annotated[
        int | None,
        _option(
            "Triplets sampled at once with --count; above 1 is faster on a GPU, and repeats only to rounding.",
            SAMPLING,
            min=1,
            max=64,
        ),
    ] = None,
    boundary: Annotated[float | None, _option("d, how hard the mask's edge is; the paper's is 10.", METHOD)] = None,
    mask: Annotated[
        Mask | None, _option("What masks are made of: both priors, the structure, or the content alone.", METHOD)
    ] = None,
    model: Annotated[
        str | None,
        _option(
            "mini (the default), realvisxl, sdxl; a folder, a .safetensors checkpoint, or a hub repository.",
            MODEL,
            "--model",
            "-m",
        ),
    ] = None,
    foreground_weights: Annotated[
        str | None, _option("For an SDXL: LayerDiffuse's offsets, a file or repository:file.", MODEL)
    ] = None,
    transparent_decoder: Annotated[
        str | None, _option("For an SDXL: LayerDiffuse's transparent decoder.", MODEL)
    ] = None,
    device: Annotated[
        str | None, _option("cuda, cuda:1, mps or cpu; the best there is where not given.", MODEL)
    ] = None,
    dtype: Annotated[
        DType | None, _option("Type of the weights; float16 on CUDA and float32 elsewhere where not given.", MODEL)
    ] = None,
    offload: Annotated[
        Offload | None, _option("What to keep in main memory: whole parts, single layers, groups of layers.", MODEL)
    ] = None,
) -> None:
    """Make a foreground (RGBA), a background and a blended picture, denoised together.

    Writes foreground.png, background.png, blended.png, composite.png (plain alpha blending) and triplet.json.
    """
    from layerfusion.cli.triplets import Request, run

    settings = {
        "foreground_prompt": foreground,
        "background_prompt": background,
        "negative_foreground": negative_foreground,
        "negative_background": negative_background,
        "seed": seed,
        "steps": steps,
        "guidance_scale": guidance,
        "size": size,
        "batch_size": batch_size,
        "boundary": boundary,
        "mask": mask,
        "model": model,
        "foreground_weights": foreground_weights,
        "transparent_decoder": transparent_decoder,
        "device": device,
        "dtype": dtype,
        "offload": offload,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    kinds = [kind.strip().removeprefix(".").lower() for kind in (formats or "").split(",") if kind.strip()]
    run(Request(given, source, out, count, tuple(dict.fromkeys(kinds)), show_priors, overwrite))
