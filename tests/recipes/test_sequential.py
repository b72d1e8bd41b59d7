"""The training of the small sequential pipeline, its table and its page, at the size of toys."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from layerfusion import LayerFusionPipeline
from layerfusion.evaluation.baselines.layerdiffuse import staged
from recipes.mini.probes import Probe
from recipes.mini.train import sequential
from recipes.mini.train.sequential import draw_triplets, file_of, read_triplets, train_stage, trained_part
from recipes.mini.world import World
from recipes.paper import kept, table1, table1_page
from recipes.paper.drawn import PAPER, Pair
from recipes.paper.probe_features import ProbeFeatures


def test_triplets_are_drawn_once(pipe: LayerFusionPipeline, small: World, tmp_path: Path) -> None:
    draw_triplets(pipe, small, tmp_path, 3)
    latents, captions = read_triplets(tmp_path)
    assert {name: value.shape for name, value in latents.items()} == dict.fromkeys(sequential.LAYERS, (3, 4, 8, 8))
    sample = small.sample(1, "composite", alone=True)
    assert captions["blended"][1] == sample.caption
    assert small.scene(sample.truth["scene"]).phrases[0] in captions["background"][1]
    assert (latents["blended"] != latents["background"]).any()
    written = (tmp_path / "triplets" / "000000.safetensors").stat().st_mtime_ns
    draw_triplets(pipe, small, tmp_path, 3)
    assert (tmp_path / "triplets" / "000000.safetensors").stat().st_mtime_ns == written


def test_a_stage_trains_goes_on_and_fits_the_loader(
    pipe: LayerFusionPipeline, small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequential, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(sequential, "BATCH", 2)
    pipe.tokenizer.save_pretrained(tmp_path / "tokenizer")
    draw_triplets(pipe, small, tmp_path, 3)
    monkeypatch.setattr(sequential, "encode_captions", lambda captions, *_: encoded(pipe, captions))
    assert not train_stage(pipe, "fgble2bg", tmp_path, tmp_path / "tokenizer", 8, minutes=0)
    assert train_stage(pipe, "fgble2bg", tmp_path, tmp_path / "tokenizer", 8, minutes=9)
    offsets = load_file(tmp_path / "weights" / file_of("fgble2bg"))
    assert set(offsets) == set(trained_part(pipe.unet))
    assert offsets["conv_in.weight"].shape[1] == 12
    assert offsets["conv_in.weight"][:, 4:].abs().max() > 0  # it has begun to look at its conditions
    assert not any("attentions." in name for name in offsets)
    staged(pipe.unet, offsets, "fgble2bg")


def encoded(pipe: LayerFusionPipeline, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """As `encode_captions`, for the tiny model's tokenizer, which is longer than the embedded one's."""
    embeds, _, pooled, _ = pipe.encode_prompt(captions, do_classifier_free_guidance=False)
    return embeds, pooled


@pytest.fixture
def found(small: World) -> ProbeFeatures:
    torch.manual_seed(0)
    probe = Probe([spec.key for spec in small.objects], [spec.key for spec in small.scenes]).eval()
    return ProbeFeatures(probe, small)


def test_pairs_are_of_the_world_or_of_the_paper(small: World) -> None:
    pairs = table1.pairs_of(small, 9, 0)
    assert len({(pair.foreground, pair.background) for pair in pairs}) == 9
    assert table1.pairs_of(small, 9, 0) == pairs
    assert {pair.seed for pair in table1.pairs_of(small, 9, 1)}.isdisjoint(pair.seed for pair in pairs)
    assert len(table1.pairs_of(small, 40, 0)) == 40
    assert Pair("a lynx", "a snowy forest", 0).foreground in {p.foreground for p in table1.pairs_of(None, 100, 0)}


def test_the_probes_features_are_what_its_heads_see(found: ProbeFeatures, small: World) -> None:
    pictures = np.random.default_rng(0).random((5, 64, 64, 3), np.float32)
    objects, scenes = found.probe(torch.from_numpy(pictures).movedim(-1, 1))
    deep = torch.from_numpy(found.deep(pictures))
    assert torch.allclose(found.probe.object_head(deep), objects, atol=1e-4)
    assert found.texture(pictures).shape == (5, 24)
    prompts = [spec.phrases[0] for spec in small.scenes][:1] * 5
    named = found.named(pictures, prompts)
    assert named == pytest.approx((scenes.argmax(1) == 0).float().numpy())
    assert found.agreement(pictures, prompts).shape == (5,)


def test_a_row_knows_near_from_far_and_the_page_says_so(
    found: ProbeFeatures, small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = table1.pairs_of(small, 40, 0)
    rng = np.random.default_rng(1)

    def drawn(shift: float) -> dict[str, np.ndarray]:
        rgba = rng.random((40, 64, 64, 4), np.float32)
        return {
            "foreground": rgba,
            "background": np.clip(rng.random((40, 64, 64, 3), np.float32) + shift, 0, 1),
            "blended": rgba[..., :3],
        }

    alone, near, far = drawn(0), drawn(0), drawn(0.5)
    rows = {name: table1.score(found, each, alone, pairs, 40) for name, each in ((PAPER, near), ("far", far))}
    for distance in ("KID", "FID"):
        one, two = (row[f"background {distance}"] for row in rows.values())
        assert one["high"] < two["low"]
        assert one["low"] <= one["value"] <= one["high"]
    monkeypatch.setattr(kept, "conditions", lambda: {"commit": "one", "date": "", "cpu": "a cpu", "cores": 2})
    settings = {"pairs": 40, "steps": 20, "precision": "float32", "seed": 0}
    more = {"features": found.name, "settings": settings, "missing": {"gone": "missing: a file"}}
    more["again"] = {"settings": settings, "rows": rows}
    (tmp_path / "evidence").mkdir()
    kept.keep(tmp_path / "evidence" / "table1.json", rows, more)
    table1_page.write(tmp_path / "evidence" / "table1.json", {PAPER: near})
    page = (tmp_path / "evidence" / "table1.md").read_text()
    assert "| gone (missing: a file) | – |" in page
    assert "12 of 12 differences" in page
    assert re.search(rf"“{PAPER}” and “far” differ .* of 6 measures: .*background KID, background FID", page)
    assert "](../images/evidence/table1.webp)" in page and (tmp_path / "images" / "evidence" / "table1.webp").exists()


def test_without_networks_or_a_world_what_is_missing_is_said(tmp_path: Path) -> None:
    from layerfusion.errors import LayerFusionError

    with pytest.raises(LayerFusionError, match="missing: weights-inception"):
        table1.features_for(None, SimpleNamespace(weights=tmp_path, probe=tmp_path))  # type: ignore[arg-type]
