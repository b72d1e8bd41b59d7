"""Every system is there: ready, or saying what is missing; with stand-ins of the right names and shapes, it runs."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from layerfusion import LayerFusionPipeline
from layerfusion.defaults import Defaults
from layerfusion.errors import LayerFusionError
from layerfusion.evaluation.baselines import SYSTEMS, Missing, Scene
from layerfusion.evaluation.baselines.matting import PPMATTING, U2NETP
from tests import tiny

PICTURE = np.random.default_rng(0).random((48, 64, 3), np.float32)
MASK = np.zeros((48, 64), np.float32)
MASK[10:30, 20:40] = 1
OTHERS = {
    "Matting Anything": "mam_vitb.pth",
    "Harmonizer": "harmonizer.pth",
    "INR-Harmonization": "Resolution_RAW_iHarmony4.pth",
    "PCT-Net": "PCTNet_ViT.pth",
    "Alfie": "PixArt-Sigma-XL-2-1024-MS",
}
READY = {"plain paste", "Reinhard", "histogram matching", "Telea"}


def test_a_bare_machine_has_every_row(tmp_path: Path) -> None:
    found = {name: system.prepare(tmp_path, None) for name, system in SYSTEMS.items()}
    ready = {name for name, each in found.items() if not isinstance(each, Missing)}
    assert READY <= ready <= READY | {"U2-Net-p"}  # whose wheel may be installed
    for name in set(found) - ready:
        assert str(found[name]).startswith("missing: ")
        assert found[name].licence and found[name].address


def brightness(path: Path, side: int) -> None:
    """A network that takes the mean over the channels for the subject."""
    shape = [1, 3, side, side]
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["picture", "axes"], ["alpha"], keepdims=1)],
        "brightness",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("alpha", TensorProto.FLOAT, [1, 1, side, side])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


@pytest.mark.parametrize(("system", "file", "side"), [(U2NETP, "u2netp.onnx", 320), (PPMATTING, None, 512)])
def test_a_matting_network_gives_alpha_at_the_pictures_size(
    system: Any, file: str | None, side: int, tmp_path: Path
) -> None:
    name = file or "ppmatting-hrnet_w18-human_512.onnx"
    brightness(tmp_path / name, side)
    picture = np.zeros((48, 64, 3), np.float32)
    picture[:, 32:] = 1
    alpha = system.prepare(tmp_path, None).extract(picture, Scene())
    assert alpha.shape == (48, 64)
    assert alpha[:, :28].max() < 0.01
    assert alpha[:, 36:].min() > 0.99


@pytest.mark.parametrize(("name", "weights"), OTHERS.items())
def test_a_system_of_others_runs_in_its_own_environment(name: str, weights: str, tmp_path: Path) -> None:
    system = SYSTEMS[name]
    own = tmp_path / name.lower().replace(" ", "-")
    own.mkdir()
    missing = system.prepare(tmp_path, None)
    assert isinstance(missing, Missing)
    assert missing.file == weights
    (own / weights).write_bytes(b"weights")
    assert isinstance(system.prepare(tmp_path, None), Missing)  # nothing says how to run it
    (own / "run.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom PIL import Image\n"
        "first, result = sys.argv[1], sys.argv[-1]\n"
        "picture = Image.open(first) if Path(first).is_file() else Image.new('RGBA', (64, 48), (255, 0, 0, 128))\n"
        "Image.eval(picture, lambda value: value // 2).save(result)\n"
    )
    asked = {"extract": "{picture}", "harmonize": "{picture} {mask}", "generate": "{prompt} {seed}"}[system.tasks[0]]
    (own / "command.txt").write_text(f"'{sys.executable}' run.py {asked} {{result}}\n")
    ready = system.prepare(tmp_path, None)
    if system.tasks == ("extract",):
        assert ready.extract(PICTURE, Scene()) == pytest.approx(PICTURE @ (0.299, 0.587, 0.114) / 2, abs=0.01)
    elif system.tasks == ("harmonize",):
        assert ready.harmonize(PICTURE, MASK, Scene()) == pytest.approx(PICTURE / 2, abs=0.01)
    else:
        foreground = ready.generate([("a fox", "a forest")] * 2, [1, 2])["foreground"]
        assert foreground.shape == (2, 48, 64, 4)
        assert foreground[0, 0, 0] == pytest.approx((0.5, 0, 0, 0.25), abs=0.01)


def test_a_command_that_fails_is_one_sentence(tmp_path: Path) -> None:
    own = tmp_path / "pct-net"
    own.mkdir()
    (own / "PCTNet_ViT.pth").write_bytes(b"weights")
    (own / "command.txt").write_text(f"'{sys.executable}' -c \"raise SystemExit('no such layer')\" {{picture}}")
    ready = SYSTEMS["PCT-Net"].prepare(tmp_path, None)
    with pytest.raises(LayerFusionError, match="PCT-Net failed: no such layer; check"):
        ready.harmonize(PICTURE, MASK, Scene())
    (own / "command.txt").write_text("/nowhere/python {picture}")
    with pytest.raises(LayerFusionError, match="PCT-Net did not run"):
        ready.harmonize(PICTURE, MASK, Scene())


def test_telea_is_opencvs_and_keeps_what_is_seen() -> None:
    import cv2

    found = SYSTEMS["Telea"].prepare(Path(), None).complete(PICTURE, MASK, Scene())
    inside = MASK > 0.5
    expected = cv2.inpaint((255 * PICTURE).round().astype(np.uint8), inside.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    assert np.array_equal(found[~inside], PICTURE[~inside])
    assert found[inside] == pytest.approx(expected[inside] / 255, abs=1e-6)


@pytest.fixture(scope="module")
def pipe() -> LayerFusionPipeline:
    return tiny.quiet(tiny.tiny_pipeline(defaults=Defaults(4, 2.0, (64, 64)).to_dict()))


def test_the_base_alone_harmonizes_and_completes(pipe: LayerFusionPipeline) -> None:
    picture, mask = np.random.default_rng(1).random((64, 64, 3), np.float32), np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1
    edited = SYSTEMS["SDEdit"].prepare(Path(), pipe).harmonize(picture, mask, Scene("a fox", 1))
    assert edited.shape == picture.shape
    assert edited.dtype == np.float32
    completer = SYSTEMS["masked denoising"].prepare(Path(), pipe)
    found = completer.complete(picture, mask, Scene("a forest", 1))
    assert np.array_equal(found[mask == 0], picture[mask == 0])
    assert np.abs(found - picture)[mask > 0].mean() > 0.01
    assert not np.array_equal(found, completer.complete(picture, mask, Scene("a forest", 2)))
