import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

import layerfusion
from layerfusion import layers, triplet
from layerfusion.cli import app
from layerfusion.files import claimed
from layerfusion.models.locate import fingerprint
from layerfusion.runs.record import PNG_KEY
from tests.layers.test_hostile import png_header
from tests.models.test_vocabulary import KNOWN
from tests.models.tiny_files import save_layerdiffuse, save_sdxl, tiny_pipeline

PICTURES = tuple(f"{name}.png" for name in triplet.PICTURES)
PROMPTS = ("a red fox", "a snowy forest")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_pipeline(defaults={"steps": 2, "guidance_scale": 2.5}).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def generate(model: Path, out: str, *options: Any, prompts: tuple[str, ...] = PROMPTS) -> Path:
    result = call(*prompts, "--model", model, "--out", out, "--device", "cpu", *options)
    assert result.exit_code == 0, result.output
    return Path(out)


def pixels(folder: Path) -> dict[str, bytes]:
    return {name: read(folder / name).tobytes() for name in PICTURES}


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


@pytest.fixture(scope="module")
def first(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with seed 7, to compare others with."""
    return generate(model, str(tmp_path_factory.mktemp("first") / "out"), "--seed", 7)


def test_it_writes_a_triplet(first: Path, model: Path) -> None:
    assert sorted(path.name for path in first.iterdir()) == sorted([*PICTURES, "triplet.json"])
    for name in PICTURES:
        with Image.open(first / name) as picture:
            assert picture.mode == ("RGBA" if name.removesuffix(".png") in triplet.WITH_ALPHA else "RGB")
            assert picture.size == (64, 64)
            assert json.loads(picture.info[PNG_KEY]) == json.loads((first / "triplet.json").read_text())
    record = json.loads((first / "triplet.json").read_text())
    assert (record["foreground_prompt"], record["background_prompt"]) == PROMPTS
    assert (record["seed"], record["steps"], record["guidance_scale"]) == (7, 2, 2.5)
    assert (record["width"], record["height"], record["dtype"], record["device"]) == (64, 64, "float32", "cpu")
    assert record["config"]["mask"] == "combined"
    assert record["model"] == {"name": str(model), "fingerprint": fingerprint(model)}
    assert record["versions"]["torch"] == torch.__version__


def test_the_same_seed_gives_the_same_bytes(first: Path, model: Path) -> None:
    again = generate(model, "again", "--seed", 7)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in first.iterdir()
    }
    other = generate(model, "other", "--seed", 8)
    assert pixels(other)["blended.png"] != pixels(first)["blended.png"]


def test_a_run_is_repeated_from_its_record(first: Path, model: Path) -> None:
    source = generate(
        model, "source", "--seed", 3, "--mask", "cross", "--boundary", 4, "--size", "128x64", "--steps", 3
    )
    for number, given in enumerate(("source/triplet.json", "source", "source/blended.png")):
        result = call("--from", given, "--out", f"repeat{number}")
        assert result.exit_code == 0, result.output
        assert pixels(Path(f"repeat{number}")) == pixels(source)
    record = json.loads(Path("repeat0/triplet.json").read_text())
    assert record["config"]["mask"] == "cross"
    assert record["config"]["boundary"] == 4

    result = call("--from", "source", "--out", "changed", "--mask", "self", "--seed", 4, "--size", "64x64")
    assert result.exit_code == 0, result.output
    record = json.loads(Path("changed/triplet.json").read_text())
    assert (record["config"]["mask"], record["config"]["boundary"], record["seed"]) == ("self", 4, 4)
    assert record["width"] == 64


def test_files_on_top_of_another_model_are_left_behind(first: Path, model: Path) -> None:
    record = json.loads((first / "triplet.json").read_text())
    record |= {"foreground_weights": "attn.safetensors", "model": {"name": "elsewhere/sdxl"}}
    Path("sdxl.json").write_text(json.dumps(record))
    result = call("--from", "sdxl.json", "--model", model, "--out", "out")
    assert result.exit_code == 0, result.output
    assert pixels(Path("out")) == pixels(first)


def test_prompts_given_beside_a_record_override_it(first: Path) -> None:
    result = call("a fox", "--from", first, "--out", "changed")
    assert result.exit_code == 0, result.output
    record = json.loads(Path("changed/triplet.json").read_text())
    assert (record["foreground_prompt"], record["background_prompt"]) == ("a fox", PROMPTS[1])


def test_each_of_several_equals_a_run_of_its_own(first: Path, model: Path) -> None:
    folder = generate(model, "several", "--seed", 6, "--count", 2)
    assert sorted(path.name for path in folder.iterdir()) == ["0001", "0002"]
    assert pixels(folder / "0002") == pixels(first)
    assert json.loads((folder / "0002" / "triplet.json").read_text())["seed"] == 7
    result = call("--from", folder / "0002", "--out", "single")
    assert result.exit_code == 0, result.output
    assert pixels(Path("single")) == pixels(first)


def test_a_batch_equals_single_runs_to_rounding(first: Path, model: Path) -> None:
    folder = generate(model, "batch", "--seed", 6, "--count", 2, "--batch-size", 2)
    for name in PICTURES:
        assert abs(read(folder / "0002" / name) - read(first / name)).max() <= 1


def test_nothing_is_overwritten_unasked(model: Path) -> None:
    out = generate(model, "out", "--seed", 1)
    before = pixels(out)
    result = call(*PROMPTS, "--model", model, "--out", "out", "--seed", 2)
    assert result.exit_code == 2
    assert "already exists" in result.stderr
    assert pixels(out) == before
    generate(model, "out", "--seed", 2, "--overwrite")
    assert pixels(out) != before


def test_a_seed_and_a_folder_are_chosen_and_said(model: Path) -> None:
    result = call(*PROMPTS, "--model", model)
    assert result.exit_code == 0, result.output
    (folder,) = Path("outputs").iterdir()
    seed = json.loads((folder / "triplet.json").read_text())["seed"]
    assert folder.name == f"a-red-fox-a-snowy-forest-{seed}"
    assert f"seed {seed}" in result.stdout
    assert result.stdout.startswith(f"{folder}\n")
    assert "blended.png" in result.stdout


def test_figures_and_layered_files(first: Path, model: Path) -> None:
    out = generate(model, "out", "--seed", 7, "--show-priors", "--format", "psd,.ORA")
    extra = ["layers.ora", "layers.psd", "priors.png", "structure.png"]
    extra += ["contentprior.png", "softmask.png", "structureprior.png"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*PICTURES, "triplet.json", *extra])
    assert pixels(out) == pixels(first)  # looking changes nothing
    with Image.open(out / "priors.png") as figure:
        assert figure.width > 600

    stack = layers.read(out / "layers.ora")
    assert [layer.name for layer in stack][:4] == ["background", "shadow", "light", "foreground"]


@pytest.mark.parametrize("stage", ["sampling", "writing"])
def test_an_interruption_leaves_no_half_written_triplet(
    model: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    calls = iter(range(1000))

    def interrupted(*_: Any, **__: Any) -> None:
        # The second triplet is under way: two steps or all its pictures belong to the first.
        if next(calls) == (3 if stage == "sampling" else len(PICTURES) + 1):
            raise KeyboardInterrupt
        return original(*_, **__)

    if stage == "sampling":
        from layerfusion.evaluation.priors import LatentsNear

        original: Any = LatentsNear.__call__
        monkeypatch.setattr(LatentsNear, "__call__", interrupted)
    else:
        original = Image.Image.save
        monkeypatch.setattr(Image.Image, "save", interrupted)
    result = call(*PROMPTS, "--model", model, "--out", "out", "--seed", 1, "--count", 3, "--device", "cpu")
    assert result.exit_code == 130, result.output
    assert "1 of 3 triplets" in result.stderr
    written = [path for path in Path("out").rglob("*") if path.is_file()]
    assert sorted(path.name for path in written) == sorted([*PICTURES, "triplet.json"])
    assert {path.parent.name for path in written} == {"0001"}


def test_the_pipeline_is_usable_after_an_interruption(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from layerfusion import LayerFusionPipeline

    pipeline = LayerFusionPipeline.from_pretrained(model)
    before = dict(pipeline.unet.attn_processors)

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline(*PROMPTS, num_inference_steps=2, callback_on_step_end=stop)
    assert pipeline.unet.attn_processors == before


BAD = [
    (["", "a forest"], "the foreground prompt is empty"),
    (["a fox", "  "], "the background prompt is empty"),
    (["a fox"], "the background prompt is empty"),
    ([*PROMPTS, "--size", "100x64"], "not divisible by 8; try 96x64"),
    ([*PROMPTS, "--size", "big"], "not WIDTHxHEIGHT"),
    ([*PROMPTS, "--model", "realvisx"], "did you mean 'realvisxl'"),
    ([*PROMPTS, "--model", "nowhere/"], "there is no model"),
    ([*PROMPTS, "--boundary", "-1"], "boundary is -1"),
    ([*PROMPTS, "--guidance", "nan"], "wrong value for --guidance: nan"),
    ([*PROMPTS, "--seed", "-4"], "wrong value for --seed: -4; give a number from 0"),
    ([*PROMPTS, "--mask", "both"], "--mask"),
    ([*PROMPTS, "--dtype", "int8"], "--dtype"),
    ([*PROMPTS, "--offload", "disk"], "--offload"),
    ([*PROMPTS, "--offload", "model", "--device", "cpu"], "needs a GPU"),
    ([*PROMPTS, "--device", "tpu"], "there is no device 'tpu'"),
    ([*PROMPTS, "--steps", "0"], "--steps"),
    ([*PROMPTS, "--count", "0"], "--count"),
    ([*PROMPTS, "--format", "psd,xcf"], "no layered format 'xcf'"),
    ([*PROMPTS, "--format", "psd/../x"], "no layered format"),
    ([*PROMPTS, "--out", "file/below"], "cannot be written to"),
    ([*PROMPTS, "--out", "file"], "is a file; choose another --out"),
    ([*PROMPTS, "--out", "."], "holds other files"),
    ([*PROMPTS, "--out", ".", "--overwrite"], "holds other files"),
    ([*PROMPTS, "--out", "x" * 300], "cannot be used (File name too long)"),
    ([*PROMPTS, "--size", "16384x16384"], "the largest of this shape that fits is"),
    ([*PROMPTS, "--size", "8x136"], "one side of 8x136 is more than 16 times the other"),
    ([*PROMPTS, "--device", "cpu:"], "there is no device 'cpu:'"),
    ([*PROMPTS, "--model", "~nobody-here/model"], "home of a user that is not here"),
    (["x" * 10_001, "a forest"], "is longer than 10000 characters"),
    ([*PROMPTS, "--foreground-weights", "x.safetensors"], "brings its own foreground weights"),
    (["--from", "missing.json"], "does not exist"),
    (["--from", "broken.json"], "not readable JSON"),
    (["--from", "deep.json"], "not readable JSON"),
    (["--from", "huge.json"], "far larger than any stack needs"),
    (["--from", "hub.json"], "used stranger/model, which is not on this machine and would be fetched; give --model"),
    (["--from", "weights.json"], "used stranger/model:x.safetensors, which is not on this machine"),
    (["--from", "bomb.png"], "far more pixels than a canvas needs"),
    (["--from", "other.json"], "JSON of another format"),
    (["--from", "newer.json"], "newer layerfusion"),
    (["--from", "wrong.json"], "wrong value for steps"),
    (["--from", "batch.json"], "wrong value for batch_size"),
    (["--from", "switch.json"], "no setting 'masks'"),
    (["--from", "kind.json"], "wrong type for boundary"),
    (["--from", "plain.png"], "carries no settings"),
    (["--from", "cut.png"], "is not a PNG file"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD, ids=[says for _, says in BAD])
def test_bad_input_gets_one_sentence(model: Path, arguments: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    record = {"format": "layerfusion-triplet", "version": 1, "foreground_prompt": "a", "background_prompt": "b"}
    files = {
        "broken": '{"format": ',
        "other": '{"layers": []}',
        "newer": json.dumps({**record, "version": 2}),
        "wrong": json.dumps({**record, "steps": "ten"}),
        "batch": json.dumps({**record, "batch_size": 0}),
        "switch": json.dumps({**record, "config": {"masks": "self"}}),
        "kind": json.dumps({**record, "config": {"boundary": "ten"}}),
        "deep": "[" * 100_000,
        "huge": " " * (1 << 22) + "{}",
        "hub": json.dumps({**record, "model": {"name": "stranger/model"}}),
        "weights": json.dumps({**record, "foreground_weights": "stranger/model:x.safetensors"}),
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(content)
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "plain.png").read_bytes()[:40])
    (tmp_path / "bomb.png").write_bytes(png_header(100_000, 100_000))
    before = sorted(tmp_path.rglob("*"))
    asks_for_it = "--model" in arguments or "hub.json" in arguments or "weights.json" in arguments
    result = call(*(arguments if asks_for_it else [*arguments, "--model", model]))
    assert result.exit_code == 2, result.output
    assert says in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.stderr).split())
    assert "Traceback" not in result.output
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_that_is_not_there(first: Path, model: Path) -> None:
    result = call(*PROMPTS, "--model", model, "--device", "cuda")
    assert result.exit_code == 2
    assert "no cuda device" in result.stderr
    # A record that was made on one is repeated on what there is, and says so.
    record = {**json.loads((first / "triplet.json").read_text()), "device": "cuda", "offload": "model"}
    Path("gpu.json").write_text(json.dumps(record))
    result = call("--from", "gpu.json", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "made on cuda" in result.stderr
    assert json.loads(Path("out/triplet.json").read_text())["offload"] == "none"


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    sdxl, files = save_sdxl(tmp_path / "sdxl"), save_layerdiffuse(tmp_path / "ld")
    decoder = files / "ld_diffusers_sdxl_vae_transparent_decoder.safetensors"
    options = ["--model", sdxl, "--out", "out", "--foreground-weights", decoder, "--transparent-decoder", decoder]
    result = call(*PROMPTS, *options)
    assert result.exit_code == 2
    assert "transparent decoder, not foreground offsets" in result.stderr
    assert not Path("out").exists()


def test_a_changed_model_is_noticed_when_a_run_is_repeated(first: Path, model: Path, tmp_path: Path) -> None:
    record = json.loads((first / "triplet.json").read_text())
    record["model"]["fingerprint"] = "0" * 16
    record["versions"] |= {"torch": "1.0", "threads": "999"}
    Path("old.json").write_text(json.dumps(record))
    result = call("--from", "old.json", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "has changed since that run" in result.stderr
    assert "torch 1.0 (now" in result.stderr
    assert "threads 999 (now" in result.stderr


def test_a_long_prompt_says_what_was_cut(model: Path) -> None:
    # The tiny tokenizer has one token for each of these words; 75 fit between start and end.
    prompt = " ".join(["fox"] * 75 + ["snowy", "forest"])
    result = call(prompt, PROMPTS[1], "--model", model, "--out", "out", "--seed", 1)
    assert result.exit_code == 0, result.output
    assert (
        "the foreground prompt is longer than the model reads, and this was cut off: “snowy forest”." in result.stderr
    )
    record = json.loads(Path("out/triplet.json").read_text())
    assert record["cut_off"] == {"foreground prompt": "snowy forest"}
    assert "truncated" not in result.stderr


@pytest.fixture
def knowing(model: Path, tmp_path: Path) -> Iterator[Path]:
    """The model with a vocabulary."""
    folder = tmp_path / "knowing"
    shutil.copytree(model, folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "vocabulary": KNOWN}))
    yield folder


def test_unknown_words_are_said_and_recorded(first: Path, knowing: Path) -> None:
    result = call("a red foxx", PROMPTS[1], "--model", knowing, "--out", "out", "--seed", 7)
    assert result.exit_code == 0, result.output
    assert "does not know “foxx” (nearest: fox) of the foreground prompt" in result.stderr
    assert "knows no subject in the foreground prompt, “a red foxx”" in result.stderr
    record = json.loads(Path("out/triplet.json").read_text())
    assert record["unknown_words"] == {"foxx": ["fox"]}
    assert len(record["advice"]) == 1 and "knows no subject" in record["advice"][0]
    result = call(*PROMPTS, "--model", knowing, "--out", "known", "--seed", 7)
    assert "does not know" not in result.stderr and "knows no" not in result.stderr
    assert pixels(Path("known")) == pixels(first)


def test_the_vocabulary_is_listed(knowing: Path, model: Path) -> None:
    listing = CliRunner().invoke(app, ["vocabulary", "--model", str(knowing)])
    assert listing.exit_code == 0, listing.output
    assert "animals (3)" in listing.stdout
    assert "fox (vixen)" in listing.stdout
    as_json = CliRunner().invoke(app, ["vocabulary", "--model", str(knowing), "--json"])
    assert json.loads(as_json.stdout)["scenes"][0] == {
        "name": "snowy forest",
        "synonyms": ["winter forest"],
        "coloured": False,
    }
    without = CliRunner().invoke(app, ["vocabulary", "--model", str(model)])
    assert without.exit_code == 2
    assert "carries no vocabulary" in without.stderr


def test_the_vocabulary_is_drawn(knowing: Path) -> None:
    options = ["--model", str(knowing), "--sheet", "sheet.png", "--steps", "1"]
    result = CliRunner().invoke(app, ["vocabulary", *options])
    assert result.exit_code == 0, result.output
    with Image.open("sheet.png") as sheet:
        assert sheet.height > 500
    assert CliRunner().invoke(app, ["vocabulary", *options]).exit_code == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--sheet", "9223372036854775808"], "end it in .png"),
        (["--sheet", "/proc/sheet.png"], "cannot be written to"),
        (["--sheet", "a.png", "--steps", "1001"], "less than or equal to 1000"),
        (["--sheet", "a.png", "--seed", str(10**20)], "--seed"),
    ],
)
def test_a_sheet_that_cannot_be_is_refused_before_it_is_drawn(options: list[str], says: str, knowing: Path) -> None:
    result = CliRunner().invoke(app, ["vocabulary", "--model", str(knowing), *options])
    assert result.exit_code == 2 and says in result.stderr, result.output
    assert len(result.stderr.splitlines()) == 1
    assert [entry.name for entry in Path().iterdir()] == ["knowing"]


def test_a_triplet_is_replaced_as_a_whole_and_nothing_else_is(model: Path) -> None:
    out = generate(model, "out", "--seed", 1, "--format", "ora", "--show-priors")
    generate(model, "out", "--seed", 2, "--overwrite")
    assert sorted(path.name for path in out.iterdir()) == sorted([*PICTURES, "triplet.json"])
    (out / "notes.txt").write_text("mine")
    before = pixels(out)
    result = call(*PROMPTS, "--model", model, "--out", "out", "--overwrite")
    assert result.exit_code == 2
    assert "holds other files (notes.txt)" in result.stderr
    assert pixels(out) == before and (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    result = call(*PROMPTS, "--model", model, "--out", "out", "--count", 2, "--overwrite")
    assert result.exit_code == 2 and "holds one triplet; choose another --out for several" in result.stderr
    assert pixels(out) == before and not (out / "0001").exists()


def test_the_second_run_to_one_place_is_refused(model: Path) -> None:
    with claimed("out"):
        result = call(*PROMPTS, "--model", model, "--out", "out")
    assert result.exit_code == 2
    assert "another run is about to write" in result.stderr
    assert not list(Path().iterdir())


def test_quiet_says_nothing(model: Path) -> None:
    result = call("word " * 90, PROMPTS[1], "--model", model, "--out", "out", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert Path("out/triplet.json").exists()


def test_float16_on_a_cpu_is_said_to_be_slow(model: Path) -> None:
    result = call(*PROMPTS, "--model", model, "--out", "out", "--device", "cpu", "--dtype", "float16")
    assert "few CPUs compute in float16" in result.stderr


def python(program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(layerfusion.__file__).parents[1])}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--size", "16384x16384"],
        ["--size", "100x64"],
        ["--model", "nowhere"],
        ["--device", "tpu"],
        ["--device", "cuda"],
        ["--offload", "model", "--device", "cpu"],
        ["--boundary", "-1"],
        ["--model", "broken"],
    ],
)
def test_refusals_come_before_torch(arguments: list[str], model: Path) -> None:
    shutil.copytree(model, "broken")
    Path("broken/tokenizer/tokenizer_config.json").unlink()
    program = (
        "import sys; from layerfusion.cli import app\n"
        f"try: app(['generate', 'a fox', 'a forest', *{arguments}])\n"
        "except SystemExit as ended: assert ended.code == 2\n"
        "assert not {'torch', 'diffusers', 'transformers', 'huggingface_hub'} & set(sys.modules)"
    )
    if arguments == ["--device", "cuda"] and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    ran = python(program)
    assert ran.returncode == 0 and ran.stderr.startswith("error: "), ran.stderr


def test_help_comes_without_torch() -> None:
    code = "import sys; from layerfusion.cli import app; app(['--help'], standalone_mode=False)"
    code += "; assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    ran = python(code)
    assert ran.returncode == 0, ran.stderr
    assert "generate" in ran.stdout


def save(path: str, seed: int, mode: str) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 4), np.uint8)
    pixels[..., 3] = 0
    pixels[16:48, 16:40, 3] = 255
    picture = Image.fromarray(pixels)
    (picture.getchannel("A") if mode == "L" else picture.convert(mode)).save(path)
    return Path(path)


def test_several_foregrounds_each_in_its_place(model: Path) -> None:
    options = ("--foreground", "a fox", "--at", "0,0.2,0.5,0.5", "--foreground", "a bear", "--at", "all", "--seed", 3)
    out = generate(model, "two", *options, "--format", "ora", prompts=("a pond",))
    assert sorted(path.name for path in out.iterdir()) == sorted([*PICTURES, "layers", "layers.ora", "triplet.json"])
    record = json.loads((out / "triplet.json").read_text())
    assert record["foreground_prompt"] == "a fox and a bear"
    assert [one["box"] for one in record["foregrounds"]] == [[0, 0.2, 0.5, 0.5], None]
    stack = layers.read(out)
    assert "foreground 2" in [layer.name for layer in stack] and stack["foreground"].placement.a < 1
    again = call("--from", out, "--out", "again")
    assert again.exit_code == 0, again.output
    assert pixels(out) == pixels(Path("again"))
    assert call("--from", out, "--out", out).exit_code == 2


def test_one_with_a_place_takes_its_prompt_from_the_argument(model: Path) -> None:
    out = generate(model, "placed", "--at", "0.5,0.5,0.5,0.5", "--seed", 3)
    assert json.loads((out / "triplet.json").read_text())["foregrounds"][0]["prompt"] == PROMPTS[0]


def test_given_pictures_are_kept_and_known_again(model: Path) -> None:
    photo, cutout = save("photo.png", 1, "RGB"), save("cutout.png", 2, "RGBA")
    options = ("--background-image", photo, "--foreground-image", cutout, "--strength", 0.6, "--seed", 3)
    out = generate(model, "given", *options)
    assert np.array_equal(read(out / "background.png"), read(photo))
    assert np.array_equal(read(out / "foreground.png"), read(cutout))
    record = json.loads((out / "triplet.json").read_text())
    assert record["fingerprints"]["background_image"] == hashlib.sha256(photo.read_bytes()).hexdigest()
    assert record["background_image"] == str(photo.absolute())
    assert call("--from", out, "--out", "again").exit_code == 0
    assert pixels(out) == pixels(Path("again"))
    save("photo.png", 5, "RGB")
    changed = call("--from", out, "--out", "changed")
    assert changed.exit_code == 2 and "photo.png has changed since that run" in changed.output.replace("\n", " ")
    assert call("--from", out, "--background-image", photo, "--out", "changed").exit_code == 0


def test_a_picture_is_taken_apart_by_its_mask(model: Path) -> None:
    picture, mask = save("picture.png", 1, "RGB"), save("mask.png", 1, "L")
    out = generate(model, "apart", "--blended-image", picture, "--mask-image", mask)
    assert np.array_equal(read(out / "blended.png"), read(picture))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("a pond", "--foreground", "a fox", "--at", "0,0,1"), "--at '0,0,1' is not 4 numbers"),
        (("a pond", "--foreground", "a fox", "--at", "0,0,2,1"), "reaches out of the scene"),
        (("a pond", "--foreground", "a fox", "--at", "all", "--at", "all"), "2 times for 1 foregrounds"),
        (("a fox", "a pond", "--foreground", "a bear"), "beside --foreground"),
        (("--at", "all"), "say with --foreground what it is"),
        (("a fox", "a pond", "--background-image", "nowhere.png"), "nowhere.png does not exist"),
        (("a fox", "a pond", "--foreground-image", "photo.png"), "has no transparency"),
        (("a fox", "a pond", "--strength", "0.5"), "strength acts on the blend"),
    ],
)
def test_what_contradicts_is_a_sentence(model: Path, arguments: tuple[str, ...], sentence: str) -> None:
    save("photo.png", 1, "RGB")
    result = call(*arguments, "--model", model, "--out", "out")
    assert result.exit_code == 2 and sentence in " ".join(result.output.split()), result.output
    assert not Path("out").exists()


def test_an_edited_run_is_blended_again(model: Path) -> None:
    out = generate(model, "before", "--seed", 3)
    edit = ("edit", str(out), "--layer", "foreground", "--move", "9,0", "--reblend", "--strength", "0.8")
    result = CliRunner().invoke(app, [*edit, "--model", str(model), "--out", "after"])
    assert result.exit_code == 0, result.output
    before, after = layers.read(out), layers.read(Path("after"))
    for name in ("background", "foreground (unlit)"):
        assert np.array_equal(before[name].pixels, after[name].pixels)
    assert after["foreground"].placement.c == 9 and after.provenance["reblended"] == {"seed": 3, "strength": 0.8}
    assert not np.array_equal(before["blended"].pixels, after["blended"].pixels)
    described = CliRunner().invoke(app, [*edit, "--foreground", "a fox", "--foreground", "a bear", "--out", "two"])
    assert described.exit_code == 2 and "shows 1 subjects and 2 are described" in " ".join(described.output.split())
