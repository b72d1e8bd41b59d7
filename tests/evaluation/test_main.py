"""`python -m layerfusion.evaluation`, as a person would type it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from layerfusion.evaluation.__main__ import app
from tests.evaluation.test_light import cases, write
from tests.evaluation.test_user_study import answers_file, items


def test_a_system_is_measured_and_its_results_are_written(tmp_path: Path) -> None:
    folder = write(tmp_path / "set", cases()[:4])
    system, results = tmp_path / "mine.py", tmp_path / "mine.json"
    system.write_text("def harmonize(composite, mask):\n    return composite\n")
    done = CliRunner().invoke(app, ["light", "--system", str(system), "--set", str(folder), "--json", str(results)])
    assert done.exit_code == 0 and "wholeness" in done.output
    found = json.loads(results.read_text())
    assert found["system"] == "mine" and found["set"] == "squares 3" and len(found["digest"]) == 64
    assert found["measures"]["background kept"]["value"] == 60
    done = CliRunner().invoke(app, ["light", "--system", str(system), "--set", str(tmp_path)])
    assert done.exit_code == 2 and "holds no light benchmark" in done.output


def test_a_study_from_folders_to_its_result(tmp_path: Path) -> None:
    for k, item in enumerate(items(2)):
        folder = tmp_path / item.method / f"{k}"
        folder.mkdir(parents=True)
        for name in ("foreground", "background", "blended"):
            getattr(item, name).save(folder / f"{name}.png")
        said = {"foreground_prompt": item.prompts[0], "background_prompt": item.prompts[1]}
        (folder / "triplet.json").write_text(json.dumps(said))
    page, key = tmp_path / "study.html", tmp_path / "study-key.json"
    words = ["study", *(f"--method={name}={tmp_path / name}" for name in ("ours", "theirs")), "--out", str(page)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert page.read_text().count("data:image/webp") == 12
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 2 and "exists" in again.output
    known = json.loads(key.read_text())
    files = [answers_file(tmp_path, known, f"p{k}", {"ours": 3 + k % 3, "theirs": 2}) for k in range(5)]
    results = tmp_path / "results.json"
    words = ["ratings", *map(str, files), "--key", str(key), "--json", str(results)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "ours − theirs: +1.800" in done.output
    assert json.loads(results.read_text())["methods"]["ours"]["mean"] == pytest.approx(3.8)
    done = CliRunner().invoke(app, ["ratings", str(files[0]), "--key", str(page)])
    assert done.exit_code == 2 and "is no key of a study" in done.output
