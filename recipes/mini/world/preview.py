"""Contact sheets of the world: `python -m recipes.mini.world.preview` writes build/world/preview-*.png."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from layerfusion import drawing
from layerfusion.files import atomic_write
from recipes.mini.world.render import World

CELL = 128


def sheet(cells: Sequence[np.ndarray], columns: int, path: Path) -> None:
    """Write equal cells (H, W, 3 or 4) uint8 as one picture, row by row; alpha over a checkerboard."""
    tiles = [drawing.Tile(Image.fromarray(cell)) for cell in cells]
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    with atomic_write(path) as temporary:
        drawing.sheet(rows, tiles[0].picture.size).save(temporary, "PNG")
    print(path)


def main() -> None:
    """Write the sheets: foregrounds, colours, backgrounds, objects × scenes, styles, random samples."""
    parser = argparse.ArgumentParser(description="Contact sheets of the embedded model's world.")
    parser.add_argument("--size", type=int, default=CELL, help="pixels a side of each picture")
    parser.add_argument("--tier", choices=("core", "full"), default="core")
    parser.add_argument("--out", type=Path, default=Path("build/world"))
    args = parser.parse_args()
    world = World(args.size, args.tier, args.out)

    def fore(**content: str | int) -> np.ndarray:
        picture = world.render("foreground", **content).foreground  # type: ignore[arg-type]
        assert picture is not None
        return picture

    sheet([fore(obj=o.key, seed=i) for i, o in enumerate(world.objects)], 12, args.out / "preview-foregrounds.png")
    coloured = [o for o in world.objects if o.colours]
    cells = [fore(obj=o.key, colour=c, seed=3) for o in coloured for c in o.colours]
    sheet(cells, 15, args.out / "preview-colours.png")
    cells = [world.render("background", scene=s.key, seed=k).picture for s in world.scenes for k in range(4)]
    sheet(cells, 12, args.out / "preview-backgrounds.png")
    names = ("fox", "penguin", "car", "wine glass", "campfire", "ghost", "balloon", "snowman", "apple", "elephant")
    cells = [world.render("composite", obj=n, scene=s.key, seed=4).picture for s in world.scenes for n in names]
    sheet(cells, len(names), args.out / "preview-composites.png")
    cells = [
        world.render("composite", obj=n, scene=s, style=style.key, seed=6).picture
        for style in world.styles
        for n, s in (
            ("fox", "snowy forest"),
            ("car", "city street"),
            ("penguin", "sandy beach"),
            ("panda", "autumn park"),
        )
    ]
    sheet(cells, 8, args.out / "preview-styles.png")
    sheet([world.sample(k, "composite").picture for k in range(60)], 10, args.out / "preview-samples.png")


if __name__ == "__main__":
    main()
