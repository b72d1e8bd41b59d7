"""The report as a page: what was measured, in words and tables."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from layerfusion.evaluation.measures import Line
from layerfusion.files import atomic_write
from recipes.mini.checks import Check, Named
from recipes.mini.priors import TIMES, LayerScore


@dataclass(frozen=True)
class Row:
    """One row of the ablation."""

    name: str
    line: Line
    points: np.ndarray
    named: Named
    kept: tuple[float, float]


@dataclass(frozen=True)
class Report:
    """Everything that was measured; `columns` are what other models, or other cases, gave in the same run, by check."""

    checks: list[Check]
    columns: dict[str, dict[str, float]]
    rows: list[Row]
    layers: list[LayerScore]
    best_layer: tuple[str, int]
    saved_layer: tuple[str, int]
    real: Line
    probe: dict[str, float]
    counts: str
    commit: str
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """For `mini-report.json`."""
        return {
            "command": command_line(),
            "commit": self.commit,
            "machine": self.machine,
            "counts": self.counts,
            "checks": {
                check.name: {
                    "value": _number(check.value),
                    "bar": check.bar,
                    "at_least": check.at_least,
                    "met": check.met,
                }
                for check in self.checks
            },
            "columns": {
                name: {check: _number(value) for check, value in column.items()}
                for name, column in self.columns.items()
            },
            "ablation": {row.name: {"slope": row.line.slope, "r": row.line.r} for row in self.rows},
            "probe": self.probe,
        }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


def write(report: Report, folder: Path) -> list[str]:
    """Write page and JSON; what bars the report kept there so far met, and this one misses, a sentence each."""
    file = folder / "mini-report.json"
    former = json.loads(file.read_text(encoding="utf-8"))["checks"] if file.exists() else {}
    for path, text in (
        (folder / "mini-report.md", markdown(report, "images/mini")),
        (file, json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n"),
    ):
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [
        f"lost: {check.name} was {former[check.name]['value']:.3f} and is {check.value:.3f}, the bar is {check.bar:g}."
        for check in report.checks
        if not check.met and former.get(check.name, {}).get("met", False)
    ]


def command_line() -> str:
    """How this run was started, as a person would type it."""
    return " ".join(["python -m recipes.mini.report", *sys.argv[1:]])


def commit() -> str:
    """The commit of the working tree, marked where the tree differs from it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def markdown(report: Report, figures_at: str) -> str:
    """The report as a page."""
    met = sum(check.met for check in report.checks)
    lines = [
        "# The embedded model, measured",
        "",
        f"`{command_line()}` at commit `{report.commit}`: {report.counts}. Every picture is fresh: no training has "
        f"seen its seed. {report.machine['cores']} cores of {report.machine['cpu']}, load "
        f"{report.machine['load_average']}. {met} of {len(report.checks)} bars are met.",
        "",
        f"| check | measured | bar | |{''.join(f' {name} |' for name in report.columns)}",
        f"| --- | --- | --- | --- |{' --- |' * len(report.columns)}",
    ]
    for check in report.checks:
        sign = "≥" if check.at_least else "≤"
        beside = [column.get(check.name, math.nan) for column in report.columns.values()]
        cells = [check.name, _shown(check.value), f"{sign} {check.bar:g}", "met" if check.met else "**missed**"]
        lines.append(f"| {' | '.join([*cells, *map(_shown, beside)])} |")
    probe = ", ".join(f"{name} {share:.1%}" for name, share in report.probe.items())
    lines += ["", f"The probe's own accuracy on fresh renders, the ceiling of what it can find: {probe}.", ""]
    lines += ablation_lines(report, figures_at) + prior_lines(report)
    lines += [
        "## Pictures",
        "",
        *(f"![{text}]({figures_at}/{name})\n" for name, text in FIGURES.items()),
    ]
    return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


FIGURES = {
    "one-subject.jpg": "One subject and seed over several background prompts",
    "kinds.jpg": "Animals, vehicles, people, things with a colour word",
    "see-through.jpg": "See-through things on a wooden table, and a campfire on a beach at night",
    "styles.jpg": "Styles",
}


def ablation_lines(report: Report, figures_at: str) -> list[str]:
    """The paper's Fig. 8 as numbers."""
    lines = [
        "## What blending does",
        "",
        "Slope and r belong to the regression of the subject's colour gain in the blended picture on the true gain of "
        "the scene's light, over scenes and channels; the gain is taken against the same subject from an "
        "independent run. Real renders, measured in the same way, give slope "
        f"{report.real.slope:.2f} and r {report.real.r:.2f}: the ceiling. “Independent” is three independent runs, its "
        "blended picture the foreground laid over the background: its light cannot follow the scene. Read a slope "
        "beside the share of pictures in which the subject is found: where there is no subject, only the background "
        "follows the light.",
        "",
        "| mask | slope | r | subject found in blended | scene found in blended | object in background | "
        "foreground named | subject kept | overlap of alphas |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in report.rows:
        named = row.named
        shares = (
            named.blended_object,
            named.blended_scene,
            named.background_object,
            named.foreground,
            row.kept[0],
        )
        cells = [row.name, f"{row.line.slope:.2f}", f"{row.line.r:.2f}", *(f"{s:.0%}" for s in shares)]
        lines.append(f"| {' | '.join(cells)} | {row.kept[1]:.2f} |")
    pictures = (("gains.png", "Measured over true gain"), ("ablation.jpg", "One subject under every mask"))
    return [*lines, "", *(f"![{text}]({figures_at}/{name})\n" for name, text in pictures)]


def prior_lines(report: Report) -> list[str]:
    """The table of priors, layer by layer."""
    layer, sign = report.best_layer
    saved, saved_sign = report.saved_layer
    times = ", ".join(f"{t:g}" for t in TIMES)
    lines = [
        "## Priors against true alpha",
        "",
        f"Areas under the ROC curve at t = {times} T, on foregrounds the model has not seen. The model is saved with "
        f"the structure layer `{saved}`, sign {saved_sign:+d}; by this table the best is `{layer}`, "
        f"sign {sign:+d}.",
        "",
        "| attention | grid | structure s' (sign +1) | content c | soft mask |",
        "| --- | --- | --- | --- | --- |",
    ]
    for score in report.layers:
        columns = (
            " ".join(f"{v:.2f}" for v in values) or "–" for values in (score.structure, score.content, score.soft)
        )
        name = score.layer.replace("transformer_blocks", "blocks")
        lines.append(f"| `{name}` | {score.grid[0]}×{score.grid[1]} | {' | '.join(columns)} |")
    return [*lines, ""]
