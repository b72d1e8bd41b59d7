"""Every system that is compared with, and what it takes here: `python -m recipes.paper.systems`."""

from __future__ import annotations

from pathlib import Path

from layerfusion.evaluation import features
from layerfusion.evaluation.baselines import SYSTEMS, Missing
from layerfusion.evaluation.baselines.diffused import BASE
from recipes.paper.kept import table, write_page


def lines(weights: Path) -> list[str]:
    """The page; a system is ready where it needs no file, or its file lies in `weights`."""
    rows = []
    for system in SYSTEMS.values():
        found = system.prepare(weights, None)
        state = "ready with a model" if found is BASE else str(found) if isinstance(found, Missing) else "ready"
        licence = system.licence or "a library's or our own"
        rows.append([system.name, ", ".join(system.tasks), system.source, licence, state])
    networks = features.prepare(weights)
    asked = [str(each) for each in networks] if isinstance(networks, list) else ["Both networks are ready."]
    return [
        "# Systems that are compared with",
        "",
        "`python -m recipes.paper.systems`, without a model and with the weights of others that it found in "
        f"`{weights}`. None of their code is part of this project: networks in ONNX run with onnxruntime, and other "
        "systems in an environment of their own, by a `command.txt` beside their weights "
        "(`layerfusion.evaluation.baselines.outside`).",
        "",
        *table(["system", "what it does", "from", "licence", "here"], rows),
        "",
        "The embedded model has a sequential LayerDiffuse of its own (`recipes/mini/sequential`, trained by "
        "`python -m recipes.mini.train.sequential`), with which `python -m recipes.paper.table1` and "
        "`python -m recipes.paper.compared 5` run offline.",
        "",
        "Table 1 looks through two networks; without them, through the project's own probe, and says so:",
        "",
        *(f"- {each}" for each in asked),
    ]


if __name__ == "__main__":
    write_page(Path("docs/evidence/systems.md"), lines(Path("build/weights")))
