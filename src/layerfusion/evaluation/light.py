"""The light benchmark: how well does a system set a cut-out into a place, measured against a rendered truth?

A set is a folder (or a zip of one) with `light.json` and, for each case, `NNN-foreground.png` (RGBA, straight alpha,
unlit, in its place in the frame), `NNN-background.png` (RGB) and `NNN-truth.png` (RGB: the background with the subject
in its light, its shadow, and what the weather does). A system sees the first two; it is measured against the third.

Gains, wholeness, shadows and what is kept of the background are those of `measures`; MSE, fMSE and PSNR are as
iHarmony4 has them (Cong et al. 2020): in 255ths squared, fMSE over the pixels of the foreground alone, each the mean
over the cases; a pixel belongs to the foreground where alpha is above one half.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from PIL import Image

from layerfusion.errors import LayerFusionError, told
from layerfusion.evaluation import measures
from layerfusion.evaluation.systems import functions_of

MEASURES = {
    "slope": "of the subject's colour gain on the true one, over cases and channels; 1 is fully in the light",
    "r": "Pearson's r of the same",
    "PSNR": "dB, of the foreground's pixels",
    "fMSE": "255² units, of the foreground's pixels",
    "PSNR of all": "dB, of the whole picture",
    "MSE of all": "255² units, of the whole picture",
    "wholeness": "how much of what stands in the subject's place is the subject under some light",
    "shadow": "overlap of the darkening around the subject with the true one",
    "background kept": "dB, out of the subject's reach; at most 60",
}
LESS_IS_BETTER = ("fMSE", "MSE of all")
LIGHT = ("slope", "r")


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: Its number in the set.
        prompts: What its subject and its place are called, for systems that go by text.
        seed: For systems that draw noise.
        foreground: RGBA, straight alpha; its size is that of all three.
        background: RGB.
        truth: RGB.
    """

    name: str
    prompts: tuple[str, str]
    seed: int
    foreground: Image.Image
    background: Image.Image
    truth: Image.Image

    @property
    def mask(self) -> Image.Image:
        """The foreground's alpha, "L"."""
        return self.foreground.getchannel("A")

    @property
    def composite(self) -> Image.Image:
        """The foreground laid over the background, as it is: what harmonizers start from."""
        return Image.alpha_composite(self.background.convert("RGBA"), self.foreground).convert("RGB")


System = Callable[[Case], Image.Image]


class LightSet(Sequence[Case]):
    """The cases of a folder or a zip, read one by one.

    Attributes:
        name, version: Of the set, as its file says.
        digest: SHA-256 over the names and contents of all its pictures: two sets that agree in it are the same.

    Raises:
        LayerFusionError: it holds no set, or a picture is missing or of another kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = zipfile.ZipFile(path) if path.is_file() and zipfile.is_zipfile(path) else None
        try:
            with self._open("light.json") as file:
                known = json.load(file)
            self.name, self.version = str(known["name"]), int(known["version"])
            self._cases: list[dict[str, Any]] = list(known["cases"])
            self.digest = self._digest()
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise LayerFusionError(
                f"{path} holds no light benchmark ({told(error)}); give the folder or the zip that "
                "`python -m recipes.mini.light` writes."
            ) from error

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        case = self._cases[index]
        foreground, background, truth = (self._picture(case["name"], kind) for kind in ("foreground", *PICTURES))
        return Case(case["name"], (case["foreground"], case["background"]), case["seed"], foreground, background, truth)

    def __iter__(self) -> Iterator[Case]:
        return (self[i] for i in range(len(self)))

    def _picture(self, name: str, kind: str) -> Image.Image:
        mode = "RGBA" if kind == "foreground" else "RGB"
        with self._open(f"{name}-{kind}.png") as file:
            picture: Image.Image = Image.open(file)
            picture.load()
        if picture.mode != mode:
            raise LayerFusionError(
                f"{name}-{kind}.png of {self.path} is {picture.mode}, not {mode}; make the set anew."
            )
        return picture

    def _open(self, name: str) -> IO[bytes]:
        if self._zip is None:
            return (self.path / name).open("rb")
        inside = [each for each in self._zip.namelist() if PurePosixPath(each).name == name]
        if not inside:
            raise FileNotFoundError(f"no {name}")
        return self._zip.open(inside[0])

    def _digest(self) -> str:
        every = hashlib.sha256()
        for case in self._cases:
            for kind in ("foreground", *PICTURES):
                name = f"{case['name']}-{kind}.png"
                with self._open(name) as file:
                    every.update(name.encode() + b"\0" + hashlib.sha256(file.read()).digest())
        return every.hexdigest()


PICTURES = ("background", "truth")


def load_system(path: Path) -> System:
    """The system of a Python file with `compose(foreground, background)` or `harmonize(composite, mask)`.

    All are Pillow's: foreground RGBA, background and composite RGB, mask "L"; the answer is a picture of their size.

    Raises:
        LayerFusionError: the file is missing, cannot be run, or has neither function.
    """
    found = functions_of(path, ("compose", "harmonize"))
    if "compose" in found:
        return lambda case: found["compose"](case.foreground, case.background)
    return lambda case: found["harmonize"](case.composite, case.mask)


def answer_of(system: System, case: Case, name: str) -> Image.Image:
    """What a system makes of a case, RGB.

    Raises:
        LayerFusionError: it is no picture of the right size.
    """
    made = system(case)
    if not isinstance(made, Image.Image) or made.size != case.background.size:
        width, height = case.background.size
        raise LayerFusionError(
            f"{name} gave no picture of {width}x{height} for case {case.name}; return one of Pillow's."
        )
    return made.convert("RGB")


def measure_case(case: Case, answer: Image.Image) -> dict[str, list[float]]:
    """Everything that is measured of one answer; "true gain" and "gain" by channel, the others single values."""
    rgba, background, truth, made = (_array(p) for p in (case.foreground, case.background, case.truth, answer))
    foreground, alpha = rgba[..., :3], rgba[..., 3]
    seen, inside = alpha > 0.5, measures.interior(alpha)
    error = (255 * (made - truth)) ** 2
    shadow, true_shadow = (measures.darkening(picture, background, alpha) for picture in (made, truth))
    values = {
        "PSNR": _psnr(error[seen].mean()) if seen.any() else float("nan"),
        "fMSE": error[seen].mean() if seen.any() else float("nan"),
        "PSNR of all": _psnr(error.mean()),
        "MSE of all": error.mean(),
        "wholeness": measures.wholeness(made, foreground, alpha),
        "shadow": measures.shadow_overlap(shadow, true_shadow),
        "background kept": measures.background_kept(made, background, alpha),
    }
    gains = {"true gain": truth, "gain": made}
    return {name: [float(value)] for name, value in values.items()} | {
        name: measures.colour_gain(picture, foreground, inside).tolist() for name, picture in gains.items()
    }


def summary(cases: Sequence[dict[str, list[float]]], draws: int = 1000) -> dict[str, dict[str, Any]]:
    """Each of `MEASURES` over the cases.

    {"value", "low", "high", "better", "cases"}: with the ends of a bootstrap interval of 95 %, and whether "high" or
    "low" is better; NaN where no case can be measured.
    """
    gains, true = (np.array([case[name] for case in cases]) for name in ("gain", "true gain"))

    def statistic(name: str, values: np.ndarray) -> Callable[[np.ndarray], float]:
        if name in LIGHT:
            return lambda at: float(getattr(measures.fit(true[at], gains[at]), name))
        return lambda at: float(values[at].mean())

    rows: dict[str, dict[str, Any]] = {}
    for name in MEASURES:
        values = gains[:, 0] if name in LIGHT else np.array([case[name][0] for case in cases])
        known = np.flatnonzero(np.isfinite(values))
        rows[name] = {"better": "low" if name in LESS_IS_BETTER else "high", "cases": len(known)}
        rows[name] |= _interval(statistic(name, values), known, draws)
    return rows


def _interval(statistic: Callable[[np.ndarray], float], known: np.ndarray, draws: int) -> dict[str, float]:
    if not len(known):
        return dict.fromkeys(("value", "low", "high"), float("nan"))
    low, high = measures.bootstrap(lambda at: statistic(known[at]), len(known), draws=draws)
    return {"value": statistic(known), "low": low, "high": high}


def _array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, np.float32) / 255


def _psnr(mse: float) -> float:
    """dB, at most 100: a picture that is right to the bit has no error to take a logarithm of."""
    return float(min(100.0, 10 * np.log10(255**2 / max(float(mse), 1e-9))))
