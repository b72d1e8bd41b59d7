"""The frontier as a page: its figure and tables, from what `recipes.mini.frontier` measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

from layerfusion.files import atomic_write

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {
    "real renders": "#222222",
    "paper": "#d1495b",
    "range": "#edae49",
    "aligned": "#8d6cab",
    "detail": "#3066be",
    "harmony": "#3c9d5d",
}
# The dial, from faithful to harmonized; in its middle stands the detail transfer with all its light.
DIAL = ("harmony: 0.0", "harmony: 0.25", "detail: from 50% on", "harmony: 0.75", "harmony: 1.0")
COLUMNS = (
    ("wholeness", "{:.3f}"),
    ("wholeness, worst tenth", "{:.2f}"),
    ("slope", "{:.2f}"),
    ("r", "{:.2f}"),
    ("shadow overlap", "{:.2f}"),
    ("background kept", "{:.1f}"),
    ("ghost", "{:.3f}"),
)


def family(name: str) -> str:
    return name.split(":")[0]


def write(results: dict[str, Any], folder: Path) -> None:
    """Write `frontier.md` and `images/mini/frontier.png` into a folder."""
    figure_path = folder / "images" / "mini" / "frontier.png"
    figure_path.parent.mkdir(parents=True, exist_ok=True)
    draw(results, figure_path)
    with atomic_write(folder / "frontier.md") as temporary:
        temporary.write_text(markdown(results), encoding="utf-8")
    print(folder / "frontier.md")


def draw(results: dict[str, Any], path: Path) -> None:
    """Wholeness over slope: left what was tried, right the choice and the dial on other subjects, with intervals."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.2), sharey=True, layout="constrained")
    titles = ("Tried, on a few subjects", "Scored, on other subjects and seeds")
    for axis, rows, title in zip(axes, (results["choosing"], results["scoring"]), titles, strict=True):
        axis.axvspan(results["bars"]["slope"], 2, color="#3c9d5d", alpha=0.07, lw=0)
        axis.axhspan(results["bars"]["wholeness"], 1, color="#3c9d5d", alpha=0.07, lw=0)
        dial = []
        for name, row in rows.items():
            x, y = (row["measures"][measure] for measure in ("slope", "wholeness"))
            spread = [[[v["value"] - v["low"]], [v["high"] - v["value"]]] for v in (x, y)]
            colour, marker = COLOURS[family(name)], "*" if name == results["choice"] else "o"
            scored = rows is results["scoring"]
            axis.errorbar(x["value"], y["value"], *(spread[::-1] if scored else ()), c=colour, lw=0.8, alpha=0.6)
            axis.plot(x["value"], y["value"], marker, c=colour, ms=13 if marker == "*" else 6, mec="white", mew=0.6)
            label = name.removeprefix(f"{family(name)}: ") if family(name) != "harmony" else name
            axis.annotate(label, (x["value"], y["value"]), (5, 4), textcoords="offset points", fontsize=7, color=colour)
            if name in DIAL:
                dial.append((DIAL.index(name), x["value"], y["value"]))
        if dial:
            axis.plot(*list(zip(*sorted(dial), strict=True))[1:], c=COLOURS["harmony"], lw=1, alpha=0.6)
        axis.set(title=title, xlabel="slope: how far the subject follows the light of its scene", xlim=(-0.05, 1.2))
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("wholeness: how much of the subject is there")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)


def markdown(results: dict[str, Any]) -> str:
    """The page."""
    bars, choice = results["bars"], results["choice"]
    chosen = results["scoring"][choice]["measures"]
    verdicts = [
        f"{name} {chosen[name]['value']:.3f} ({chosen[name]['low']:.3f} to {chosen[name]['high']:.3f}; bar {bar:g}: "
        f"{'met' if chosen[name]['value'] >= bar else '**missed**'})"
        for name, bar in bars.items()
    ]
    return "\n".join(
        [
            "# Whole and in the light",
            "",
            f"`python -m recipes.mini.frontier` at commit `{results['commit']}` on {results['machine']}; "
            f"{results['settings']}. Written by that command; the numbers are in [`frontier.json`](frontier.json).",
            "",
            "A subject of the blended picture should be all there and stand in its scene's light. *Wholeness* is R² of "
            "the blended picture against the foreground, after a linear fit for each channel, inside the eroded alpha. "
            "*Slope* and *r* belong to the regression of its colour gain on the scene's true one. "
            "[`evaluation/measures.py`](../src/layerfusion/evaluation/measures.py) has every equation. Real renders "
            "are no ceiling of wholeness: their light varies over a subject, and snow or grass covers its feet.",
            "",
            "![Wholeness over slope of every variant](images/mini/frontier.png)",
            "",
            f"## The choice: {choice}",
            "",
            f"On subjects and seeds that it was not chosen on: {', '.join(verdicts)}.",
            "",
            *table(results["scoring"], f"Scored: {', '.join(results['subjects']['scoring'])}, over every scene"),
            *table(
                results["choosing"], f"Tried: {', '.join(results['subjects']['choosing'])}, over half of the scenes"
            ),
            *dial_table(results["choosing"]),
        ]
    )


def table(rows: dict[str, Any], title: str) -> list[str]:
    """Every measure of every row; the interval of 95 % under the three that have bars."""
    head = [name + (" (dB)" if name == "background kept" else "") for name, _ in COLUMNS]
    lines = [f"## {title}", "", f"| variant | {' | '.join(head)} |", f"|{' --- |' * (len(head) + 1)}"]
    for name, row in rows.items():
        cells = []
        for measure, form in COLUMNS:
            found = row["measures"][measure]
            cell = form.format(found["value"])
            if measure in ("wholeness", "slope", "r"):
                cell += f" ({form.format(found['low'])} to {form.format(found['high'])})"
            cells.append(cell)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def dial_table(rows: dict[str, Any]) -> list[str]:
    """What the dial does to both measures."""
    if not set(DIAL) <= set(rows):
        return []
    lines = ["## The dial", "", "| harmony | slope | wholeness |", "| --- | --- | --- |"]
    for name, harmony in zip(DIAL, (0, 0.25, 0.5, 0.75, 1), strict=True):
        slope, whole = (rows[name]["measures"][measure]["value"] for measure in ("slope", "wholeness"))
        lines.append(f"| {harmony:g} | {slope:.2f} | {whole:.3f} |")
    return [*lines, ""]
