"""What README and docs say of options, switches, figures and the API, taken from the code.

`python -m tools.docs` writes it between the markers `<!-- generated: NAME -->` and `<!-- end -->`; with `--check` it
writes nothing and fails where a page differs.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import typer

from layerfusion.cli import app
from layerfusion.cli.options import option_name
from layerfusion.method import LayerFusionConfig
from layerfusion.models import MINI, Defaults, read_vocabulary
from layerfusion.runs import Request

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
LINE = 160
"""Longer signatures are shown an argument a line, without types."""
BLOCK = re.compile(r"(<!-- generated: ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
PACKAGES = (
    "layerfusion",
    *(f"layerfusion.{name}" for name in ("runs", "models", "layers", "offsets", "transparency", "method")),
)
FUNCTIONS = {"reblending": ("reblend",), "threads": ("settle_threads",), "allocation": ("keep_freed_memory",)}
"""Of modules that promise no more."""


def main() -> int:
    stale = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fresh = BLOCK.sub(lambda match: match[1] + generated(match[2]) + match[3], text)
        if fresh != text:
            stale.append(page.relative_to(ROOT))
            if "--check" not in sys.argv:
                page.write_text(fresh, encoding="utf-8")
    if "--check" in sys.argv and stale:
        print(f"Not as the code says: {', '.join(map(str, stale))}; run make docs.")
        return 1
    print(f"{len(PAGES)} pages say what the code says.")
    return 0


def generated(name: str) -> str:
    """The text of a block: "options generate", "switches", "api", …"""
    key, *rest = name.split()
    return MAKERS[key](*rest).strip() + "\n"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells)


# --- the command ------------------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with the first sentence of its help."""
    program: Any = typer.main.get_command(app)
    known = {name: program.get_command(None, name) for name in program.list_commands(None)}
    first = {name: " ".join(command.help.split("\n\n")[0].split()) for name, command in known.items()}
    rows = [(f"[`{name}`](#{name})", sentence) for name, sentence in first.items()]
    return table(("command", ""), rows)


def options(command: str) -> str:
    """Every option of a command, with its values and what its help says."""
    program: Any = typer.main.get_command(app)
    rows = []
    for each in program.get_command(None, command).params:
        if not each.opts[0].startswith("-") or "--help" in each.opts:
            continue
        names = ", ".join(f"`{name}`" for name in (*each.opts, *each.secondary_opts))
        values = ", ".join(
            f"`{choice}`" for choice in get_args(each.type_descriptor.annotation) if isinstance(choice, str)
        )
        default = f"`{each.default}`" if each.default not in (None, False, [], ()) and each.show_default else ""
        said = str(each.help) + (f" One of {values}." if values else "") + (f" Default {default}." if default else "")
        rows.append((names, said))
    return table(("option", "meaning"), rows)


# --- requests and switches --------------------------------------------------------------------------------------------


def request() -> str:
    """The fields of a request: how the command and how a script call them."""
    rows = []
    for name, field in Request.model_fields.items():
        option = option_name(name) if name not in Request.POSITIONAL else f'"{name.split("_")[0].upper()}"'
        if name in ("width", "height"):
            option = "--size WxH"
        default = "" if field.is_required() or field.default is None else f"`{field.default}`"
        rows.append((f"`{name}`", f"`{option}`" if option != name else "", default, str(field.description)))
    return table(("field of `Request`", "command", "default", "meaning"), rows)


def switches() -> str:
    """The fields of LayerFusionConfig, from its docstring."""
    said = attributes(LayerFusionConfig)
    rows = [(f"`{f.name}`", f"`{f.default!r}`".replace("'", '"'), said[f.name]) for f in fields(LayerFusionConfig)]
    return table(("field", "the paper's value", "meaning"), rows)


def attributes(of: type) -> dict[str, str]:
    """The attributes that a docstring describes; one entry for each, also where it describes several at once."""
    section = inspect.getdoc(of).split("Attributes:\n", 1)[1].split("\n\n")[0]  # type: ignore[union-attr]
    entries = re.findall(r"^    (\w[\w, ]*): (.*?)(?=^    \w|\Z)", section, re.DOTALL | re.MULTILINE)
    return {name: " ".join(text.split()) for names, text in entries for name in names.split(", ")}


# --- figures ----------------------------------------------------------------------------------------------------------


def vocabulary() -> str:
    """How much the embedded model knows."""
    known = read_vocabulary(MINI)
    assert known is not None
    objects = sum(map(len, known.objects.values()))
    return (
        f"The embedded model knows {objects} objects, {len(known.scenes)} scenes, {len(known.colours)} colours and "
        f"{len(known.styles)} styles."
    )


def defaults() -> str:
    """The embedded model's own settings, as far as they are others than the paper's."""
    own = Defaults.from_dict(json.loads((MINI / "model_index.json").read_text(encoding="utf-8"))["defaults"])
    values, papers = own.to_dict(), LayerFusionConfig.paper().to_dict()
    values["config"] = {name: value for name, value in values["config"].items() if value != papers[name]}
    return f"`{json.dumps(values, ensure_ascii=False)}`"


def harmonization() -> str:
    """The rows of the report on the embedded model that the README shows."""
    report = (ROOT / "docs" / "mini-report.md").read_text(encoding="utf-8")
    named = {"independent": "none: three independent runs", "self, d = 10": "self-attention alone"}
    named |= {"cross, d = 10": "cross-attention alone", "combined, d = 10": "combined, as in the paper"}
    named |= {"the model's own": "**the model's own settings**"}
    rows = []
    for name, shown in named.items():
        cells = rf"^\| {re.escape(name)} \| (-?[\d.]+) \| (-?[\d.]+) \| ([\d.]+)% "
        slope, r, found = re.findall(cells, report, re.MULTILINE)[0]
        rows.append((shown, slope, r, f"{found} %"))
    slope, r = re.findall(r"give slope ([\d.]+) and r ([\d.]+)", report)[0]
    rows.append(("real renders, the ceiling", slope, r, ""))
    met = re.findall(r"(\d+ of \d+) bars are met", report)[0]
    alpha, clear = re.findall(r"^\| alpha, mean absolute error[^|]*\| ([\d.]+)", report, re.MULTILINE)[:2]
    head = table(("masks", "slope of the subject's gain on the scene's", "r", "subject found in blended"), rows)
    said = f"{met} bars of the [whole report](docs/mini-report.md) are met. Alpha of given pictures comes back from the"
    return f"{head}\n\n{said} latent\nwith a mean error of {alpha}, of see-through things {clear}."


def table1() -> str:
    """The measured rows of the paper's Table 1, each with half the width of its interval."""
    kept = json.loads((ROOT / "docs" / "evidence" / "table1.json").read_text(encoding="utf-8"))
    forms = {"CLIP": ".1f", "KID": ".2f", "FID": ".3f"}
    columns = [f"{layer} {name}" for layer in ("foreground", "background") for name in forms]

    def cell(measure: dict[str, float], form: str) -> str:
        return f"{measure['value']:{form}} ± {(measure['high'] - measure['low']) / 2:{form}}"

    rows = [(name, *(cell(row[c], forms[c.split()[-1]]) for c in columns)) for name, row in kept["rows"].items()]
    return table(("system", *columns), rows)


def speed(benchmark: str) -> str:
    """The last ratios of each machine whose history is kept."""
    blocks = []
    for path in sorted((ROOT / "benchmarks" / "results" / "history").glob("*.json")):
        entries = [e for e in json.loads(path.read_text(encoding="utf-8")) if e["benchmark"] == benchmark]
        if not entries:
            continue
        last = entries[-1]
        on = last["conditions"]
        rows = [
            (name, f"{row['seconds']:.2f}", *(f"{m:.2f} ({low:.2f} to {high:.2f})" for m, low, high in ratios(row)))
            for name, row in last["rows"].items()
        ]
        head = table(("", "seconds", "ratio by wall clock", "ratio by processor time"), rows)
        where = f"{on['gpu'] or on['cpu']}, {on['threads']} of {on['cores']} cores, load {on['load_average']}"
        blocks.append(f"{where}; commit {on['commit']}, {on['date']}:\n\n{head}")
    return "\n\n".join(blocks)


def ratios(row: dict[str, Any]) -> tuple[list[float], list[float]]:
    return row["ratio"], row["processor ratio"]


def counted() -> str:
    """Counted operations of a joint step at SDXL's size."""
    kept = json.loads((ROOT / "benchmarks" / "results" / "counted.json").read_text(encoding="utf-8"))["results"]
    rows = [(name, f"{value:.3f}") for name, value in kept["ratios"].items()]
    stock = f"Six stock rows at 1024×1024: {kept['stock, 10^12']}·10¹² operations."
    return f"{table(('a joint step', 'operations / six stock rows'), rows)}\n\n{stock}"


def measured(page: str) -> str:
    """The rows of a page of measurements: numbers, means with their intervals, or words."""
    kept = json.loads((ROOT / "docs" / page).read_text(encoding="utf-8"))

    def cell(value: Any) -> str:
        if isinstance(value, list):
            mean, low, high = value
            return f"{mean:.3f} ({low:.3f} to {high:.3f})"
        return value if isinstance(value, str) else f"{value:.3f}"

    rows = [(name, *map(cell, row.values())) for name, row in kept["rows"].items()]
    head = ("", *next(iter(kept["rows"].values())))
    return f"{table(head, rows)}\n\n{kept['cases']} cases, commit {kept['conditions']['commit']}."


def cheaper() -> str:
    """What each saving does to the embedded model's triplets."""
    return measured("cheaper.json")


def beginning() -> str:
    """What blending from a step on loses and costs."""
    return measured("beginning.json")


def footprint() -> str:
    """What a machine needs: of SDXL, what `benchmarks.sdxl` measured; sizes on disk are rounded."""
    sdxl = bench("sdxl-cpu")
    size = re.findall(r"\d+x\d+", sdxl["what"])[0].replace("x", "×")
    own = Defaults.from_dict(json.loads((MINI / "model_index.json").read_text(encoding="utf-8"))["defaults"])
    side, weights = (own.size or (0, 0))[0], sum(file.stat().st_size for file in MINI.rglob("*.safetensors"))
    rows = [
        (
            "the package with its embedded model",
            f"{weights / 1e6:.0f} MB, and 2 GB of libraries (CPU build of torch)",
            "0.8 GB",
            f"a few seconds a triplet on two CPU cores ({side}×{side}, {own.steps} steps); the command says how many",
        ),
        (
            "SDXL on a CPU",
            "7 GB in half precision",
            f"{sdxl['peak_rss_gib']} GiB for one step at {size} in bfloat16, without text encoders and decoding",
            f"{sdxl['step_seconds']:.0f} s a step at {size} on two cores",
        ),
        ("SDXL on CUDA", "the same", "`--offload` chooses what lies on the GPU", "not measured here"),
    ]
    return table(("", "disk", "memory", "time"), rows)


def layer_speed() -> str:
    """What `benchmarks.layers` measured."""
    found = bench("layers")
    bars = found.pop("bars")
    shapes = [each for each in found.values() if "composite" in each]

    def span(values: list[float]) -> str:
        low, high = (f"{value:.2f}" for value in (min(values), max(values)))
        return low if low == high else f"{low} to {high}"

    composite, psd = (span([each[name]["ratio"] for each in shapes]) for name in ("composite", "psd"))
    rows = [
        (
            "4 layers of 2048×2048, composited",
            f"{composite} times Pillow's `alpha_composite` (bar: {bars['composite ratio']:.0f})",
        ),
        ("the same, written as PSD with its preview", f"{psd} times psd-tools' own time (bar: {bars['psd ratio']})"),
    ]
    return table(("speed", "measured"), rows)


def bench(name: str) -> dict[str, Any]:
    """The results that a benchmark has kept."""
    kept: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return dict(kept["results"])


# --- the API ----------------------------------------------------------------------------------------------------------


def api() -> str:
    """Every public name of the packages, with its signature and its docstring."""
    seen: set[str] = set()
    packages = {package: import_module(package).__all__ for package in PACKAGES}
    packages |= {f"layerfusion.{name}": functions for name, functions in FUNCTIONS.items()}
    return "\n".join(line for package in packages for line in package_lines(package, packages[package], seen))


def package_lines(package: str, names: Sequence[str], described_already: set[str]) -> Iterator[str]:
    module = import_module(package)
    yield f"## {package}\n\n{str(module.__doc__).splitlines()[0]}\n"
    for name in names:
        thing = getattr(module, name)
        ours = getattr(thing, "__module__", "").startswith("layerfusion")
        if ours and (inspect.isclass(thing) or inspect.isfunction(thing)) and name not in described_already:
            described_already.add(name)
            yield from described(name, thing, "###")


def described(name: str, thing: Any, level: str) -> Iterator[str]:
    # What is only an exception has no signature of its own.
    plain = inspect.isclass(thing) and issubclass(thing, Exception)
    signature = inspect.Signature() if plain else inspect.signature(thing)
    shown = re.sub(r"\blayerfusion(\.\w+)*\.", "", str(signature))
    if " at 0x" in shown:  # not the same twice: the names alone
        shown = f"({', '.join(signature.parameters)})"
    elif len(shown) > LINE:
        # Types are long where a union is spelled out; the docstring says them in words.
        parameters = list(signature.parameters.values())
        short = [str(each.replace(annotation=each.empty)) for each in parameters]
        kinds = [each.kind for each in parameters]
        if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
            short.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
        shown = "(\n" + "".join(f"    {each},\n" for each in short) + ")"
    yield f"{level} `{name}`\n\n```python\n{name}{shown}\n```\n\n{prose(inspect.getdoc(thing) or '')}\n"
    if inspect.isclass(thing):
        for key, member in members(thing):
            if isinstance(member, property):
                yield f"#### `{name}.{key}`\n\n{prose(inspect.getdoc(member) or '')}\n"
            else:
                yield from described(f"{name}.{key}", member, "####")


def members(of: type) -> Iterator[tuple[str, Any]]:
    """Its public methods and properties that say what they do, its own first, then what our other classes give it."""
    found: dict[str, Any] = {}
    for base in of.__mro__:
        for key, member in vars(base).items() if base.__module__.startswith("layerfusion") else ():
            found.setdefault(key, member.__func__ if isinstance(member, classmethod | staticmethod) else member)
    for key, member in found.items():
        function = member.fget if isinstance(member, property) else member
        own = inspect.isfunction(function) and function.__module__.startswith("layerfusion")
        if own and (not key.startswith("_") or key == "__call__") and member.__doc__:
            yield key, member


def prose(docstring: str) -> str:
    """A docstring's sections and their entries as Markdown."""
    text = re.sub(r"^(Args|Attributes|Returns|Raises|Yields):$", r"**\1**\n", docstring, flags=re.MULTILINE)
    text = re.sub(r"^    ([\w, …]+): ", r"- `\1`: ", text, flags=re.MULTILINE)
    return re.sub(r"^ {8}(?=\S)", "  ", text, flags=re.MULTILINE)


FIGURES = (vocabulary, defaults, harmonization, table1, footprint, layer_speed, speed, counted, cheaper, beginning)
MAKERS: dict[str, Callable[..., str]] = {
    maker.__name__: maker for maker in (commands, options, request, switches, *FIGURES, api)
}

if __name__ == "__main__":
    sys.exit(main())
