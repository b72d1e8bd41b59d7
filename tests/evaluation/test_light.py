"""The light benchmark on a set whose answers are known: what is right scores full, and what is wrong is told apart."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from layerfusion.errors import LayerFusionError
from layerfusion.evaluation import light
from layerfusion.evaluation.light import Case, LightSet, answer_of, load_system, measure_case, summary

SIDE = 64


def a_case(name: str = "000", gain: tuple[float, float, float] = (0.5, 0.6, 0.9), seed: int = 0) -> Case:
    """A textured square that stands in a shadow of its own, in a light of this gain."""
    rng = np.random.default_rng(seed)
    rgba = np.zeros((SIDE, SIDE, 4))
    rgba[16:48, 20:44] = [*rng.uniform(0.4, 0.9, 3), 1]
    rgba[16:48, 20:44, :3] *= rng.uniform(0.7, 1, (32, 24, 1))
    background = rng.uniform(0.3, 0.7, (SIDE, SIDE, 3))
    truth = background.copy()
    truth[48:54, 18:46] *= 0.5
    alpha = rgba[..., 3:]
    truth = truth * (1 - alpha) + rgba[..., :3] * gain * alpha
    pictures = (Image.fromarray((255 * values).round().astype(np.uint8)) for values in (rgba, background, truth))
    return Case(name, ("a square", "a field"), seed, *pictures)


def cases() -> list[Case]:
    rng = np.random.default_rng(1)
    return [a_case(f"{k:03}", tuple(rng.uniform(0.3, 1.0, 3)), k) for k in range(8)]


def write(folder: Path, every: list[Case]) -> Path:
    folder.mkdir()
    listed = []
    for case in every:
        for kind in ("foreground", "background", "truth"):
            getattr(case, kind).save(folder / f"{case.name}-{kind}.png")
        listed.append({"name": case.name, "foreground": case.prompts[0], "background": "a field", "seed": case.seed})
    (folder / "light.json").write_text(json.dumps({"name": "squares", "version": 3, "cases": listed}))
    return folder


def rows(system: light.System) -> dict[str, dict[str, float]]:
    return summary([measure_case(case, answer_of(system, case, "it")) for case in cases()], draws=50)


def test_the_truth_scores_full() -> None:
    found = {name: row["value"] for name, row in rows(lambda case: case.truth).items()}
    assert found["slope"] == pytest.approx(1) and found["r"] == pytest.approx(1)
    assert found["fMSE"] == 0 and found["PSNR"] == 100 and found["shadow"] == 1
    assert found["wholeness"] > 0.998  # 8 bits
    assert found["background kept"] == 60


def test_a_paste_is_whole_and_keeps_the_background_and_is_in_no_light() -> None:
    found = rows(lambda case: case.composite)
    assert found["wholeness"]["value"] == pytest.approx(1)
    assert found["background kept"]["value"] == 60
    assert abs(found["slope"]["value"]) < 1e-6 and found["shadow"]["value"] == 0
    assert found["PSNR"]["value"] < 25
    for row in found.values():
        assert row["low"] <= row["value"] <= row["high"] and row["cases"] == 8


def test_half_of_the_light_is_half_of_the_slope() -> None:
    def half(case: Case) -> Image.Image:
        return Image.blend(case.composite, case.truth, 0.5)

    found = rows(half)
    assert found["slope"]["value"] == pytest.approx(0.5, abs=0.02)
    assert found["r"]["value"] > 0.99


def test_the_foregrounds_error_is_of_the_foregrounds_pixels_alone() -> None:
    case = a_case()
    wrong = np.asarray(case.truth).copy()
    wrong[:8, :8] += 10  # far from the subject
    found = measure_case(case, Image.fromarray(wrong))
    assert found["fMSE"] == [0]
    assert found["MSE of all"][0] == pytest.approx(100 * 64 / SIDE**2, rel=1e-4)
    wrong = np.asarray(case.truth).copy()
    wrong[16:48, 20:44] += 10
    found = measure_case(case, Image.fromarray(wrong))
    assert found["fMSE"][0] == pytest.approx(100, rel=1e-4)
    assert found["PSNR"][0] == pytest.approx(10 * np.log10(255**2 / 100), rel=1e-4)


def test_a_set_reads_back_from_a_folder_and_a_zip_alike(tmp_path: Path) -> None:
    every = cases()
    folder = write(tmp_path / "set", every)
    import shutil

    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "set"))
    one, other = LightSet(folder), LightSet(packed)
    assert (one.name, one.version, len(one)) == ("squares", 3, 8)
    assert one.digest == other.digest
    for case, again, given in zip(one, other, every, strict=True):
        assert case.prompts == ("a square", "a field")
        for kind in ("foreground", "background", "truth"):
            assert getattr(case, kind).tobytes() == getattr(again, kind).tobytes() == getattr(given, kind).tobytes()
    Image.new("RGB", (SIDE, SIDE)).save(folder / "003-truth.png")
    assert LightSet(folder).digest != one.digest


def test_what_is_no_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(LayerFusionError, match="holds no light benchmark"):
        LightSet(tmp_path / "nothing")
    folder = write(tmp_path / "set", cases()[:2])
    (folder / "001-truth.png").unlink()
    with pytest.raises(LayerFusionError, match="holds no light benchmark"):
        LightSet(folder)
    Image.new("L", (SIDE, SIDE)).save(folder / "001-truth.png")
    with pytest.raises(LayerFusionError, match=r"001-truth\.png of .* is L, not RGB"):
        LightSet(folder)[1]


def test_a_system_is_any_file_with_one_of_two_functions(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    case = a_case()
    file.write_text("def harmonize(composite, mask):\n    composite.paste('red', mask=mask)\n    return composite\n")
    assert answer_of(load_system(file), case, "mine").getpixel((30, 30)) == (255, 0, 0)
    file.write_text("def compose(foreground, background):\n    return background\n")
    assert answer_of(load_system(file), case, "mine").tobytes() == case.background.tobytes()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", "has no function compose or harmonize"),
        ("import no_such_module", "cannot be run .ModuleNotFoundError"),
        ("def compose(foreground, background):\n    return background.resize((9, 9))", "gave no picture of 64x64"),
        ("def compose(foreground, background):\n    return None", "gave no picture"),
    ],
)
def test_a_system_that_is_none_is_refused_in_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(LayerFusionError, match=says):
        answer_of(load_system(file), a_case(), "mine.py")
    with pytest.raises(LayerFusionError, match="there is no"):
        load_system(tmp_path / "other.py")


def test_the_composite_is_plain_alpha_blending() -> None:
    case = a_case()
    rgba, background = np.asarray(case.foreground), np.asarray(case.background)
    shown = np.where(rgba[..., 3:] == 255, rgba[..., :3], background)
    assert np.array_equal(np.asarray(case.composite), shown)


def test_a_measure_that_no_case_allows_is_nan() -> None:
    case = a_case()
    empty = Case("0", case.prompts, 0, Image.new("RGBA", (SIDE, SIDE)), case.background, case.background)
    found = summary([measure_case(empty, case.background)], draws=10)
    assert np.isnan(found["slope"]["value"]) and found["PSNR"]["cases"] == 0
    assert found["PSNR of all"]["value"] == 100
