"""The pictures of docs/layers.md: `python -m recipes.mini.layer_pictures`.

One triplet of the embedded model, its layers side by side, and as Krita, GIMP, a browser and LibreOffice show its
files. A program that is not installed leaves its picture as it was. Krita and GIMP are photographed on a screen of
their own (Xvfb), `--wait` seconds after they were started.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from PIL import Image

from layerfusion.layers import LayerStack, write
from layerfusion.layers.sheet import contact_sheet
from layerfusion.runs import Request, Session, generate
from recipes.mini.gallery import DOCS

PROMPTS = ("a fox", "a snowy forest")
WINDOW = (1120, 700)
GIMPRC = "(color-profile-policy keep)\n"  # it would ask what to do with sRGB, and draw nothing meanwhile


def save(picture: Image.Image, path: Path) -> None:
    picture.convert("RGB").save(path, "WEBP", quality=88, method=6)
    print(path, flush=True)


def page(source: Path, theme: Literal["light", "dark"], out: Path) -> None:
    """The page as a browser shows it, the foreground chosen."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        width, height = WINDOW
        shown = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
        shown.goto(source.as_uri())
        shown.wait_for_selector("body[data-ready]")
        shown.click('[data-name="foreground"]')
        shown.screenshot(path=str(out))
        browser.close()


def slide(source: Path, out: Path) -> None:
    """The slide as LibreOffice draws it."""
    folder = out.parent
    profile = f"-env:UserInstallation=file://{folder}/profile"
    command = ["soffice", profile, "--headless", "--convert-to", "png", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"HOME": str(folder)})
    (folder / f"{source.stem}.png").rename(out)


def window(program: list[str], wait: int) -> Callable[[Path, Path], None]:
    """A program with a file open, photographed on a screen of its own."""

    def draw(source: Path, out: Path) -> None:
        (settings := out.parent / "GIMP" / "2.10" / "gimprc").parent.mkdir(parents=True)
        settings.write_text(GIMPRC)
        commands = f"{shlex.join([*program, str(source)])} & sleep {wait}; import -window root {out}; kill $!"
        screen = ["xvfb-run", "-a", "-s", "-screen 0 1280x800x24", "sh", "-c", commands]
        names = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
        home = os.environ | dict.fromkeys(names, str(out.parent))
        subprocess.run(screen, check=True, capture_output=True, env=home)

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--wait", type=int, default=60, help="seconds until Krita and GIMP have drawn themselves")
    parser.add_argument("--only", nargs="*", help="pictures to draw, by the names of their files")
    parser.add_argument("--out", type=Path, default=DOCS / "layers")
    args = parser.parse_args()
    request = Request(foreground_prompt=PROMPTS[0], background_prompt=PROMPTS[1], seed=args.seed, device="cpu")
    stack: LayerStack = next(generate(Session.open(request), request)).triplet.to_stack()
    if not args.only or "sheet" in args.only:
        save(contact_sheet(stack), args.out / "sheet.webp")
    programs: list[tuple[str, str, tuple[str, ...], Callable[[Path, Path], None]]] = [
        ("page-light", "html", ("chromium",), lambda source, out: page(source, "light", out)),
        ("page-dark", "html", ("chromium",), lambda source, out: page(source, "dark", out)),
        ("slide", "pptx", ("soffice",), slide),
        ("krita", "ora", ("krita", "xvfb-run", "import"), window(["krita", "--nosplash"], args.wait)),
        ("gimp", "psd", ("gimp", "xvfb-run", "import"), window(["gimp", "--no-splash"], args.wait)),
    ]
    for name, ending, needed, draw in programs:
        if all(map(shutil.which, needed)) and (not args.only or name in args.only):
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / f"{name}-shown.png"
                draw(write(stack, Path(folder) / f"fox.{ending}"), out)
                with Image.open(out) as picture:
                    # Without the empty screen round a window.
                    save(picture.convert("RGB").crop(picture.convert("RGB").getbbox()), args.out / f"{name}.webp")


if __name__ == "__main__":
    main()
