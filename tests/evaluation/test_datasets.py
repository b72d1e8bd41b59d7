"""The runners, on files of the datasets' shape that are made here."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from layerfusion.errors import LayerFusionError
from layerfusion.evaluation.__main__ import app
from layerfusion.evaluation.datasets import DATASETS, run

RNG = np.random.default_rng(0)


def picture(side: int = 48) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (side, side, 3), np.uint8))


def matte(side: int = 48, left: int = 10) -> Image.Image:
    values = np.zeros((side, side), np.uint8)
    values[10:38, left : left + 24] = 255
    return Image.fromarray(values)


def cutout(colour: str, left: int) -> Image.Image:
    made = Image.new("RGBA", (48, 48))
    made.paste(Image.new("RGBA", (48, 48), colour), mask=matte(left=left))
    return made


def save(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def system(folder: Path, text: str) -> Path:
    file = folder / "mine.py"
    file.write_text("from PIL import Image\n" + text)
    return file


def test_aim_500(tmp_path: Path) -> None:
    data = tmp_path / "AIM-500"
    for k, name in enumerate(("o_1", "o_2")):
        save(picture(), data / "original" / f"{name}.jpg")
        save(matte(left=10 + k), data / "mask" / f"{name}.png")
        save(Image.new("L", (48, 48), 128), data / "trimap" / f"{name}.png")
    sorts = {name: {"type": kind, "category": "animal"} for name, kind in (("o_1", "SO"), ("o_2", "STM"))}
    (data / "aim_category_type.json").write_text(json.dumps(sorts))
    answers = tmp_path / "answers"
    save(matte(left=10), answers / "o_1.png")
    with pytest.raises(LayerFusionError, match="no answer for o_2"):
        run(DATASETS["aim-500"], data, answers, None)
    file = system(tmp_path, "def extract(picture):\n    return Image.new('L', picture.size, 255)\n")
    rows = run(DATASETS["aim-500"], data, answers, file)
    assert rows["SAD, SO"]["value"] == 0 and rows["SAD, STM"]["value"] == pytest.approx((48 * 48 - 28 * 24) / 1000)
    assert rows["SAD"]["value"] == pytest.approx(rows["SAD, STM"]["value"] / 2) and rows["SAD"]["cases"] == 2
    assert rows["SAD, animal"]["cases"] == 2 and rows["MSE in the trimap"]["better"] == "low"
    # What was answered is kept, and goes without the system from now on.
    assert run(DATASETS["aim-500"], data, answers, None) == rows
    with pytest.raises(LayerFusionError, match="holds no pictures"):
        run(DATASETS["aim-500"], tmp_path, answers, None)


def test_crello(tmp_path: Path) -> None:
    data = tmp_path / "test"
    back = picture().convert("RGBA")
    layers = [back, cutout("red", 4), cutout("blue", 12)]
    for k, layer in enumerate(layers):
        save(layer, data / "layers" / "a" / f"{k:04}.png")
    save(back.convert("RGB"), data / "composite" / "a.png")
    answers = tmp_path / "answers"
    text = (
        "def decompose(picture, boxes):\n    return [picture, Image.new('RGBA', picture.size)][boxes is not None :]\n"
    )
    rows = run(DATASETS["crello"], data, answers, system(tmp_path, text))
    assert sorted(path.name for path in (answers / "a").iterdir()) == ["0000.png", "0001.png"]
    assert rows["alpha IoU, 0 edits"]["value"] < 0.7 and rows["RGB L1, 5 edits"]["better"] == "low"
    for k, layer in enumerate(layers):
        save(layer, tmp_path / "right" / "a" / f"{k:04}.png")
    rows = run(DATASETS["crello"], data, tmp_path / "right", None)
    assert [rows[f"alpha IoU, {k} edits"]["value"] for k in range(6)] == [1] * 6
    assert [rows[f"RGB L1, {k} edits"]["value"] for k in range(6)] == [0] * 6


def test_reveallayer(tmp_path: Path) -> None:
    bench = tmp_path / "RevealLayer-Bench"
    back, front = picture(), cutout("red", 8)
    save(back, bench / "examples" / "background.png")
    save(front, bench / "examples" / "layer_0.png")
    save(Image.alpha_composite(back.convert("RGBA"), front).convert("RGB"), bench / "examples" / "full_image.png")
    at = "RevealLayer-Bench/examples"
    listed = {
        "imgid": "examples",
        "full_image": f"{at}/full_image.png",
        "background": f"{at}/background.png",
        "LayerInfoRaw": [f"{at}/layer_0.png"],
        "detections": [{"bbox": [8, 10, 32, 38]}],
    }
    file = tmp_path / "bench.json"
    file.write_text(json.dumps([listed]))
    text = (
        "def decompose(picture, boxes):\n"
        "    layer = Image.new('RGBA', picture.size)\n"
        "    layer.paste(picture.crop(boxes[0]), boxes[0][:2])\n"
        "    return [picture, layer]\n"
    )
    rows = run(DATASETS["reveallayer"], file, tmp_path / "answers", system(tmp_path, text))
    assert (tmp_path / "answers" / "examples" / "layer_0_rgba.png").is_file()
    assert rows["soft IoU"]["value"] > 0.97 and rows["PSNR of layers"]["value"] > 25
    assert rows["PSNR of the background"]["value"] < 15
    file.write_text('[{"imgid": 1}]')
    with pytest.raises(LayerFusionError, match="not RevealLayerBench's JSON"):
        run(DATASETS["reveallayer"], file, tmp_path / "answers", None)


def test_lasagna(tmp_path: Path) -> None:
    data = tmp_path / "bench"
    back, front = picture(), cutout("red", 8)
    save(back, data / "s1" / "background.png")
    save(front, data / "s1" / "foreground.png")
    save(matte(left=8), data / "s1" / "mask.png")
    save(Image.alpha_composite(back.convert("RGBA"), front).convert("RGB"), data / "s1" / "composite.png")
    (data / "s1" / "prompt.txt").write_text("red")
    text = (
        "def add(background, mask, prompt):\n"
        "    layer = Image.new('RGBA', background.size)\n"
        "    layer.paste(prompt, (0, 0, *background.size), mask)\n"
        "    return Image.alpha_composite(background.convert('RGBA'), layer), layer\n"
    )
    rows = run(DATASETS["lasagna"], data, tmp_path / "answers", system(tmp_path, text))
    assert {name: row["value"] for name, row in rows.items()} == {
        "PSNR of what the layers add up to": 100,
        "background kept": 60,
        "IoU with the mask": 1,
        "PSNR to the reference": 100,
    }
    (data / "s1" / "foreground.png").unlink()
    with pytest.raises(LayerFusionError, match="lacks foreground"):
        run(DATASETS["lasagna"], data, tmp_path / "answers", None)
    with pytest.raises(LayerFusionError, match="no samples of LASAGNA-BENCH"):
        run(DATASETS["lasagna"], tmp_path / "answers", tmp_path, None)


def test_what_is_no_system_or_picture_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    save(picture(), data / "original" / "a.jpg")
    save(matte(), data / "mask" / "a.png")
    answers = tmp_path / "answers"
    for text, says in (
        ("x = 1", "has no function extract"),
        ("1 / 0", "cannot be run .ZeroDivisionError"),
        ("def extract(picture):\n    return 3", "gave int and no picture"),
        ("def extract(picture):\n    return picture.resize((9, 9))", "another size"),
    ):
        with pytest.raises(LayerFusionError, match=says):
            run(DATASETS["aim-500"], data, answers, system(tmp_path, text))
    assert not answers.exists()  # what cannot be measured is not kept
    answers.mkdir()
    (answers / "a.png").write_bytes(b"no picture")
    with pytest.raises(LayerFusionError, match="no picture that can be read"):
        run(DATASETS["aim-500"], data, answers, None)
    save(matte(), answers / "a.png")
    results = tmp_path / "found.json"
    words = ["dataset", "aim-500", str(data), "--answers", str(answers), "--json", str(results)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and json.loads(results.read_text())["measures"]["SAD"]["value"] == 0
    assert CliRunner().invoke(app, ["dataset", "coco", str(data), "--answers", "x"]).exit_code == 2
