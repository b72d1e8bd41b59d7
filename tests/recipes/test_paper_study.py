import sys
from functools import partial
from pathlib import Path

import pytest

from layerfusion.evaluation import paper
from layerfusion.evaluation.user_study import read_items
from recipes.paper import study
from tests.models.tiny_files import tiny_pipeline


def test_triplets_are_made_once_and_are_what_the_page_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tiny_pipeline()
    quick = partial(pipe, num_inference_steps=1, height=64, width=64)
    quick.set_progress_bar_config = pipe.set_progress_bar_config  # type: ignore[attr-defined]
    two = paper.Figure("", (), (), paper.figure("study").mini[:2])
    monkeypatch.setattr(paper, "figure", lambda _: two)
    monkeypatch.setattr(study, "load_pipeline", lambda _: quick)
    monkeypatch.setattr(sys, "argv", ["study", "--out", str(tmp_path)])
    study.main()
    assert [item.prompts for item in read_items("ours", tmp_path / "layerfusion")] == list(two.mini)
    before = (tmp_path / "layerfusion" / "00" / "blended.png").stat().st_mtime_ns
    study.main()
    assert (tmp_path / "layerfusion" / "00" / "blended.png").stat().st_mtime_ns == before
