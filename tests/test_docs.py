"""Every example in README and docs runs, and what is generated in them is as the code says."""

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import layerfusion.models
from layerfusion.cli import app
from layerfusion.models import PRESETS
from tests.models.test_vocabulary import KNOWN
from tests.models.tiny_files import tiny_pipeline
from tools import docs

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Real weights and a GPU: such an example is checked as far as that goes without them.
NEEDS_MORE = re.compile(r"realvisxl|sdxl|to\(\"cuda\"\)|my-model|my-sdxl|--device|^(studio|serve)\b")
"""Examples that are only parsed: what needs a GPU or other weights, and what runs until it is stopped."""
PAGES = [page for page in docs.PAGES if page.name != "api.md"]


@pytest.fixture(scope="module")
def tiny_mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini") / "mini"
    tiny_pipeline(defaults={"steps": 1, "guidance_scale": 1.0}, vocabulary=KNOWN).save_pretrained(folder)
    return folder


@pytest.fixture
def elsewhere(tiny_mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder in which `mini` is a tiny model, and the pictures lie that examples bring along."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(layerfusion.models, "MINI", tiny_mini)
    monkeypatch.setitem(PRESETS, "mini", replace(PRESETS["mini"], base=str(tiny_mini)))
    Image.new("RGB", (90, 60), "gold").save("beach.jpg")
    for name, mode in (("photo", "RGB"), ("picture", "RGB"), ("cutout", "RGBA"), ("mask", "L")):
        Image.new(mode, (64, 64), 0).save(f"{name}.png")
    yield


def examples(page: Path, language: str) -> list[str]:
    return [code for of, code in BLOCK.findall(page.read_text(encoding="utf-8")) if of == language]


def commands(page: Path) -> list[list[str]]:
    """The lines of a page's shell examples that start with the command, as its arguments."""
    lines = "\n".join(examples(page, "")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines if line.startswith("layerfusion ")]
    return [line[1:] for line in words if "…" not in line]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_run(page: Path) -> None:
    if page.name == "layers.md":  # its Python comes after its commands
        assert commands(page)[0][0] == "generate"
    for line in commands(page):
        if NEEDS_MORE.search(" ".join(line)):
            typer.main.get_command(app).get_command(None, line[0]).make_context(line[0], line[1:])  # type: ignore[attr-defined]
            continue
        if line[0] == "doctor":
            continue  # a tiny random model is ill, and the doctor says so: tests/evaluation/test_doctor.py
        if Path("fox").is_dir() and line[:2] == ["generate", "a red fox"]:
            shutil.rmtree("fox")
        elif line[0] in ("export", "edit", "composite", "show") and not Path("fox").exists():
            assert CliRunner().invoke(app, ["generate", "a red fox", "a forest", "--out", "fox"]).exit_code == 0
        for other in ("psd", "pptx"):  # examples begin with a file that an earlier page made
            if f"fox.{other}" in line[1:2] and not Path(f"fox.{other}").exists():
                assert CliRunner().invoke(app, ["export", "fox", "--to", f"fox.{other}"]).exit_code == 0
        ran = CliRunner().invoke(app, line)
        assert ran.exit_code == 0, f"{' '.join(line)}: {ran.output}"


# Those of service.md need a service: tests/serve/test_examples.py.
PYTHON = [page for page in PAGES if examples(page, "python") and page.name != "service.md"]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_python_runs(page: Path) -> None:
    """The blocks of a page share their names, from the first to the last."""
    if page.name == "layers.md":
        assert CliRunner().invoke(app, ["generate", "a red fox", "a forest", "--out", "fox"]).exit_code == 0
    names: dict[str, object] = {}
    for code in examples(page, "python"):
        compiled = compile(code, str(page), "exec")
        if not NEEDS_MORE.search(code.replace("my-model", "")):
            exec(compiled, names)


def test_pages_say_what_the_code_says() -> None:
    for page in docs.PAGES:
        text = page.read_text(encoding="utf-8")
        for _, name, _ in docs.BLOCK.findall(text):
            assert docs.generated(name) in text, f"{page.name}: {name}; run make docs"


def test_every_command_has_a_section() -> None:
    page = (docs.ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert set(typer.main.get_command(app).list_commands(None)) == set(re.findall(r"^## (\w+)$", page, re.MULTILINE))  # type: ignore[attr-defined]


def test_links_lead_somewhere() -> None:
    for page in docs.PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"
