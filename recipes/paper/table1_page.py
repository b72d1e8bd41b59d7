"""Table 1 as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from layerfusion.drawing import Tile, picture_of, sheet
from layerfusion.files import atomic_write
from recipes.paper.drawn import PAPER as PAPERS
from recipes.paper.kept import Measure, heading, known, shown, table, write_page

STREAMS = ("foreground", "background", "blended")
SHOWN = 8
PAPER = {
    "Zhang et al. (2024), as the paper gives it": ("38.46", "0.0014", "0.09", "38.27", "0.0400", "1.17"),
    "LayerFusion, as the paper gives it": ("38.97", "0.0012", "0.09", "41.95", "0.0058", "0.14"),
}
COLUMNS = [f"{layer} {name}" for layer in STREAMS[:2] for name in ("CLIP", "KID", "FID")]
FORMS = {"CLIP": "{:.2f}", "KID": "{:.4f}", "FID": "{:.4f}"}


def write(path: Path, pictures: dict[str, dict[str, np.ndarray]]) -> None:
    """Write the page beside the JSON that was kept, and its sheet, from it and the first pictures of each row."""
    result = json.loads(path.read_text(encoding="utf-8"))
    picture = path.parents[1] / "images" / path.parent.name / f"{path.stem}.webp"
    picture.parent.mkdir(parents=True, exist_ok=True)
    draw(picture, pictures)
    write_page(path.with_suffix(".md"), markdown(result, f"../images/{path.parent.name}/{picture.name}"))


def markdown(result: dict[str, Any], picture: str) -> list[str]:
    """The page's lines."""
    settings, rows, missing = result["settings"], result["rows"], result["missing"]
    about = (
        f"{settings['pairs']} pairs of prompts in every row, {settings['steps']} steps, one pass of the transparent "
        f"decoder, {settings['precision']}. Features: {result['features']}, so these figures stand beside each other "
        "and not beside the paper's. As in the paper, the real distributions are the foreground generator alone and "
        "the base alone, on the same prompts with other seeds. KID is on the final pooling, FID on the first. Brackets "
        "hold 95 % intervals (delete-half jackknife over pictures)."
    )
    lines = heading("Table 1: foreground and background", about, result)
    empty = ["–"] * len(COLUMNS)
    body = [[name, *cells] for name, cells in PAPER.items()]
    body += [[name, *(cell(row, column) for column in COLUMNS)] for name, row in rows.items()]
    body += [[f"{name} ({why})", *empty] for name, why in missing.items()]
    lines += table(["system", *COLUMNS], body)
    lines += ["", *(outcome(name, rows) for name in rows if PAPERS in rows and name != PAPERS)]
    named = [name for name in next(iter(rows.values()), {}) if name.endswith("named")]
    if named:
        lines += ["", "How often the probe names what the prompts ask for:", ""]
        lines += table(
            ["system", *named], [[row, *(shown(of[n], "{:.0%}") for n in named)] for row, of in rows.items()]
        )
    if "again" in result:
        lines += ["", "## A second run", "", *second(result)]
    return [*lines, "", "## Pictures", "", f"![The first triplets of each row]({picture})"]


def cell(row: dict[str, Measure], column: str) -> str:
    return shown(row[column], FORMS[column.split()[-1]])


def outcome(name: str, rows: dict[str, dict[str, Measure]]) -> str:
    """What separates a row from LayerFusion's, as the paper has it."""
    counted, apart = differences(rows[PAPERS], rows[name])
    told = f"- “{PAPERS}” and “{name}” differ by more than both intervals allow in {len(apart)} of {counted} measures"
    return f"{told}: {', '.join(apart)}." if apart else f"{told}."


def differences(one: dict[str, Measure], two: dict[str, Measure]) -> tuple[int, list[str]]:
    """How many columns two rows have, and those in which they differ by more than both intervals allow."""
    both = [column for column in COLUMNS if known(one[column]) and known(two[column])]

    def reach(column: str) -> float:
        return float(np.hypot(*(row[column]["high"] - row[column]["low"] for row in (one, two)))) / 2

    return len(both), [column for column in both if abs(one[column]["value"] - two[column]["value"]) > reach(column)]


def second(result: dict[str, Any]) -> list[str]:
    """Both runs side by side, and how often they agree."""
    again = result["again"]
    rows, apart, counted = [], [], 0
    for name, row in result["rows"].items():
        if name not in again["rows"]:
            continue
        rows.append([name, *(cell(again["rows"][name], column) for column in COLUMNS)])
        columns, differing = differences(row, again["rows"][name])
        counted += columns
        apart += [f"{column} of {name}" for column in differing]
    agree = f"{counted - len(apart)} of {counted} differences lie within what both intervals allow (95 % should)"
    return [
        f"{again['settings']['pairs']} other pairs with other noise, against generators' runs of their own: {agree}"
        + (f"; beyond: {', '.join(apart)}." if apart else "."),
        "",
        *table(["system", *COLUMNS], rows),
    ]


def draw(path: Path, pictures: dict[str, dict[str, np.ndarray]]) -> None:
    """The first triplets of each row; the same pairs in every row."""
    rows, labels = [], []
    for name, each in pictures.items():
        for stream in STREAMS:
            rows.append([Tile(picture_of(picture)) for picture in each[stream][:SHOWN]])
            labels.append(f"{name}: {stream}")
    with atomic_write(path) as temporary:
        sheet(rows, (128, 128), row_labels=labels).save(temporary, "WEBP", quality=90, method=6)
