"""What is run: a command line, and the files that lie where it is run."""

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.spoil import NUMBERS, TEXTS, spoil_bytes, spoil_json, spoil_weights, spoil_zip

OUTSIDE = ("/proc/nowhere/x", "/dev/null/x", "/dev/full", "~nobody-here/x", "n" * 300, "a\0b", "x/" * 3000, "")
ENDINGS = (
    ".png",
    ".psd",
    ".ora",
    ".pptx",
    ".html",
    ".tiff",
    ".webp",
    ".avif",
    ".jpg",
    ".jpeg",
    ".xcf",
    "",
    ".PSD",
    ".",
)


@dataclass(frozen=True)
class Case:
    """One call.

    Attributes:
        kind: What was spoilt.
        arguments: Of the command.
        full: Whether standard output goes to a full device.
    """

    kind: str
    arguments: list[str]
    full: bool = False


def make_case(templates: Path, here: Path, rng: random.Random) -> Case:
    """Lay out the files of a case in an empty folder, and say what is to be called there."""
    kinds, weights = zip(*KINDS, strict=True)
    kind = rng.choices(kinds, weights)[0]
    arguments = kind(templates, here, rng)
    return Case(kind.__name__, [str(each) for each in arguments], full=rng.random() < 0.01)


# --- readers of layers ------------------------------------------------------------------------------------------------


def layer_file(templates: Path, here: Path, rng: random.Random) -> list:
    """A spoilt PSD, OpenRaster, page, or one file under another's ending."""
    name = rng.choice(("stack.psd", "stack.psd", "stack.ora", "stack.ora", "stack.html", "triplet/foreground.png"))
    data = (templates / name).read_bytes()
    if name.endswith("ora"):
        data = spoil_zip(data, rng)
    elif name.endswith("html") and rng.random() < 0.6:
        text = data.decode()
        start, end = text.index('{"format"'), text.rindex("}") + 1
        data = (text[:start] + spoil_json(text[start:end], rng) + text[end:]).encode("utf-8", "surrogatepass")
    else:
        data = spoil_bytes(data, rng)
    ending = Path(name).suffix if rng.random() < 0.95 else rng.choice(ENDINGS)
    source = here / f"bad{ending}"
    source.write_bytes(data)
    return on_layers(source.name, here, rng)


def layer_folder(templates: Path, here: Path, rng: random.Random) -> list:
    """A folder of PNGs with a spoilt manifest or picture, or a triplet's folder."""
    name = rng.choice(("stack", "stack", "triplet"))
    shutil.copytree(templates / name, here / "bad")
    file = rng.choice([*(here / "bad").iterdir()])
    if rng.random() < 0.15:
        replace_by_oddity(file, rng)
    elif file.suffix == ".json":
        file.write_bytes(spoil_json(file.read_text(), rng).encode("utf-8", "surrogatepass"))
    else:
        file.write_bytes(spoil_bytes(file.read_bytes(), rng))
    return on_layers("bad", here, rng)


def layer_options(templates: Path, here: Path, rng: random.Random) -> list:
    """Good layers, bad options."""
    shutil.copy(templates / "stack.ora", here / "good.ora")
    return on_layers("good.ora", here, rng, spoilt=True)


def on_layers(source: str, here: Path, rng: random.Random, spoilt: bool = False) -> list:
    command = rng.choice(("show", "export", "edit", "composite"))
    out = place(here, rng) if spoilt else f"out{rng.choice(ENDINGS[:10])}"
    more: list[str] = []
    if command == "show":
        return [command, source, *(["--picture", out] if spoilt else [])]
    if command == "export":
        return [command, source, "--to", out, *(["--overwrite"] if rng.random() < 0.3 else [])]
    if command == "edit":
        options = ("--move", "--scale", "--rotate", "--opacity", "--blend", "--rename", "--picture")
        for option in rng.sample(options, rng.randrange(4)):
            more += [option, nasty(rng) if spoilt else rng.choice(("2", "0.5", "normal", "3,4"))]
        return [command, source, "--layer", nasty(rng) if spoilt else "0", *more, "--out", out]
    if rng.random() < 0.4:
        more = ["--background", nasty(rng) if spoilt else "white", *rng.choice(([], ["--linear"]))]
    return [command, source, "--out", out, *more]


# --- generate ---------------------------------------------------------------------------------------------------------


def record(templates: Path, here: Path, rng: random.Random) -> list:
    """A run repeated from a spoilt record, or from a PNG with one."""
    if rng.random() < 0.7:
        text = spoil_json((templates / "triplet" / "triplet.json").read_text(), rng)
        (here / "bad.json").write_bytes(text.encode("utf-8", "surrogatepass"))
        source = "bad.json"
    else:
        source = "bad.png"
        (here / source).write_bytes(spoil_bytes((templates / "triplet" / "blended.png").read_bytes(), rng))
    if rng.random() < 0.1:
        replace_by_oddity(here / source, rng)
    return ["generate", "--from", source, "--out", "out", *rng.choice(([], ["--model", templates / "model"]))]


def options(templates: Path, here: Path, rng: random.Random) -> list:
    """Two prompts, and options of which one or two are bad."""
    named = (
        "--seed",
        "--steps",
        "--guidance",
        "--batch-size",
        "--harmony",
        "--boundary",
        "--mask",
        "--model",
        "--count",
    )
    named += (
        "--foreground-weights",
        "--transparent-decoder",
        "--transparent-encoder",
        "--device",
        "--dtype",
        "--offload",
        "--format",
        "--size",
    )
    named += ("--out", "--from", "--negative-foreground", "--negative-background")
    prompts = [nasty(rng) if rng.random() < 0.2 else "a red fox", "a snowy forest"]
    given = ["--model", templates / "model", "--steps", "1"]
    for option in rng.sample(named, rng.choice((1, 1, 2, 3))):
        value = place(here, rng) if option == "--out" else nasty(rng)
        if option == "--size" and rng.random() < 0.7:
            value = f"{rng.choice((8, 64, 65, 2**14, 10**5, 0))}x{rng.choice((8, 64, 9000, 2**14, 10**6))}"
        if option in ("--count", "--batch-size", "--steps") and rng.random() < 0.6:
            value = str(rng.choice((0, -1, 2, 65, 10_000, 10**9, 10**20)))
        given += [option, value]
    return ["generate", *prompts, *given, *([] if "--out" in given else ["--out", "out"])]


def other_commands(templates: Path, here: Path, rng: random.Random) -> list:
    """Bad options of the rest, and words that are no command or option."""
    command = rng.choice(("vocabulary", "doctor", "calibrate", "generate", "show", nasty(rng), "--version", "--help"))
    arguments = [command]
    for _ in range(rng.randrange(4)):
        named = ("--model", "--seed", "--steps", "--count", "--sheet", "--device", "--dtype", nasty(rng), "--json")
        arguments += [rng.choice(named), nasty(rng)]
    if command in ("doctor", "calibrate", "generate"):  # a good call of these takes long
        arguments += ["--model", "nowhere"]
    return arguments


# --- models -----------------------------------------------------------------------------------------------------------


def model_folder(templates: Path, here: Path, rng: random.Random) -> list:
    """A model of which a file is lost, spoilt, another's, or no file."""
    copy_of_model(templates / "model", here / "bad")
    files = sorted(path for path in (here / "bad").rglob("*") if path.is_file())
    chosen = rng.choice([file for file in files if file.suffix == ".json"] if rng.random() < 0.6 else files)
    spoil_file(chosen, rng)
    return on_model("bad", rng)


def model_weights(templates: Path, here: Path, rng: random.Random) -> list:
    """A model with a spoilt file of weights, or a spoilt file on top of an SDXL."""
    if rng.random() < 0.6:
        copy_of_model(templates / "model", here / "bad")
        chosen = rng.choice(sorted((here / "bad").rglob("*.safetensors")))
        data = chosen.read_bytes()
        chosen.unlink()
        chosen.write_bytes(spoil_weights(data, rng))
        return on_model("bad", rng)
    files = sorted((templates / "ld").iterdir())
    chosen = rng.choice(files)
    (here / "bad.safetensors").write_bytes(spoil_weights(chosen.read_bytes(), rng))
    foreground, decoder = files[0], files[1]
    paths = rng.choice((("bad.safetensors", decoder), (foreground, "bad.safetensors"), (foreground, decoder)))
    model = rng.choice((templates / "sdxl", "bad.safetensors"))
    on_top = ["--foreground-weights", paths[0], "--transparent-decoder", paths[1]]
    return [
        "generate",
        "a fox",
        "a forest",
        "--model",
        model,
        *on_top,
        "--steps",
        "1",
        "--size",
        "64x64",
        "--out",
        "out",
    ]


def on_model(name: str, rng: random.Random) -> list:
    if rng.random() < 0.15:
        return ["vocabulary", "--model", name]
    return ["generate", "a red fox", "a snowy forest", "--model", name, "--steps", "1", "--out", "out"]


def copy_of_model(source: Path, target: Path) -> None:
    """Links, so that a copy costs nothing; a file is removed before it is changed."""
    shutil.copytree(source, target, copy_function=os.link)


def spoil_file(file: Path, rng: random.Random) -> None:
    how = rng.random()
    data = file.read_bytes()
    file.unlink()
    if how < 0.15:
        return
    if how < 0.25:
        replace_by_oddity(file, rng)
    elif how < 0.3:
        file.write_bytes(b"")
    elif file.suffix == ".json":
        file.write_bytes(spoil_json(data.decode(), rng).encode("utf-8", "surrogatepass"))
    elif file.suffix == ".safetensors":
        file.write_bytes(spoil_weights(data, rng))
    else:
        file.write_bytes(spoil_bytes(data, rng))


# --- odds and ends ----------------------------------------------------------------------------------------------------


def replace_by_oddity(file: Path, rng: random.Random) -> None:
    """Something of this name that is no ordinary file."""
    file.unlink(missing_ok=True)
    how = rng.randrange(5)
    if how == 0:
        os.mkfifo(file)
    elif how == 1:
        file.symlink_to("nowhere")
    elif how == 2:
        file.symlink_to(file.name)
    elif how == 3:
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")


def nasty(rng: random.Random) -> str:
    """A word that no option expects. What no command line can hold is left out of it."""
    word = rng.choice((*TEXTS, *map(str, NUMBERS), "cpu", "cuda:99", "mps", "mini", "owner/name", "1e3", "5%", "1,nan"))
    return word.replace("\0", "").encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def place(here: Path, rng: random.Random) -> str:
    """Somewhere to write to: mostly where one cannot, or where something is."""
    name = "taken" + rng.choice(ENDINGS)
    how = rng.randrange(8)
    if how == 0:
        return rng.choice(OUTSIDE).replace("\0", "")
    if how == 1:
        (here / name).write_text("precious")
    elif how == 2:
        (here / name).mkdir()
        (here / name / "precious.txt").write_text("precious")
    elif how == 3:
        replace_by_oddity(here / name, rng)
    elif how == 4:
        (here / "taken").write_text("precious")
        return f"taken/below{rng.choice(ENDINGS)}"
    elif how == 5:
        return rng.choice((".", "..", "./", "new/../out", " ", "-", "a b", "ü" * 120, "new/" * 20 + "x.png"))
    elif how == 6:
        (here / name).symlink_to(here / "elsewhere")
    return name


Kind = Callable[[Path, Path, random.Random], list]
KINDS: list[tuple[Kind, float]] = [
    (layer_file, 5),
    (layer_folder, 3),
    (layer_options, 3),
    (record, 4),
    (options, 5),
    (other_commands, 2),
    (model_folder, 3),
    (model_weights, 2),
]
