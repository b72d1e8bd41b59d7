"""The light benchmark as a table, on a tiny model and a few stand-ins."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from layerfusion import LayerFusionPipeline
from layerfusion.evaluation.baselines import Missing, System
from recipes.mini.light import write
from recipes.mini.world import World
from recipes.paper import light


def test_the_whole_command(
    small: World, pipe: LayerFusionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(small, 3, tmp_path / "light.zip")
    (tmp_path / "half.py").write_text("def harmonize(composite, mask):\n    return composite.point(lambda v: v // 2)\n")
    monkeypatch.setattr(light, "load_pipeline", lambda _: pipe)
    lacking = System("Lacking", ("harmonize",), "", "", lambda *_: Missing("a.pth", "there", "MIT", 20))
    monkeypatch.setattr(light, "systems_for", lambda task: [*systems_for(task), lacking])
    words = ["light", "--set", "light.zip", "--system", "half.py", "--out", "docs", "--work", "work"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        light.main()
    assert ended.value.code == 0
    result = json.loads(Path("docs/evidence/light.json").read_text())
    rows = result["rows"]
    assert rows["plain paste"]["slope"]["value"] == pytest.approx(0, abs=0.05)
    assert rows["plain paste"]["background kept"]["value"] == 60
    assert rows["half"]["PSNR"]["value"] != rows["plain paste"]["PSNR"]["value"]
    assert {light.ALONE, "LayerFusion, blended", "LayerFusion, layered"} < set(rows)
    ahead = rows["half"][light.OVER]["value"]
    assert ahead == pytest.approx(rows["half"]["PSNR"]["value"] - rows["plain paste"]["PSNR"]["value"], abs=1e-6)
    page = Path("docs/evidence/light.md").read_text()
    assert "missing: a.pth (about 20 MB, MIT) from there" in page and "| half |" in page
    assert Path("docs/images/evidence/light.webp").stat().st_size > 1000
    assert np.isfinite([row["MSE of all"]["value"] for row in rows.values()]).all()


systems_for = light.systems_for
