"""What a measurement keeps: pictures batch by batch, to go on where it was stopped, and results with their history."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.progress import track
from safetensors.numpy import load_file, save_file

from benchmarks.machine import conditions
from layerfusion.evaluation.measures import bootstrap
from layerfusion.files import atomic_write
from recipes.mini.kept import digest

Measure = dict[str, Any]
"""`value`, and `low` and `high`, the ends of its bootstrap interval of 95 %; `better` says "high" or "low"."""

T = TypeVar("T")


class Pictures:
    """Pictures by what they were made of, as 8-bit files hold them, in a folder.

    Args:
        folder: Where they lie; one file for each batch.
        settings: All that the pictures depend on beside the cases themselves: model, configuration, steps, …; its repr
            is part of the files' names, so plain values or dataclasses of them.
    """

    def __init__(self, folder: Path, *settings: Any) -> None:
        self.folder, self.settings = folder, settings

    def of(
        self, name: str, cases: Sequence[T], make: Callable[[Sequence[T]], dict[str, np.ndarray]], batch: int = 8
    ) -> dict[str, np.ndarray]:
        """Arrays (N, …) in [0, 1], float32, by name, of all cases, batch by batch; what lies there is not made again.

        Args:
            name: Of what is made; shown beside the progress bar.
            cases: What each picture is made of; plain values or dataclasses of them.
            make: Cases → arrays of as many pictures, in [0, 1].
            batch: Cases made at once.
        """
        parts = []
        for part in track(list(_batches(cases, batch)), f"{name}, {len(cases)} cases"):
            path = self.folder / f"{digest((self.settings, name, tuple(part)))}.safetensors"
            if not path.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                made = {key: pixels(value) for key, value in make(part).items()}
                with atomic_write(path) as temporary:
                    save_file(made, temporary)
            parts.append(load_file(path))
        return {key: np.concatenate([part[key] for part in parts]).astype(np.float32) / 255 for key in parts[0]}


def _batches(cases: Sequence[T], batch: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(cases), batch):
        yield cases[start : start + batch]


def pixels(picture: np.ndarray) -> np.ndarray:
    """[0, 1] as 8 bits, laid out in memory as it reads: safetensors would take another order as it lies."""
    return np.ascontiguousarray((255 * np.clip(picture, 0, 1)).round().astype(np.uint8))


def measured(
    statistic: Callable[[np.ndarray], float], cases: int, better: str = "high", draws: int = 1000, seed: int = 0
) -> Measure:
    """A statistic of cases by number, (cases,) integers → value, of all of them, with its bootstrap interval."""
    low, high = bootstrap(statistic, cases, draws=draws, seed=seed)
    return {"value": float(statistic(np.arange(cases))), "low": low, "high": high, "better": better, "cases": cases}


def known(measure: Measure | None) -> bool:
    """Whether value and interval are numbers; in JSON what is none is null."""
    figures = [] if measure is None else [measure[name] for name in ("value", "low", "high")]
    return bool(figures) and all(figure is not None and np.isfinite(figure) for figure in figures)


def shown(measure: Measure | None, form: str = "{:.3f}") -> str:
    """A value with its interval, as tables show it."""
    if measure is None or not known(measure):
        return "–"
    return f"{form.format(measure['value'])} ({form.format(measure['low'])} to {form.format(measure['high'])})"


# --- results ----------------------------------------------------------------------------------------------------------


def keep(path: Path, rows: dict[str, dict[str, Measure]], more: dict[str, Any]) -> list[str]:
    """Write a table's results with command, commit and machine, and what the runs before it gave.

    Args:
        path: The JSON file.
        rows: Measures by row and name.
        more: Whatever else belongs to the run: settings, what is missing, notes.

    Returns:
        A sentence for each measure that has fallen since the last run of another commit, beyond its noise. With
        what was measured on a set of cases of another `digest` nothing is compared.
    """
    former = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    now = {"command": command_line(), "conditions": conditions(), **more, "rows": rows}
    history = former["history"] if former else []
    lost: list[str] = []
    if former and former["conditions"]["commit"] != now["conditions"]["commit"]:
        last = {name: former["conditions"][name] for name in ("commit", "date")}
        last |= {name: former[name] for name in ("digest", "rows") if name in former}
        history = [*history, last]
        lost = fallen(last, rows) if last.get("digest") == more.get("digest") else []
    with atomic_write(path) as temporary:
        text = json.dumps(_plain(now | {"history": history}), indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return lost


def _plain(value: Any) -> Any:
    """The same with null for what is no number, which JSON has no word for."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def fallen(former: dict[str, Any], rows: dict[str, dict[str, Measure]]) -> list[str]:
    """What is worse than in a former run with the intervals apart, a sentence each."""
    sentences = []
    for row, measures in rows.items():
        for name, now in measures.items():
            was = former["rows"].get(row, {}).get(name)
            both = known(was) and known(now)
            worse = both and (now["high"] < was["low"] if now["better"] == "high" else now["low"] > was["high"])
            if worse:
                sentences.append(
                    f"{name} of {row} is worse: {now['value']:.4g}, {was['value']:.4g} at {former['commit']}."
                )
    return sentences


def command_line() -> str:
    """How this run was started, as a person would type it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return " ".join([f"python -m {spec.name if spec else Path(sys.argv[0]).stem}", *sys.argv[1:]])


def write_page(path: Path, lines: Sequence[str]) -> None:
    """Write a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(path)


def heading(title: str, about: str, result: dict[str, Any]) -> list[str]:
    """How every page begins: what it is, and of which command, commit and machine.

    Args:
        title: Of the page.
        about: What was done, sentences.
        result: What `keep` wrote.
    """
    machine = result["conditions"]
    return [
        f"# {title}",
        "",
        f"`{result['command']}` at commit `{machine['commit']}` on {machine['cores']} cores of {machine['cpu']}. "
        f"{about}",
        "",
    ]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
