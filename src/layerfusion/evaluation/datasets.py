"""Runners for datasets that the user has: AIM-500, Crello as LayerD prepares it, RevealLayerBench, LASAGNA-BENCH.

Each reads the dataset as it is published, asks a system for what is not answered yet, keeps the answers as the files
that the datasets' own evaluations read, and measures them. `docs/evidence/datasets.md` says where each comes from and
what about it is not certain.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError, told
from layerfusion.evaluation import decomposition, matting, measures
from layerfusion.evaluation.systems import functions_of
from layerfusion.files import atomic_write

Answers = dict[str, Image.Image]
SIDE = 1024  # of a picture, at which RevealLayerBench is measured
PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Sample:
    """One picture of a dataset.

    Attributes:
        name: Its folder or file in the answers.
        files: What an answer consists of, in that folder; "" alone is `name.png` itself, None any numbered PNGs.
        ask: A system's function → the pictures of these files, by name.
        measure: Opened answers by name → numbers by measure.
    """

    name: str
    files: tuple[str, ...] | None
    ask: Callable[[Callable[..., Any]], Answers]
    measure: Callable[[Answers], dict[str, float]]


@dataclass(frozen=True)
class Dataset:
    """A dataset as it is run.

    Attributes:
        function: The name of the function that a system's file has.
        read: Its folder (or file) → samples; raises a LayerFusionError where it is another.
        lower: How the measures begin of which less is better.
    """

    function: str
    read: Callable[[Path], list[Sample]]
    lower: tuple[str, ...] = ()


def run(
    dataset: Dataset, folder: Path, answers: Path, system: Path | None, tell: Callable[[Any], Iterable[Sample]] = iter
) -> dict[str, dict[str, Any]]:
    """Ask, keep, measure.

    Args:
        folder: The dataset.
        answers: Where answers lie, or are put.
        system: A Python file with the dataset's function; without one, all answers must lie there.
        tell: Goes through the samples, with a bar.

    Returns:
        Means with their bootstrap intervals of 95 %, as `light.summary` gives them.

    Raises:
        LayerFusionError: dataset, answers or system are not as they must be.
    """
    samples = dataset.read(folder)
    asked = None if system is None else functions_of(system, (dataset.function,))[dataset.function]
    found: list[dict[str, float]] = []
    for sample in tell(samples):
        kept = answered(sample, answers)
        if kept is None:
            if asked is None:
                raise LayerFusionError(f"{answers} has no answer for {sample.name}; add it, or give a --system.")
            kept = sample.ask(asked)
            found.append(sample.measure(kept))  # what cannot be measured is not kept
            for name, picture in kept.items():
                path = path_of(sample, answers, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path) as temporary:
                    picture.save(temporary, "PNG")
        else:
            found.append(sample.measure(kept))
    return summary(found, dataset.lower)


def path_of(sample: Sample, answers: Path, name: str) -> Path:
    """Where a picture of an answer lies."""
    return answers / sample.name / name if name else answers / f"{sample.name}.png"


def answered(sample: Sample, answers: Path) -> Answers | None:
    """The pictures of an answer that is whole, else None."""
    names = sample.files or tuple(sorted(path.name for path in (answers / sample.name).glob("[0-9]*.png")))
    paths = {name: path_of(sample, answers, name) for name in names}
    whole = bool(paths) and all(path.is_file() for path in paths.values())
    return {name: opened(path) for name, path in paths.items()} if whole else None


def summary(found: Sequence[dict[str, float]], lower: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """The mean of every measure over the samples that have it."""
    rows = {}
    for name in dict.fromkeys(name for one in found for name in one):
        values = np.array([one[name] for one in found if np.isfinite(one.get(name, np.nan))])
        better = "low" if name.startswith(tuple(lower)) else "high"
        rows[name] = {**_mean(values), "better": better, "cases": len(values)}
    return rows


def _mean(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(("value", "low", "high"), float("nan"))
    low, high = measures.bootstrap(lambda at: float(values[at].mean()), len(values))
    return {"value": float(values.mean()), "low": low, "high": high}


def opened(path: Path) -> Image.Image:
    """A picture, read whole.

    Raises:
        LayerFusionError: it is none.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.copy()
    except (OSError, ValueError) as error:
        raise LayerFusionError(
            f"{path} is no picture that can be read ({told(error)}); put the right one there."
        ) from error


def _files(folder: Path, what: str) -> list[Path]:
    found = sorted(f for f in folder.iterdir() if f.suffix.lower() in PICTURES) if folder.is_dir() else []
    if not found:
        raise LayerFusionError(f"{folder} holds no pictures; {what}.")
    return found


def _picture(answer: Any, mode: str) -> Image.Image:
    """What a system gave, if it is a picture."""
    if not isinstance(answer, Image.Image):
        raise LayerFusionError(f"the system gave {type(answer).__name__} and no picture; return Pillow's.")
    return answer.convert(mode)


def _alpha(picture: Image.Image) -> np.ndarray:
    """(H, W) in [0, 1] of a matte in whatever mode it was saved."""
    grey = picture.getchannel("A") if picture.mode in ("RGBA", "LA") else picture.convert("L")
    return np.asarray(grey, float) / 255


# --- AIM-500 ----------------------------------------------------------------------------------------------------------


def read_aim_500(folder: Path) -> list[Sample]:
    """`original/`, `mask/`, and if there are, `trimap/` and `aim_category_type.json`."""
    sorts: dict[str, Any] = {}
    if (folder / "aim_category_type.json").is_file():
        sorts = json.loads((folder / "aim_category_type.json").read_text(encoding="utf-8"))
    samples = []
    for path in _files(folder / "original", "give the folder of AIM-500, with original/ and mask/"):
        truth, trimap = (folder / kind / f"{path.stem}.png" for kind in ("mask", "trimap"))
        known = sorts.get(path.stem, {})

        def ask(extract: Callable[..., Any], path: Path = path) -> Answers:
            return {"": _picture(extract(opened(path).convert("RGB")), "L")}

        def measure(
            answers: Answers, truth: Path = truth, trimap: Path = trimap, sort: dict[str, str] = known
        ) -> dict[str, float]:
            alpha, true = _alpha(answers[""]), _alpha(opened(truth))
            if alpha.shape != true.shape:
                raise LayerFusionError(f"the answer for {truth.stem} has another size than its mask; make them alike.")
            found = matting.errors(alpha, true)
            if trimap.is_file():
                found |= matting.errors_in_trimap(alpha, true, np.asarray(opened(trimap).convert("L")))
            return found | {f"SAD, {sort[key]}": found["SAD"] for key in ("type", "category") if key in sort}

        samples.append(Sample(path.stem, ("",), ask, measure))
    return samples


# --- Crello -----------------------------------------------------------------------------------------------------------


def read_crello(folder: Path) -> list[Sample]:
    """A split that LayerD's tool wrote: `composite/NAME.png`, and `layers/NAME/0000.png`, …, the farthest first."""
    samples = []
    for path in _files(folder / "composite", "give a split that LayerD's tool prepared with --save-layers"):
        truth = _files(folder / "layers" / path.stem, "prepare the split with --save-layers")

        def ask(decompose: Callable[..., Any], path: Path = path) -> Answers:
            layers = decompose(opened(path).convert("RGB"), None)
            return {f"{k:04}.png": _picture(layer, "RGBA") for k, layer in enumerate(layers)}

        def measure(answers: Answers, truth: list[Path] = truth) -> dict[str, float]:
            layers = [np.asarray(answers[name].convert("RGBA")) for name in sorted(answers)]
            found = decomposition.edit_distances(layers, [np.asarray(opened(t).convert("RGBA")) for t in truth])
            # A sample that no further edit helps keeps its last figures.
            levels = [found[min(edits, len(found) - 1)] for edits in range(decomposition.EDITS + 1)]
            colour = {f"RGB L1, {edits} edits": level.colour for edits, level in enumerate(levels)}
            return colour | {f"alpha IoU, {edits} edits": level.alpha for edits, level in enumerate(levels)}

        samples.append(Sample(path.stem, None, ask, measure))
    return samples


# --- RevealLayerBench -------------------------------------------------------------------------------------------------


def read_reveal(file: Path) -> list[Sample]:
    """The benchmark's JSON: a list of `imgid`, `full_image`, `background`, `LayerInfoRaw` and `detections`."""
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        return [_reveal_sample(one, file.parent) for one in listed]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LayerFusionError(
            f"{file} is not RevealLayerBench's JSON ({told(error)}); give its list of samples."
        ) from error


def _reveal_sample(one: dict[str, Any], beside: Path) -> Sample:
    def at(path: str) -> Path:
        return Path(path) if Path(path).is_file() else beside / path

    truth = {"bg_rgba.png": at(one["background"])}
    truth |= {f"layer_{k}_rgba.png": at(path) for k, path in enumerate(one["LayerInfoRaw"])}
    boxes = [tuple(found["bbox"]) for found in one.get("detections", [])]

    def ask(decompose: Callable[..., Any]) -> Answers:
        background, *layers = decompose(opened(at(one["full_image"])).convert("RGB"), boxes)
        pictures = [background.convert("RGBA"), *(_picture(layer, "RGBA") for layer in layers)]
        return dict(zip(truth, pictures, strict=False))

    def measure(answers: Answers) -> dict[str, float]:
        psnr, iou = [], []
        for name, path in truth.items():
            mine, true = (_at_side(picture) for picture in (answers[name], opened(path)))
            psnr.append(_psnr(_on_white(mine), _on_white(true)))
            iou.append(decomposition.soft_iou(mine, true))
        found = {"PSNR of the background": psnr[0]}
        # Of no layers there is no mean: the sample has no such measure.
        return found | (
            {"PSNR of layers": float(np.mean(psnr[1:])), "soft IoU": float(np.mean(iou[1:]))} if iou[1:] else {}
        )

    return Sample(str(one["imgid"]), tuple(truth), ask, measure)


# --- LASAGNA-BENCH ----------------------------------------------------------------------------------------------------


def read_lasagna(folder: Path) -> list[Sample]:
    """Folders with `composite`, `background`, `foreground` (RGBA, its shadow with it), `mask` and `prompt.txt`."""
    samples = []
    for at in sorted({path.parent for path in folder.glob("*/mask.*")}):
        files = {path.stem: path for path in _files(at, "give LASAGNA-BENCH as docs/evidence/datasets.md lays it out")}
        if missing := {"composite", "background", "foreground", "mask"} - set(files):
            raise LayerFusionError(f"{at} lacks {', '.join(sorted(missing))}; complete it.")
        text = at / "prompt.txt"
        prompt = text.read_text(encoding="utf-8").strip() if text.is_file() else ""

        def ask(add: Callable[..., Any], files: dict[str, Path] = files, prompt: str = prompt) -> Answers:
            place = opened(files["background"]).convert("RGB")
            composite, foreground = add(place, opened(files["mask"]).convert("L"), prompt)
            return {"composite.png": _picture(composite, "RGB"), "foreground.png": _picture(foreground, "RGBA")}

        def measure(answers: Answers, files: dict[str, Path] = files) -> dict[str, float]:
            size = answers["composite.png"].size
            background, mask = (opened(files[name]).resize(size) for name in ("background", "mask"))
            made, foreground = answers["composite.png"].convert("RGB"), answers["foreground.png"].convert("RGBA")
            added = Image.alpha_composite(background.convert("RGBA"), foreground).convert("RGB")
            rgb, true = np.asarray(made) / 255, np.asarray(opened(files["composite"]).convert("RGB").resize(size)) / 255
            return {
                "PSNR of what the layers add up to": _psnr(np.asarray(added) / 255, rgb),
                "background kept": measures.background_kept(
                    rgb, np.asarray(background.convert("RGB")) / 255, _alpha(mask)
                ),
                "IoU with the mask": measures.overlap(_alpha(foreground), _alpha(mask)),
                "PSNR to the reference": _psnr(rgb, true),
            }

        samples.append(Sample(at.name, ("composite.png", "foreground.png"), ask, measure))
    if not samples:
        raise LayerFusionError(
            f"{folder} holds no samples of LASAGNA-BENCH; see docs/evidence/datasets.md for its layout."
        )
    return samples


def _at_side(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _on_white(layer: np.ndarray) -> np.ndarray:
    alpha = layer[..., 3:] / 255
    return np.asarray(layer[..., :3] / 255 * alpha + 1 - alpha)


def _psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """dB of [0, 1], at most 100."""
    return float(min(100.0, -10 * np.log10(max(float(((picture - truth) ** 2).mean()), 1e-10))))


DATASETS = {
    "aim-500": Dataset("extract", read_aim_500, ("SAD", "MSE", "MAD", "gradient", "connectivity")),
    "crello": Dataset("decompose", read_crello, ("RGB L1",)),
    "reveallayer": Dataset("decompose", read_reveal),
    "lasagna": Dataset("add", read_lasagna),
}
