"""`python -m layerfusion.evaluation`: measure a system of one's own, on truth or on datasets; run the user study."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from layerfusion.errors import LayerFusionError
from layerfusion.files import atomic_write
from layerfusion.program import OneSentence

app = typer.Typer(
    cls=OneSentence, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)
SystemFile = Annotated[Path, typer.Option(help="A Python file with the function that the benchmark calls.")]
Results = Annotated[Path | None, typer.Option("--json", help="Also write the results here.")]


@app.command()
def light(
    system: SystemFile,
    cases_from: Annotated[Path, typer.Option("--set", help="The benchmark: a folder or a zip.")],
    results: Results = None,
) -> None:
    """Light against truth: compose(foreground, background) or harmonize(composite, mask) in a file."""
    from layerfusion.evaluation.light import LightSet, answer_of, load_system, measure_case, summary

    cases, runs = LightSet(cases_from), load_system(system)
    told = track(cases, "cases", len(cases), console=Console(stderr=True))
    rows = summary([measure_case(case, answer_of(runs, case, system.name)) for case in told])
    show(system.stem, rows, results, {"set": f"{cases.name} {cases.version}", "digest": cases.digest})


@app.command()
def study(
    method: Annotated[list[str], typer.Option(help="NAME=FOLDER of triplets as `generate` writes; give it twice.")],
    out: Annotated[Path, typer.Option(help="The page; the key goes beside it, as NAME-key.json.")] = Path("study.html"),
    seed: Annotated[int, typer.Option(min=0, help="Of the numbers that stand for the triplets.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a page that is there.")] = False,
) -> None:
    """The page of the paper's user study, of the triplets of two or more methods."""
    from layerfusion.evaluation.user_study import build, read_items

    given = [each.partition("=") for each in method]
    if any(not (name and folder) for name, _, folder in given):
        raise LayerFusionError("each --method is NAME=FOLDER; write it so.")
    page, key = build([item for name, _, folder in given for item in read_items(name, Path(folder))], seed)
    behind = out.with_name(f"{out.stem}-key.json")
    for path, text in ((out, page), (behind, json.dumps(key, indent=1, ensure_ascii=False) + "\n")):
        with atomic_write(path, overwrite) as temporary:
            temporary.write_text(text, encoding="utf-8")
    typer.echo(f"{out}: {len(key['items'])} triplets\n{behind}: which is whose; keep it from those who rate")


@app.command()
def ratings(
    answers: Annotated[list[Path], typer.Argument(help="The files that people saved.")],
    key: Annotated[Path, typer.Option(help="That of the page.")],
    results: Results = None,
) -> None:
    """Means, deviations, paired tests and intervals of a study's answers."""
    from layerfusion.evaluation.user_study import analyse, read_answers, read_key

    behind = read_key(key)
    found = analyse(read_answers(answers, behind), behind)
    table = Table("method", "mean", "± over people", "95 %", "triplets")
    for name, row in found["methods"].items():
        span = f"{row['low']:.3f} to {row['high']:.3f}"
        table.add_row(name, f"{row['mean']:.3f}", f"{row['deviation']:.3f}", span, str(row["triplets"]))
    Console().print(table)
    for name, pair in found["paired"].items():
        span = f"{pair['difference']:+.3f} ({pair['low']:+.3f} to {pair['high']:+.3f})"
        tests = f"paired t p = {pair['t_p']:.3g}, Wilcoxon p = {pair['wilcoxon_p']:.3g}"
        typer.echo(f"{name}: {span}, {found['persons']} people, {tests}")
    save(found, results)


@app.command()
def dataset(
    name: Annotated[str, typer.Argument(help="aim-500, crello, reveallayer or lasagna.")],
    data: Annotated[Path, typer.Argument(help="The dataset: a folder; of RevealLayerBench its JSON.")],
    answers: Annotated[Path, typer.Option(help="Where answers lie, and are put.")],
    system: Annotated[Path | None, typer.Option(help="A Python file that gives what is missing.")] = None,
    results: Results = None,
) -> None:
    """A dataset that you have: measure the answers that lie in a folder, or ask a system for them first."""
    from layerfusion.evaluation.datasets import DATASETS, run

    if name not in DATASETS:
        raise LayerFusionError(f"there is no dataset {name!r}; choose one of {', '.join(DATASETS)}.")
    told = partial(track, description=name, console=Console(stderr=True))
    rows = run(DATASETS[name], data, answers, system, told)
    show(system.stem if system else answers.name, rows, results, {"dataset": name})


def show(name: str, rows: dict[str, dict[str, Any]], results: Path | None, about: dict[str, Any]) -> None:
    """Print a system's measures, and write them where that is asked."""
    table = Table("measure", name, "95 %", "cases")
    for measure, row in rows.items():
        table.add_row(measure, f"{row['value']:.4g}", f"{row['low']:.4g} to {row['high']:.4g}", str(row["cases"]))
    Console().print(table)
    save({"system": name, **about, "measures": rows}, results)


def save(found: dict[str, Any], path: Path | None) -> None:
    """Write results as JSON."""
    if path is not None:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    app(prog_name="python -m layerfusion.evaluation")
