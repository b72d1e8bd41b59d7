"""The light benchmark on every system that harmonizes: `python -m recipes.paper.light`.

The set is written first where it is missing (`python -m recipes.mini.light`). Results, page and pictures go to
`docs/evidence/`; what was measured already is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from layerfusion import LayerFusionPipeline
from layerfusion.drawing import Tile, picture_of, sheet
from layerfusion.evaluation.baselines import Harmonizer, Missing, Scene, systems_for
from layerfusion.evaluation.light import LIGHT, MEASURES, Case, LightSet, answer_of, load_system, measure_case, summary
from layerfusion.files import atomic_write
from layerfusion.models import MINI, load_pipeline, read_vocabulary
from recipes.mini.kept import fingerprint_of
from recipes.mini.light import write as write_set
from recipes.mini.triplets import INDEPENDENT, known_world
from recipes.paper.kept import Measure, Pictures, heading, keep, measured, shown, table, write_page

SHOWN = 8  # cases on the sheet
PASTE = "plain paste"
ALONE = "base model alone, layers given"
OVER = f"PSNR over the {PASTE}"
FORMS = {"slope": "{:.2f}", "r": "{:.2f}", "PSNR": "{:.1f}", "PSNR of all": "{:.1f}", "background kept": "{:.1f}"}
FORMS |= {"fMSE": "{:.0f}", "MSE of all": "{:.0f}", OVER: "{:+.1f}"}

Make = Callable[[Sequence[str]], dict[str, np.ndarray]]


# --- systems ----------------------------------------------------------------------------------------------------------


def array(picture: Image.Image) -> np.ndarray:
    """[0, 1], float32."""
    return np.asarray(picture, np.float32) / 255


def by_harmonizer(system: Harmonizer, cases: dict[str, Case]) -> Make:
    """Pictures of a system that is given the composite and the mask."""

    def make(names: Sequence[str]) -> dict[str, np.ndarray]:
        made = []
        for case in (cases[name] for name in names):
            scene = Scene(" in ".join(case.prompts), case.seed)
            made.append(system.harmonize(array(case.composite), array(case.mask), scene))
        return {"picture": np.stack(made)}

    return make


def by_layers(pipe: LayerFusionPipeline, cases: dict[str, Case], alone: bool) -> Make:
    """Both layers are given to the pipeline and held: what it blends, and what its layers add up to.

    `alone`: the base model by itself on the same layers: it starts from their composite, and what lies out of the
    subject's reach is held.
    """

    def make(names: Sequence[str]) -> dict[str, np.ndarray]:
        some = [cases[name] for name in names]
        prompts = [case.prompts for case in some]
        made: Any = pipe(
            [f for f, _ in prompts],
            [f"{f} in {b}" if alone else b for f, b in prompts],
            foreground_image=[case.foreground for case in some],
            background_image=[case.background for case in some],
            generator=[torch.Generator().manual_seed(case.seed) for case in some],
            config=INDEPENDENT if alone else None,
            output_type="np",
        )
        if alone:
            return {"picture": np.asarray(made.blended)}
        return {"blended": np.asarray(made.blended), "layered": np.asarray(made.layered)}

    return make


def by_file(path: Path, cases: dict[str, Case]) -> Make:
    """Pictures of a system of the user's own."""
    system = load_system(path)

    def make(names: Sequence[str]) -> dict[str, np.ndarray]:
        return {"picture": np.stack([array(answer_of(system, cases[name], path.name)) for name in names])}

    return make


# --- measuring --------------------------------------------------------------------------------------------------------


def answers(pipe: LayerFusionPipeline, cases: dict[str, Case], args: argparse.Namespace, digest: str) -> dict[str, Any]:
    """The pictures (N, H, W, 3) of each system, or what it lacks."""
    pictures = Pictures(args.work, fingerprint_of(args.model), digest)
    found: dict[str, Any] = {}
    for system in systems_for("harmonize"):
        ready = system.prepare(args.files, pipe)
        if isinstance(ready, Missing):
            found[system.name] = ready
            continue
        found[system.name] = pictures.of(system.name, list(cases), by_harmonizer(ready, cases), args.batch)["picture"]
    found[ALONE] = pictures.of(ALONE, list(cases), by_layers(pipe, cases, alone=True), args.batch)["picture"]
    own = pictures.of("LayerFusion", list(cases), by_layers(pipe, cases, alone=False), args.batch)
    found |= {"LayerFusion, blended": own["blended"], "LayerFusion, layered": own["layered"]}
    for path in args.system:
        found[path.stem] = by_file(path, cases)(list(cases))["picture"]
    return found


def rows_of(found: dict[str, Any], cases: Sequence[Case]) -> dict[str, dict[str, Measure]]:
    """All measures of each system that is not missing, and how far it is ahead of the paste on the same cases."""
    values = {
        name: [measure_case(case, picture_of(one)) for case, one in zip(cases, pictures, strict=True)]
        for name, pictures in found.items()
        if not isinstance(pictures, Missing)
    }
    paste = np.array([case["PSNR"][0] for case in values[PASTE]])
    rows: dict[str, dict[str, Measure]] = {}
    for name, each in values.items():
        ahead = np.array([case["PSNR"][0] for case in each]) - paste
        rows[name] = summary(each)
        if name != PASTE:
            ahead = ahead[np.isfinite(ahead)]
            rows[name][OVER] = measured(partial(_mean, ahead), len(ahead))
    return rows


def _mean(of: np.ndarray, at: np.ndarray) -> float:
    return float(of[at].mean())


# --- page -------------------------------------------------------------------------------------------------------------


def draw(found: dict[str, Any], cases: Sequence[Case], path: Path) -> None:
    """The first cases, a row each: what is given, the truth, and every system."""
    names = [name for name, pictures in found.items() if not isinstance(pictures, Missing)]
    rows = [
        [Tile(p) for p in (case.foreground, case.background, case.truth)]
        + [Tile(picture_of(found[n][k])) for n in names]
        for k, case in enumerate(cases[:SHOWN])
    ]
    columns = ["foreground", "background", "truth", *(name.replace(", ", ",\n") for name in names)]
    drawn = sheet(rows, (128, 128), "Into the light of the scene", f"the first {SHOWN} cases", (), columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        drawn.save(temporary, "WEBP", quality=90, method=6)


def page(result: dict[str, Any]) -> list[str]:
    """The page, from what was kept."""
    about = (
        f"{result['cases']} cases of the set `{result['set']}` (digest `{result['digest'][:16]}`), model "
        f"`{result['model']}`. [What the set is, and how to run it on a system of your own](light-set.md)."
    )
    lines = heading("The light benchmark", about, result)
    names = [*LIGHT, "PSNR", OVER, "fMSE", "wholeness", "shadow", "background kept", "PSNR of all", "MSE of all"]
    cells = [
        [row, *(shown(measures.get(name), FORMS.get(name, "{:.3f}")) for name in names)]
        for row, measures in result["rows"].items()
    ]
    cells += [[row, says, *[""] * (len(names) - 1)] for row, says in result["missing"].items()]
    lines += table(["system", *names], cells)
    lines += ["", "In brackets the ends of a bootstrap interval of 95 % over the cases.", ""]
    lines += [f"- **{name}**: {about}." for name, about in MEASURES.items()]
    lines += [f"- **{OVER}**: paired, case by case, in dB.", "", f"![{SHOWN} cases](../images/evidence/light.webp)", ""]
    return [*lines, NOTES]


NOTES = """\
LayerFusion is given both layers and the prompts of the case, and so is the base model alone, which starts from their
composite; the others are given the composite and the mask. “Layered” is what LayerFusion's layers add up to. The truth
itself scores slope 1, r 1, fMSE 0 and shadow 1. Read these figures with one thing in mind: the embedded model was
trained on the same world, with other seeds; the other systems were not.
"""


def ready_set(path: Path, cases: int) -> LightSet:
    """The set at `path`, written first where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            write_set(known_world(256, path.parent / "world", read_vocabulary(MINI)), cases, temporary)
    return LightSet(path)


def main() -> None:
    """Measure, keep, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--set", type=Path, default=Path("build/light.zip"))
    parser.add_argument("--cases", type=int, default=130, help="the first of the set, or of one that is written")
    parser.add_argument("--system", type=Path, action="append", default=[], help="a Python file; can be repeated")
    parser.add_argument("--batch", type=int, default=8, help="triplets at once")
    parser.add_argument("--files", type=Path, default=Path("build/weights"), help="where others' weights lie")
    parser.add_argument("--work", type=Path, default=Path("build/evidence/light"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    known = ready_set(args.set, args.cases)
    cases = {case.name: case for case in known[: args.cases]}
    pipe = load_pipeline(args.model)
    pipe.set_progress_bar_config(disable=True)
    found = answers(pipe, cases, args, known.digest)
    path = args.out / "evidence" / "light.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    more = {"set": f"{known.name} {known.version}", "digest": known.digest, "cases": len(cases), "model": args.model}
    missing = {name: str(what) for name, what in found.items() if isinstance(what, Missing)}
    lost = keep(path, rows_of(found, list(cases.values())), more | {"missing": missing})
    draw(found, list(cases.values()), args.out / "images" / "evidence" / "light.webp")
    write_page(path.with_suffix(".md"), page(json.loads(path.read_text(encoding="utf-8"))))
    print("\n".join(lost))
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
