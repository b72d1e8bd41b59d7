"""The commands on layers: export, edit, composite, show."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image, ImageColor
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from layerfusion.errors import LayerFusionError
from layerfusion.files import atomic_write, check_png
from layerfusion.layers import FORMATS, Layer, LayerStack, check_writable, edited, read, write, write_all
from layerfusion.layers.formats.flat import ENDINGS, save_picture
from layerfusion.layers.limits import decode
from layerfusion.layers.sheet import contact_sheet
from layerfusion.runs.quiet import quiet_libraries
from layerfusion.runs.words import numbers

Source = Annotated[
    Path, typer.Argument(help="A triplet's folder, a folder of PNGs with stack.json, a .psd, .ora or .html.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the target if it exists.")]
TARGETS = f"a folder, .{', .'.join(FORMATS)}"


def export(
    source: Source,
    to: Annotated[list[Path], typer.Option(help=f"Where to; the ending tells the format: {TARGETS}. Can be repeated.")],
    overwrite: Overwrite = False,
) -> None:
    """Write layers to another format: Photoshop, Krita, PowerPoint, a web page, one flat picture."""
    for target in to:
        check_writable(target, overwrite)
    for target in write_all(read(source), to, overwrite):
        _done(target)


def edit(
    source: Source,
    layer: Annotated[str, typer.Option(help="The layer's name, or its number: 0 is the lowest.")],
    out: Annotated[Path, typer.Option(help=f"Where to; the ending tells the format: {TARGETS}.")],
    move: Annotated[str, typer.Option(help="Right and down, in pixels: 40,-20.")] = "0,0",
    scale: Annotated[str, typer.Option(help="About its middle: 0.8, or across and down: 0.8,1.2.")] = "1",
    rotate: Annotated[float, typer.Option(help="Degrees clockwise, about its middle.")] = 0.0,
    flip: Annotated[bool, typer.Option("--flip", help="Mirror left to right.")] = False,
    flip_vertical: Annotated[bool, typer.Option("--flip-vertical", help="Mirror upside down.")] = False,
    opacity: Annotated[float | None, typer.Option(help="0 to 1.")] = None,
    blend: Annotated[str | None, typer.Option(help="normal, multiply, screen or overlay.")] = None,
    visible: Annotated[bool | None, typer.Option("--show/--hide", help="Show or hide it.")] = None,
    rename: Annotated[str | None, typer.Option(help="A new name.")] = None,
    picture: Annotated[Path | None, typer.Option(help="New pixels, scaled to cover the old ones' place.")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="First put it back to its own size at the top left.")] = False,
    alone: Annotated[bool, typer.Option("--alone", help="Leave the rest of its group, such as its shadow.")] = False,
    reblend: Annotated[
        bool, typer.Option("--reblend", help="Then blend again: new light, shadow and blended picture.")
    ] = False,
    strength: Annotated[
        float | None, typer.Option(help="How much of the blend is made anew, above 0, up to 1.")
    ] = None,
    foreground: Annotated[
        list[str] | None, typer.Option(help="What a subject is, where the file does not say; farthest first.")
    ] = None,
    background: Annotated[str | None, typer.Option(help="What the scene is, where the file does not say.")] = None,
    model: Annotated[str | None, typer.Option(help="The model to blend with, where not the file's own.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Change one layer: reset, new pixels, flip, scale, rotate, move, in this order. Its group moves along."""
    check_writable(out, overwrite)
    stack = edited(
        read(source),
        layer,
        reset=reset,
        pixels=None if picture is None else decode(picture, str(picture)),
        also_unlit=reblend,
        flip=flip,
        flip_vertical=flip_vertical,
        scale=numbers(scale, "--scale", (1, 2), "0.8, or as 0.8,1.2"),
        rotate=rotate,
        move=numbers(move, "--move", (2,), "40,-20"),
        alone=alone,
        opacity=opacity,
        blend=blend,
        visible=visible,
        name=rename,
    )
    if reblend:
        stack = _blended_again(stack, prompts=foreground, background_prompt=background, strength=strength, model=model)
    _done(write(stack, out, overwrite))


def _blended_again(stack: LayerStack, **asked: Any) -> LayerStack:
    with quiet_libraries():
        # Only now: the other edits start without these libraries.
        from layerfusion.runs.reblend import blended_again

        return blended_again(stack, asked)


def composite(
    source: Source,
    out: Annotated[Path, typer.Option(help=f"A picture: {', '.join(ENDINGS)}.")],
    linear: Annotated[bool, typer.Option("--linear", help="Mix in linear light instead of sRGB.")] = False,
    background: Annotated[str | None, typer.Option(help="A colour under everything: white, #20242c.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Flatten the visible layers to one picture."""
    if out.suffix.lower() not in ENDINGS:
        raise LayerFusionError(f"{out} is no flat picture's format known here; end it in {', '.join(ENDINGS)}.")
    check_writable(out, overwrite)
    stack = read(source)
    if background is not None:
        colour = Image.new("RGBA", stack.size, _colour(background))
        stack.layers.insert(0, Layer("colour", colour))  # type: ignore[arg-type]
    with atomic_write(out, overwrite) as temporary:
        save_picture(stack.composite(linear), temporary, stack.provenance)
    _done(out)


def show(
    source: Source,
    picture: Annotated[Path | None, typer.Option(help="Also draw every layer on a checkerboard, to this PNG.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Print the layers as a table, highest first; size and place are those of what is seen in each.

    Shown says how opaque a layer is, unless it is hidden.
    """
    if picture is not None:
        check_png(picture, overwrite)
    stack = read(source)
    title = escape(f"{source}: {stack.width}×{stack.height}")
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    rows = [_cells(number, layer) for number, layer in reversed(list(enumerate(stack)))]
    # Columns in which nothing stands are left out.
    for title in [title for title in rows[0] if any(row[title] for row in rows)] if rows else []:
        numeric = title in ("#", "size", "at", "shown")
        table.add_column(title, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        table.add_row(*(escape(row[str(column.header)]) for column in table.columns))
    Console().print(table)
    if picture is not None:
        with atomic_write(picture, overwrite) as temporary:
            contact_sheet(stack).save(temporary, "PNG")
        _done(picture)


def _cells(number: int, layer: Layer) -> dict[str, str]:
    left, top, right, bottom = layer.bounds()
    return {
        "#": str(number),
        "layer": layer.name,
        "group": layer.group or "",
        "size": f"{right - left}×{bottom - top}",
        "at": f"{left},{top}",
        "placed": layer.placement.describe(),
        "blend": layer.blend,
        "shown": f"{layer.opacity:.0%}" if layer.visible else "hidden",
    }


def _colour(text: str) -> tuple[int, ...]:
    try:
        return ImageColor.getcolor(text, "RGBA")  # type: ignore[return-value]
    except ValueError:
        raise LayerFusionError(f"{text!r} is no colour known here; write a name or #rrggbb.") from None


def _done(path: Path) -> None:
    typer.echo(os.fsencode(path))  # as bytes: a name need not be text
