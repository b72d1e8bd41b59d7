"""The paper's user study (Sec. 4.2, A.5): one self-contained page of triplets to rate, and the analysis of answers.

The page names no method: each triplet has a number that says nothing, drawn from a seed, and what is behind it stands
in a key that stays with whoever runs the study. A person sees the triplets in an order of their own; their answers stay
in their browser, and are saved as a file by them.
"""

import base64
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError, told
from layerfusion.evaluation import paper
from layerfusion.evaluation.measures import bootstrap

ANSWERS, KEY = "layerfusion-study-answers", "layerfusion-study-key"
LARGEST = 512  # the longest side of a picture on the page


@dataclass(frozen=True)
class Item:
    """One triplet of the study: whose it is, what it was made from, and its three pictures."""

    method: str
    prompts: tuple[str, str]
    foreground: Image.Image
    background: Image.Image
    blended: Image.Image


def read_items(method: str, folder: Path) -> list[Item]:
    """The triplets of a method: every folder in `folder` with foreground.png, background.png and blended.png.

    Each has a `triplet.json`, which says at least "foreground_prompt" and "background_prompt"; those that
    `layerfusion generate` writes are as they should be.

    Raises:
        LayerFusionError: there are none, or one is not whole.
    """
    folders = sorted({path.parent for path in folder.glob("*/blended.png")})
    if not folders:
        raise LayerFusionError(f"{folder} holds no folders with triplets; give what `layerfusion generate` wrote.")
    items = []
    for each in folders:
        try:
            said = json.loads((each / "triplet.json").read_text(encoding="utf-8"))
            pictures = [Image.open(each / f"{name}.png") for name in ("foreground", "background", "blended")]
            for picture in pictures:
                picture.load()
            items.append(Item(method, (said["foreground_prompt"], said["background_prompt"]), *pictures))
        except (OSError, ValueError, KeyError) as error:
            raise LayerFusionError(
                f"{each} is no whole triplet ({told(error)}); it needs three PNGs and triplet.json with both prompts."
            ) from error
    return items


def build(items: Sequence[Item], seed: int) -> tuple[str, dict[str, Any]]:
    """The page (HTML) and its key: {"format", "study", "items": {id: {"method", "prompts"}}}.

    Args:
        items: Of all methods.
        seed: Of the numbers on the page.
    """
    numbers = np.random.default_rng(seed).permutation(len(items))
    shown: list[dict[str, Any]] = [
        {"id": f"{number:03}", "prompts": item.prompts}
        | {name: _embedded(getattr(item, name)) for name in ("foreground", "background", "blended")}
        for number, item in sorted(zip(numbers.tolist(), items, strict=True), key=lambda pair: pair[0])
    ]
    study: dict[str, Any] = {"question": paper.question(), "items": shown}
    digest = hashlib.sha256(json.dumps(study, sort_keys=True).encode()).hexdigest()[:16]
    text = json.dumps({"digest": digest, **study}, ensure_ascii=False).replace("<", "\\u003c")
    template = (Path(__file__).parent / "user_study.html").read_text(encoding="utf-8")
    behind = {
        f"{number:03}": {"method": item.method, "prompts": list(item.prompts)}
        for number, item in zip(numbers.tolist(), items, strict=True)
    }
    key = {"format": KEY, "version": 1, "study": digest, "items": dict(sorted(behind.items()))}
    return template.replace("/*STUDY*/", text), key


def _embedded(picture: Image.Image) -> str:
    small = picture.convert("RGBA" if picture.mode == "RGBA" else "RGB")
    small.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "WEBP", quality=92, method=6)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


# --- answers ----------------------------------------------------------------------------------------------------------


def read_key(file: Path) -> dict[str, Any]:
    """The key of a page.

    Raises:
        LayerFusionError: it is none.
    """
    try:
        key = json.loads(file.read_text(encoding="utf-8"))
        if key["format"] == KEY and key["study"] and key["items"]:
            return dict(key)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise LayerFusionError(f"{file} is no key of a study; give the -key.json that was written beside the page.")


def read_answers(files: Iterable[Path], key: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Ratings by person and item.

    Raises:
        LayerFusionError: a file is of no or of another study, incomplete, or a person is in two of them.
    """
    answers: dict[str, dict[str, int]] = {}
    for file in files:
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            ratings = {str(each["item"]): each["rating"] for each in said["answers"]}
            person, study, kind = str(said["person"]), said["study"], said["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LayerFusionError(
                f"{file} holds no answers ({told(error)}); give a file that the page saved."
            ) from error
        if kind != ANSWERS or study != key["study"]:
            raise LayerFusionError(f"{file} belongs to another study than the key; give the files of one study.")
        if set(ratings) != set(key["items"]) or any(rating not in (1, 2, 3, 4, 5) for rating in ratings.values()):
            raise LayerFusionError(f"{file} is not complete; every triplet has a rating from 1 to 5.")
        if person in answers:
            raise LayerFusionError(f"{file} is a second file of person {person}; keep one of them.")
        answers[person] = ratings
    if not answers:
        raise LayerFusionError("there are no answers; give the files that the page saved.")
    return answers


def analyse(answers: dict[str, dict[str, int]], key: dict[str, Any], draws: int = 2000) -> dict[str, Any]:
    """Mean and deviation of each method, and the paired difference of every two of them.

    The deviation is that of the persons' means, as the paper's "±" is read here; beside it stands that of all single
    ratings. Differences are paired by person: Student's paired t and Wilcoxon's signed ranks (scipy), and a bootstrap
    interval over persons. A method that nobody rated differently has no test: p is NaN.

    Returns:
        {"persons", "methods": {name: {"mean", "deviation", "deviation_of_ratings", "low", "high", "triplets"}},
        "paired": {"a − b": {"difference", "low", "high", "t_p", "wilcoxon_p"}}}.
    """
    people = sorted(answers)
    items: dict[str, list[str]] = {}
    for name, item in key["items"].items():
        items.setdefault(item["method"], []).append(name)
    ratings = {
        method: np.array([[answers[p][name] for name in names] for p in people], float)
        for method, names in items.items()
    }
    means = {method: values.mean(1) for method, values in ratings.items()}

    def interval(values: np.ndarray) -> dict[str, float]:
        low, high = bootstrap(lambda at: float(values[at].mean()), len(values), draws=draws)
        return {"low": low, "high": high}

    def deviation(values: np.ndarray) -> float:
        return float(values.std(ddof=1)) if values.size > 1 else float("nan")

    methods = {
        method: {
            "mean": float(means[method].mean()),
            "deviation": deviation(means[method]),
            "deviation_of_ratings": deviation(ratings[method]),
            **interval(means[method]),
            "triplets": len(items[method]),
        }
        for method in sorted(items)
    }
    names = sorted(items)
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :]]
    paired = {}
    for a, b in pairs:
        difference = means[a] - means[b]
        paired[f"{a} − {b}"] = {"difference": float(difference.mean()), **interval(difference), **_tests(difference)}
    return {"persons": len(people), "methods": methods, "paired": paired}


def _tests(differences: np.ndarray) -> dict[str, float]:
    """p-values of the two paired tests; NaN where nothing varies."""
    from scipy import stats

    if len(differences) < 2 or np.ptp(differences) == 0:
        return {"t_p": float("nan"), "wilcoxon_p": float("nan")}
    t = stats.ttest_1samp(differences, 0).pvalue
    return {"t_p": float(t), "wilcoxon_p": float(stats.wilcoxon(differences).pvalue)}
